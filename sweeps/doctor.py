"""Check whether a sweep would work, without starting one.

    python sweeps/doctor.py                                  this machine and ./runs
    python sweeps/doctor.py --address auto --storage s3://bucket/results --gpus-per-run 0.25
    python sweeps/doctor.py --study paper --datasets ptb     also the run folders and the data
    python sweeps/doctor.py --cluster cluster.yaml           only a file for `ray up`

It asks every node that could take a run whether it sees the same storage and runs the same versions, and
leaves no files behind. Exit status: 0 a sweep would work, 2 something would stop it.
"""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    # Python puts the folder of a script first on the path; lvae_core is in the folder above it.
    sys.path[0] = str(Path(__file__).resolve().parent.parent)
    from lvae_core.environment import check_installed, end_quietly_on_ctrl_c

    end_quietly_on_ctrl_c()
    check_installed("sweeps")

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated

from rich.console import Console
from rich.table import Table
from rich.text import Text

from lvae_core.command import exit_status
from lvae_core.data.corpus import load_new
from lvae_core.errors import InputError, reason
from lvae_core.messages import Verbosity, command_here, next_line
from lvae_core.run_folder.study import Study
from lvae_core.systems import recipe
from sweeps.checks import cluster_file
from sweeps.checks.findings import Demand, Finding
from sweeps.checks.study import check_run_folders
from sweeps.cluster.scratch_folder import check_root
from sweeps.launching.progress.display import console
from sweeps.options import (
    Messages,
    PlaceOptions,
    arg,
    parse_options,
    removing_new_folders,
    study_address,
)
from sweeps.planning.grids.fitting import print_line
from sweeps.planning.sizes import corpus_bytes, format_bytes

_LONGEST_TIMEOUT = 1e6

_STYLES = {"ok": "green", "warning": "yellow", "failure": "bold red"}


@dataclass(frozen=True, kw_only=True)
class Options(PlaceOptions):
    """The command line: the place of a launch, and what else to check."""

    study: Annotated[str | None, arg(metavar="NAME", help_behavior_hint="(default: none)")] = None
    """Also check the run folders of this study."""
    cpus_per_run: int = 1
    """CPU cores of one run."""
    gpus_per_run: float = 0.0
    """GPUs of one run; 0.25 puts four runs on one."""
    datasets: Annotated[tuple[str, ...], arg(metavar="NAME", help_behavior_hint="(default: none)")] = ()
    """Load these datasets, and check that every node has room for them."""
    cluster: Annotated[str | None, arg(metavar="FILE", help_behavior_hint="(default: none)")] = None
    """Check this file for `ray up` instead."""
    timeout: Annotated[float, arg(metavar="SECONDS")] = 60.0
    """Seconds that a node may take to answer."""
    messages: Messages = field(default_factory=Verbosity)

    def check(self) -> None:
        """Raise InputError if a number or a name cannot be used."""
        super().check()
        if not 0 < self.timeout < _LONGEST_TIMEOUT:
            raise InputError(
                f"--timeout {self.timeout:g}: must be above 0 and below {_LONGEST_TIMEOUT:g} seconds"
            )

    @property
    def folder(self) -> str:
        """The storage or study that a launch would write to, as the user would write it."""
        return study_address(self.storage, self.study) if self.study else self.storage

    def launch(self) -> list[str]:
        """The same options, for a launch."""
        return [*self.words(), *(["--datasets", *self.datasets] if self.datasets else [])]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    arguments = sys.argv[1:] if arguments is None else arguments

    def command() -> int:
        options = parse_options(Options, arguments, "doctor.py", __doc__, split=["--datasets"])
        options.messages.apply()
        return run(options, arguments)

    return exit_status(command, interrupted="")


def run(options: Options, arguments: Sequence[str]) -> int:
    """Check everything and print the findings; returns the exit status."""
    found = examine(options)
    has_failures = any(finding.state == "failure" for finding in found)
    if has_failures:
        again = command_here("python", "sweeps/doctor.py", *arguments)
        closing = f"fix what has failed, then: {again}"
    elif options.cluster:
        closing = next_line("ray", "up", "-y", options.cluster)
    else:
        closing = next_line("python", "sweeps/paper_grid.py", *options.launch(), "--dry-run")
    show(found, "" if options.messages.quiet and not has_failures else closing, console())
    return 2 if has_failures else 0


def examine(options: Options) -> list[Finding]:
    """Do all checks.

    Raises:
        InputError: an option cannot be used, or there is no Ray at the address.
    """
    options.check()
    if options.cluster is not None:
        return cluster_file.examine(options.cluster)
    found, corpora = load(options.datasets, options.data_dir)
    if any(finding.state == "failure" for finding in found):
        return found  # at once: to start Ray and to ask the nodes takes long
    study = Study(options.folder)  # without retries, so that a store that fails is reported at once
    if options.study is not None:
        found += _run_folders(study)

    # Ray takes seconds to import, so it is imported only once the options are known to be valid.
    from sweeps.checks.preflight import preflight
    from sweeps.cluster.connect import cluster

    check_root(for_sockets=options.address is None)
    demand = Demand(cpus=options.cpus_per_run, gpus=options.gpus_per_run, corpora=corpora)
    with removing_new_folders(study.url), cluster(options.address, object_bytes=sum(corpora.values())):
        return found + preflight(study, demand, timeout=options.timeout)


def load(datasets: Sequence[str], data_dir: str | None) -> tuple[list[Finding], Mapping[str, int]]:
    """Load each dataset; returns findings, and the bytes of each that can be used."""
    found, sizes = [], {}
    for dataset in datasets:
        try:
            _, corpus = load_new(recipe("lstm-lm", dataset=dataset), data_dir)
        except InputError as error:
            found.append(Finding(check="data", where="this machine", state="failure", detail=str(error)))
            continue
        sizes[dataset] = corpus_bytes(corpus)
        detail = f"{dataset}: {len(corpus.train)} sentences to train on, {format_bytes(sizes[dataset])}"
        found.append(Finding(check="data", where="this machine", state="ok", detail=detail))
        found += [
            Finding(check="data", where="this machine", state="warning", detail=warning)
            for warning in corpus.warnings
        ]
    return found, sizes


def _run_folders(study: Study) -> list[Finding]:
    try:
        return check_run_folders(study)
    except OSError as error:
        detail = f"cannot be read ({reason(error)})"
        return [Finding(check="runs", where=study.url, state="failure", detail=detail)]


def show(found: Sequence[Finding], closing: str, out: Console) -> None:
    """Print the findings as a table, and what to do next."""
    table = Table("check")
    for heading in ("where", "state", "detail"):
        table.add_column(heading, overflow="fold")  # paths must stay whole
    for finding in found:
        # As Text, so that nothing in a file is read as markup.
        state = Text(finding.state, style=_STYLES[finding.state])
        table.add_row(finding.check, Text(finding.where), state, Text(finding.advice))
    out.print(table)
    if closing:
        print_line(out, closing)


if __name__ == "__main__":
    sys.exit(main())
