"""Run the grid of Kruengkrai (2019), or a part of it, on this machine or a Ray cluster.

    python sweeps/paper_grid.py --preset demo          a small grid on text that comes with Python
    python sweeps/paper_grid.py --dry-run              what the paper's grid would take
    python sweeps/paper_grid.py --datasets ptb --seeds 3 --gpus-per-run 0.25

Runs that are done are never done again: launch the same command after an interruption, or with a longer
list, and it does what is missing. Exit status: 0 all is done, 1 some run has failed, 2 the input cannot be
used, 130 interrupted.
"""

from __future__ import annotations

import math
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated, Literal

import tyro
from rich.console import Console

from lvae_core.command import exit_status
from lvae_core.data.corpus import Corpus
from lvae_core.errors import InputError
from lvae_core.run_folder.folder import Study
from lvae_core.storage.retrying import RETRY_SECONDS
from sweeps.launching.display import console
from sweeps.options import Flag, LaunchOptions, arg, at_least_one, preset
from sweeps.planning.cost import cell_costs, print_costs
from sweeps.planning.grid import PRESETS, Grid
from sweeps.planning.loading import add_expected_times, load_corpora, look_up
from sweeps.planning.plan import Plan, PlannedRun
from sweeps.planning.resources import Resources
from sweeps.sweep import print_next, runs_to_start, sweep, warn_of_damages


@dataclass(frozen=True, kw_only=True)
class Options:
    """The command line. What is not given is the preset's."""

    preset: Literal["paper", "demo"] = "paper"
    """paper: the published grid of 120 runs. demo: a small one on pydocs, minutes on two cores."""
    datasets: Annotated[tuple[str, ...] | None, preset(metavar="NAME")] = None
    """ptb, yahoo, pydocs, toy, or folders of train.txt, valid.txt and test.txt."""
    systems: Annotated[tuple[str, ...] | None, preset(metavar="NAME")] = None
    """lstm-lm, lstm-vae, lstm-vae-avg."""
    settings: Annotated[tuple[str, ...] | None, preset(metavar="NAME")] = None
    """standard, inputless."""
    num_samples: Annotated[tuple[int, ...] | None, preset(metavar="L")] = None
    """Latent samples a sentence, for every system that has a latent variable."""
    seeds: Annotated[int | None, preset(metavar="N")] = None
    """Seeds 0 to N - 1."""
    max_epochs: Annotated[int | None, preset(metavar="N")] = None
    """Short for --set max_epochs=N."""
    changes: Annotated[
        tuple[tuple[str, ...], ...], arg(name="set", metavar="FIELD=VALUE"), tyro.conf.UseAppendAction
    ] = ()
    """Change any config field of every run."""
    dry_run: Flag = False
    """Print the plan and what it costs; start nothing, save for the probes of auto."""
    devices: Annotated[tuple[int, ...], arg(metavar="K")] = (1, 8)
    """With --dry-run: tell the time on so many GPUs, or CPU cores where runs have none."""
    price_per_hour: Annotated[float | None, arg(metavar="$", help_behavior_hint="(default: none)")] = None
    """With --dry-run: of one such device, to tell the cost."""
    launch: tyro.conf.OmitArgPrefixes[LaunchOptions] = field(default_factory=LaunchOptions)

    def check(self) -> None:
        """Raise InputError where a number or a name cannot be used."""
        self.launch.check()
        for number in self.devices:
            at_least_one("--devices", number)
        if self.price_per_hour is not None and not 0 < self.price_per_hour < math.inf:
            raise InputError(f"--price-per-hour {self.price_per_hour:g}: must be a number above 0")

    @property
    def folder(self) -> str:
        """Where the study is kept, as the user would write it."""
        return self.launch.folder(self.preset)

    def grid(self) -> Grid:
        """The preset with what the options change."""
        usual = PRESETS[self.preset]
        names = usual.systems if self.systems is None else dict.fromkeys(self.systems, (1,))
        systems = {name: usual.systems.get(name, samples) for name, samples in names.items()}
        if self.num_samples is not None:
            systems = dict.fromkeys(systems, self.num_samples)
        return Grid(
            datasets=usual.datasets if self.datasets is None else self.datasets,
            systems=systems,
            settings=usual.settings if self.settings is None else self.settings,
            seeds=usual.seeds if self.seeds is None else self.seeds,
            changes=usual.changes + self.given_changes(),
        )

    def given_changes(self) -> tuple[str, ...]:
        """The settings of the command line, without the preset's."""
        epochs = () if self.max_epochs is None else (f"max_epochs={self.max_epochs}",)
        return epochs + tuple(change for group in self.changes for change in group)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    options = tyro.cli(Options, args=arguments, prog="paper_grid.py", description=__doc__)
    again = shlex.join(["python", "sweeps/paper_grid.py", *arguments])
    return exit_status(lambda: run(options, again=again))


def run(options: Options, *, again: str) -> int:
    """Plan, launch and close; returns the exit status.

    Args:
        options: the command line.
        again: the command that goes on from an interruption.

    Raises:
        InputError: something given cannot be used; nothing has been started or written.
    """
    options.check()
    out, folder = console(), options.folder
    grid = options.grid()
    configs = grid.configs()
    for note in grid.notes(options.given_changes()):
        print(f"note: {note}", file=sys.stderr)
    corpora = load_corpora(configs, options.launch.data_dir)
    if options.dry_run:
        study = Study(folder, patience=RETRY_SECONDS)
        plan = look_up(configs, corpora, study)
        warn_of_damages(plan)
        dry_run(options, plan, runs_to_start(plan, options.launch), corpora, study, out)
        return 0
    swept = sweep(options.launch, folder, configs, corpora, out)
    print_next(out, swept.plan, folder)
    if swept.interrupted:
        out.print(f"interrupted; this goes on from here: {again}", markup=False, soft_wrap=True)
        return 130
    return int(swept.failed)


def dry_run(
    options: Options,
    plan: Plan,
    todo: Sequence[PlannedRun],
    corpora: Mapping[str, Corpus],
    study: Study,
    out: Console,
) -> None:
    """Print what is to be done and its cost, after probes if they are asked for."""
    given: Mapping[str, Resources] = {}
    if options.launch.auto and todo:
        study.check_writable()
        from sweeps.launching.session import connected

        say = partial(out.print, markup=False, soft_wrap=True)
        needs = (todo, corpora, study, options.launch.resources())
        with connected(options.launch.address, *needs, auto=True, say=say) as given:
            add_expected_times(plan, corpora, study)
    usual = options.launch.resources()
    shares = {run.cell: given.get(run.name, usual).share for run in plan.runs}
    print_costs(out, plan, cell_costs(plan, shares.__getitem__), options.devices, options.price_per_hour)
    out.print("a dry run: no run was started" if given else "a dry run: nothing was started")


if __name__ == "__main__":
    sys.exit(main())
