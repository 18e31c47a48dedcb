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
import re
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import tyro
from rich.console import Console

from lvae_core.config import InputError
from lvae_core.corpus import Corpus
from lvae_core.record import STORE_PATIENCE, Study, outages_in_lines
from sweeps.closing import print_closing
from sweeps.cost import cell_costs, inform, print_costs
from sweeps.grid import PRESETS, Grid
from sweeps.lookup import load_corpora, look_up
from sweeps.plan import Plan, PlannedRun
from sweeps.progress import Board, Display, console
from sweeps.resources import Resources
from sweeps.wandb_mirror.driver import Mode, mirrored

_arg = tyro.conf.arg
_preset = partial(_arg, help_behavior_hint="(default: the preset's)")


_JOBS = "working_dir_files"
"""The folder in which Ray keeps what comes with jobs."""

_Flag = Annotated[bool, tyro.conf.FlagCreatePairsOff]


@dataclass(frozen=True, kw_only=True)
class Options:
    """The command line. What is not given is the preset's."""

    preset: Literal["paper", "demo"] = "paper"
    """paper: the published grid of 120 runs. demo: a small one on pydocs, minutes on two cores."""
    datasets: Annotated[tuple[str, ...] | None, _preset(metavar="NAME")] = None
    """ptb, yahoo, pydocs, toy, or folders of train.txt, valid.txt and test.txt."""
    systems: Annotated[tuple[str, ...] | None, _preset(metavar="NAME")] = None
    """lstm-lm, lstm-vae, lstm-vae-avg."""
    settings: Annotated[tuple[str, ...] | None, _preset(metavar="NAME")] = None
    """standard, inputless."""
    num_samples: Annotated[tuple[int, ...] | None, _preset(metavar="L")] = None
    """Latent samples a sentence, for every system that has a latent variable."""
    seeds: Annotated[int | None, _preset(metavar="N")] = None
    """Seeds 0 to N - 1."""
    max_epochs: Annotated[int | None, _preset(metavar="N")] = None
    """Short for --set max_epochs=N."""
    changes: Annotated[
        tuple[tuple[str, ...], ...], _arg(name="set", metavar="FIELD=VALUE"), tyro.conf.UseAppendAction
    ] = ()
    """Change any config field of every run."""
    storage: str = "runs"
    """A folder, or an address such as s3://bucket/prefix."""
    study: Annotated[str | None, _arg(metavar="NAME", help_behavior_hint="(default: the preset)")] = None
    """The set of runs below the storage that this grid belongs to."""
    data_dir: Annotated[
        str | None, _arg(metavar="DIR", help_behavior_hint="(default: $LVAE_DATA_DIR, else data)")
    ] = None
    """The folder of the public corpora."""
    address: Annotated[
        str | None, _arg(metavar="ADDRESS", help_behavior_hint="(default: a Ray of its own, here)")
    ] = None
    """A running Ray cluster, or auto."""
    cpus_per_run: int | Literal["auto"] = 1
    """CPU cores, and threads, of one run; auto: short probes find out what is fastest."""
    gpus_per_run: float | Literal["auto"] = 0.0
    """GPUs of one run; 0.25 puts four runs on one; auto: short probes find out how many."""
    max_concurrent: Annotated[
        int | None, _arg(metavar="N", help_behavior_hint="(default: as many as fit)")
    ] = None
    """Runs at once."""
    checkpoint_epochs: Annotated[int, _arg(metavar="N")] = 1
    """Save the whole training state at the end of every N epochs,"""
    checkpoint_minutes: Annotated[float, _arg(metavar="M")] = 10.0
    """and whenever M minutes have passed since, in the middle of an epoch or of an evaluation."""
    wandb: Mode = "disabled"
    """Mirror every run to W&B; the run folders stay what counts."""
    wandb_project: str = "lvae"
    """The W&B project of the mirror,"""
    wandb_entity: str | None = None
    """and whose it is; the API key's own user or team unless told."""
    dry_run: _Flag = False
    """Print the plan and what it costs; start nothing, save for the probes of auto."""
    devices: Annotated[tuple[int, ...], _arg(metavar="K")] = (1, 8)
    """With --dry-run: tell the time on so many GPUs, or CPU cores where runs have none."""
    price_per_hour: Annotated[float | None, _arg(metavar="$", help_behavior_hint="(default: none)")] = None
    """With --dry-run: of one such device, to tell the cost."""
    retry_failed: _Flag = False
    """Take up failed runs again, too."""

    def check(self) -> None:
        """Raise InputError where a number or a name cannot be used."""
        gpus = 1.0 if self.gpus_per_run == "auto" else self.gpus_per_run
        if self.cpus_per_run == "auto" and gpus:
            raise InputError(
                "--cpus-per-run auto: for runs without GPUs; give a number beside --gpus-per-run"
            )
        if not (math.isfinite(gpus) and gpus >= 0 and (gpus <= 1 or gpus == int(gpus))):
            raise InputError(f"--gpus-per-run {gpus:g}: give a number from 0 to 1, or a whole number")
        for option, value in (
            ("--cpus-per-run", 1 if self.cpus_per_run == "auto" else self.cpus_per_run),
            *(("--devices", number) for number in self.devices),
            ("--max-concurrent", self.max_concurrent),
            ("--checkpoint-epochs", self.checkpoint_epochs),
        ):
            if value is not None and value < 1:
                raise InputError(f"{option} {value}: must be at least 1")
        minutes = self.checkpoint_minutes
        if not (math.isfinite(minutes) and minutes >= 0):
            raise InputError(f"--checkpoint-minutes {minutes:g}: must be a number, 0 or more")
        if self.price_per_hour is not None and not 0 < self.price_per_hour < math.inf:
            raise InputError(f"--price-per-hour {self.price_per_hour:g}: must be a number above 0")
        if not self.storage.strip():
            raise InputError("--storage: empty; give a folder, or an address such as s3://bucket/prefix")
        if "://" not in self.storage and _JOBS in Path(self.storage).resolve().parts:
            raise InputError(
                f"--storage {self.storage}: is in the copy of the code that came with the job, and Ray "
                "removes it; give s3://bucket/prefix, or a folder by its whole path"
            )
        if self.study is not None and not re.fullmatch(r"\w[\w.-]*", self.study):
            raise InputError(f"--study {self.study!r}: use letters, digits, '.', '-' and '_' only")

    @property
    def auto(self) -> bool:
        """Whether probes are to find out what a run is given."""
        return "auto" in (self.cpus_per_run, self.gpus_per_run)

    def resources(self) -> Resources:
        """What a run is given, or what its probe is to share out."""
        return Resources(
            cpus=1 if self.cpus_per_run == "auto" else self.cpus_per_run,
            gpus=1.0 if self.gpus_per_run == "auto" else self.gpus_per_run,
            max_concurrent=self.max_concurrent or 0,
        )

    @property
    def folder(self) -> str:
        """Where the study is kept, as the user would write it."""
        return f"{self.storage.rstrip('/')}/{self.study or self.preset}"

    def grid(self) -> Grid:
        """The preset with what the options change."""
        preset = PRESETS[self.preset]
        names = preset.systems if self.systems is None else dict.fromkeys(self.systems, (1,))
        systems = {name: preset.systems.get(name, samples) for name, samples in names.items()}
        if self.num_samples is not None:
            systems = dict.fromkeys(systems, self.num_samples)
        epochs = () if self.max_epochs is None else (f"max_epochs={self.max_epochs}",)
        changes = tuple(change for group in self.changes for change in group)
        return Grid(
            datasets=preset.datasets if self.datasets is None else self.datasets,
            systems=systems,
            settings=preset.settings if self.settings is None else self.settings,
            seeds=preset.seeds if self.seeds is None else self.seeds,
            changes=preset.changes + epochs + changes,
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        options = tyro.cli(Options, args=arguments, prog="paper_grid.py", description=__doc__)
        with outages_in_lines():
            return run(options, again=shlex.join(["python", "sweeps/paper_grid.py", *arguments]))
    except InputError as error:
        for line in str(error).splitlines():
            print(f"error: {line}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped at once; the same command goes on from the last checkpoints", file=sys.stderr)
        return 130


def run(options: Options, *, again: str) -> int:
    """Plan, launch and close; returns the exit status.

    Args:
        options: the command line.
        again: the command that goes on from an interruption.

    Raises:
        InputError: something given cannot be used; nothing has been started or written.
    """
    options.check()
    out = console()
    mode: Mode = "disabled" if options.dry_run else options.wandb
    where = options.folder, options.wandb_project, options.wandb_entity
    with mirrored(mode, *where, partial(out.print, markup=False, soft_wrap=True)) as mirror:
        return _run(options, again, out, mirror)


def _run(options: Options, again: str, out: Console, mirror: Callable[[Plan, Board], None]) -> int:
    configs = options.grid().configs()
    corpora = load_corpora(configs, options.data_dir)
    study = Study(options.folder, patience=STORE_PATIENCE)
    plan = look_up(configs, corpora, study)
    for damage in (line for run in plan.runs for line in run.damages):
        print(f"warning: {damage}; launching mends it", file=sys.stderr)
    todo = plan.with_status("left", "failed") if options.retry_failed else plan.with_status("left")
    if options.dry_run:
        dry_run(options, plan, todo, corpora, study, out)
        return 0
    board = Board.of(plan, todo)
    mirror(plan, board)
    if not todo:
        out.print(f"nothing to start: {len(plan.with_status('done'))} of {len(plan.runs)} runs are done")
        return int(print_closing(out, plan, {}, options.folder))
    study.check_writable()
    out.print(f"{options.folder}: {len(todo)} of {len(plan.runs)} runs to do", markup=False)
    went_through = launch_on_ray(options, todo, corpora, study, Display(board, out))
    failed = print_closing(out, look_up(configs, corpora, study), board.failures, options.folder)
    if not went_through:
        out.print(f"interrupted; this goes on from here: {again}", markup=False, soft_wrap=True)
        return 130
    return int(failed)


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
    if options.auto and todo:
        study.check_writable()
        from sweeps.session import connected

        say = partial(out.print, markup=False, soft_wrap=True)
        needs = (todo, corpora, study)
        with connected(options.address, *needs, options.resources(), auto=True, say=say) as given:
            inform(plan, corpora, study)
    usual = options.resources()
    shares = {run.config.cell: given.get(run.name, usual).share for run in plan.runs}
    print_costs(out, plan, cell_costs(plan, shares.__getitem__), options.devices, options.price_per_hour)
    out.print("a dry run: no run was started" if given else "a dry run: nothing was started")


def launch_on_ray(
    options: Options,
    todo: Sequence[PlannedRun],
    corpora: Mapping[str, Corpus],
    study: Study,
    display: Display,
) -> bool:
    """Connect to Ray and do what is to be done; returns whether it was not interrupted."""
    # Ray and torch take seconds to import: only where there is something to start.
    from lvae_core.runtime import Runtime
    from sweeps.launch import launch
    from sweeps.secrecy import keys_stay_here
    from sweeps.session import connected

    runtime = Runtime(
        checkpoint_epochs=options.checkpoint_epochs, checkpoint_seconds=60.0 * options.checkpoint_minutes
    )
    resources, needs = options.resources(), (todo, corpora, study)
    on_ray = connected(options.address, *needs, resources, auto=options.auto, say=display.say)
    with on_ray as given, display, keys_stay_here():
        return launch(*needs, resources, display, given=given, runtime=runtime)


if __name__ == "__main__":
    sys.exit(main())
