"""List the runs of a study, or move or delete some of them.

    python sweeps/runs.py list runs/paper
    python sweeps/runs.py list runs/paper --where system=lstm-vae state=failed
    python sweeps/runs.py move runs/paper --where learning_rate=0.5 --to runs/slow --yes
    python sweeps/runs.py delete runs/paper --where dataset=toy seed=3..5,9 --yes

Without --yes, move and delete only show what they would do. A run that another process is working on is
left alone, unless the process only scores a part of an evaluation (evaluate --part), which then ends with
an error. To see whether such a process is alive, move and delete wait a minute. A study in which nothing is
left, not even a record such as declared-seeds.json, is removed. Links are never followed. Exit status: 0
everything was done, 1 some runs were left alone, 2 the input cannot be used.
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

import contextlib
import os
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import tyro
from rich.console import Console
from rich.table import Table
from rich.text import Text

from lvae_core.command import exit_status
from lvae_core.config import FIELD_TYPES
from lvae_core.errors import InputError
from lvae_core.messages import Verbosity, first_of, numbered
from lvae_core.run_folder.folder import DamagedError, RunFolder
from lvae_core.run_folder.names import RunName, check_study_name
from lvae_core.run_folder.planned_runs import FILE as PLANNED_RUNS
from lvae_core.run_folder.planned_runs import read_planned_runs
from lvae_core.run_folder.study import Study
from lvae_core.storage.local import local_path
from sweeps.options import Flag, Messages, arg, parse_options
from sweeps.planning.grids.overview import UNREAD, cell_columns, value_text
from sweeps.planning.relocated_runs import apply_to_all
from sweeps.planning.sizes import format_bytes
from sweeps.planning.stored_runs import Run, check_values, runs_of, select, selection
from sweeps.wandb_mirror.lease import is_lease_folder

_PLAN_SECONDS = 300.0
"""Age of a launch's plan at which it has begun its runs, or never will."""

_IN_THE_NAME = ("dataset", "system", "setting", "num_samples", "seed")


@dataclass(frozen=True, kw_only=True)
class Options:
    """The command line."""

    action: Annotated[Literal["list", "move", "delete"], tyro.conf.Positional]
    """What to do with the runs."""
    study: Annotated[str, tyro.conf.Positional, arg(metavar="STUDY")]
    """The folder of a study."""
    where: Annotated[
        tuple[str, ...],
        arg(metavar="FIELD=VALUE ...", help_behavior_hint="(default: all; move and delete need it)"),
    ] = ()
    """Select runs by the fields of their config, or by state: done, running, failed, unfinished or
    unreadable. Several values have commas between, and numbers may be a range: seed=0..2,7."""
    to: Annotated[str | None, arg(metavar="STUDY", help_behavior_hint="(for move)")] = None
    """The folder of the study that runs are moved to."""
    names: Flag = False
    """Print a line with the folder's name for each run, as in a pipe, instead of a table."""
    yes: Flag = False
    """Do it; without, the command only shows what it would do."""
    messages: Messages = field(default_factory=Verbosity)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    arguments = sys.argv[1:] if arguments is None else arguments

    def command() -> int:
        options = parse_options(Options, arguments, "runs.py", __doc__, lists=["--where"])
        options.messages.apply()
        return act(options, Console(markup=False, highlight=False))

    return exit_status(command, interrupted="stopped; runs that were not reached are as they were")


def act(options: Options, console: Console) -> int:
    """Do what the options say; returns the exit status.

    Raises:
        InputError: the study, the selection or the target cannot be used.
    """
    root = _root(options.study)
    if options.to is not None and options.action != "move":
        raise InputError(f"{options.action} --to {options.to}: only move has a target; leave it out")
    runs, wanted = runs_of(root), selection(options.where)
    if not runs:
        _check_no_storage(options.study, root)
        _check_no_dataset(root, options.study)
    check_values(wanted, runs)
    chosen = select(runs, wanted)
    if options.action == "list":
        _print(console, chosen, names=options.names)
        return 0
    if not options.where:
        raise InputError(f"{options.action}: say which runs, such as --where state=failed")
    target = _target(options, root) if options.action == "move" else None
    if not chosen:
        console.print(f"nothing to do: no run has {' '.join(options.where)}", soft_wrap=True)
        return 0
    _print(console, chosen, names=options.names)
    doing = f"moved to {options.to}" if target else "deleted"
    if not options.yes:
        console.print(
            f"{numbered(len(chosen), 'run')} would be {doing}; add --yes to do it", soft_wrap=True
        )
        return 0
    left = apply_to_all(chosen, target)
    for name, why in left.items():
        console.print(f"left alone: {name}: {why}", soft_wrap=True)
    console.print(f"{len(chosen) - len(left)} of {numbered(len(chosen), 'run')} {doing}", soft_wrap=True)
    if _remove_if_empty(root, {run.folder.name for run in chosen} - left.keys()):
        console.print(f"{options.study}: held nothing else, and is removed", soft_wrap=True)
    return 1 if left else 0


def _print(console: Console, runs: Sequence[Run], *, names: bool) -> None:
    """Print runs as a table, or as lines with whole names if asked to or if there is no terminal."""
    runs = in_order(runs)
    differences = _differences(runs)
    if names or not console.is_terminal:
        for run, what in zip(runs, differences, strict=True):
            size = f"epochs: {run.epochs}  {format_bytes(run.size)}"
            console.print(f"{run.folder.name}  {run.state}  {size}  {what}".rstrip(), soft_wrap=True)
    else:
        console.print(_table(runs, differences))
    console.print(f"{numbered(len(runs), 'run')}, {format_bytes(sum(run.size for run in runs))}")


def in_order(runs: Sequence[Run]) -> list[Run]:
    """Sort runs by their names without the fingerprints, and runs of one seed by what differs."""
    differing = _differing_fields(runs)

    def key(run: Run) -> tuple[Any, ...]:
        cell, fields = run.name.cell, differing[run.group]
        values = [getattr(run.config, name) for name in fields] if run.config else []
        name = (cell.dataset, cell.system, cell.setting, cell.num_samples, run.name.seed)
        return *name, run.config is None, values, run.name.fingerprint

    return sorted(runs, key=key)


def _differences(runs: Sequence[Run]) -> list[str]:
    """For each run, the fields that it reads and in which the runs of its group differ."""
    differing = _differing_fields(runs)

    def difference(run: Run) -> str:
        if not (config := run.config):
            return "its config cannot be read"
        values = [(name, value_text(config, name)) for name in differing[run.group]]
        return ", ".join(f"{name}={text}" for name, text in values if text != UNREAD)

    return [difference(run) for run in runs]


def _differing_fields(runs: Sequence[Run]) -> dict[tuple[str, str, str], list[str]]:
    """Dataset, system and setting -> the fields in which their runs differ, without those in the name.

    A field that has one value in all runs that read it follows from another one.
    """
    values: dict[tuple[str, str, str], dict[str, set[str]]] = {run.group: {} for run in runs}
    for run in runs:
        if run.config:
            for name in FIELD_TYPES:  # the order in which a line lists them
                if name not in _IN_THE_NAME:
                    values[run.group].setdefault(name, set()).add(value_text(run.config, name))
    return {
        group: [name for name, texts in fields.items() if len(texts - {UNREAD}) > 1]
        for group, fields in values.items()
    }


def _table(runs: Sequence[Run], differences: Sequence[str]) -> Table:
    """The runs by what sets them apart: without the dataset or the setting if all have the same."""
    columns = cell_columns([run.name.cell for run in runs]) | {
        "seed": [str(run.name.seed) for run in runs],
        "state": [run.state for run in runs],
        "what differs": differences,
        "epochs": [str(run.epochs) for run in runs],
        "size": [format_bytes(run.size) for run in runs],
    }
    if not any(differences):
        del columns["what differs"]
    table = Table()
    for heading in columns:
        is_number = heading in ("L", "seed", "epochs", "size")
        is_long = heading == "what differs"
        table.add_column(
            heading,
            justify="right" if is_number else "left",
            no_wrap=not is_long,
            overflow="fold" if is_long else "ellipsis",
        )
    for row in zip(*columns.values(), strict=True):
        table.add_row(*map(Text, row))
    return table


def _root(study: str) -> Path:
    if "://" in study:
        raise InputError(f"{study}: runs.py works on local folders; use the tools of the object store")
    root = local_path(study)
    if not root.is_dir():
        raise InputError(f"{study}: there is no such folder; give a study, such as runs/paper")
    if RunName.parse(root.resolve().name):
        raise InputError(f"{study}: is a run; give its study, {root.parent}")
    return root


def _check_no_storage(study: str, root: Path) -> None:
    """Raise InputError if a folder without runs holds folders with runs: the study is one of these."""
    folders = sorted(place for place in root.iterdir() if place.is_dir() and not place.is_symlink())
    studies = [place.name for place in folders if _holds_runs(Study(str(root)).run(place.name))]
    if studies:
        raise InputError(
            f"{study}: holds no run itself, but studies: {first_of(studies)}; give one of them, such as "
            f"{root / studies[0]}"
        )


def _holds_runs(folder: RunFolder) -> bool:
    try:
        return folder.holds_runs()
    except OSError:
        return False


def _target(options: Options, root: Path) -> Path:
    if options.to is None:
        raise InputError("move: say where to, such as --to runs/other")
    if "://" in options.to:
        raise InputError(f"--to {options.to}: runs.py works on local folders; give one")
    target = local_path(options.to)
    place = target.resolve()
    if place == root.resolve():
        raise InputError(f"--to {options.to}: is the study itself; give another one, such as runs/other")
    if root.resolve() in place.parents:
        raise InputError(f"--to {options.to}: lies within the study; give another place")
    for folder in (place, *place.parents):
        if RunName.parse(folder.name):  # no command finds a run in a run, and both are deleted together
            raise InputError(f"--to {options.to}: {folder} is a run; give a study, such as {folder.parent}")
    if target.exists() and not target.is_dir():
        raise InputError(f"--to {options.to}: is a file; give the folder of a study")
    _check_no_dataset(target, f"--to {options.to}")
    named = target if target.name else place  # such as "."
    check_study_name(named.name, "--to: the name of a study cannot be ")
    return target


def _check_no_dataset(folder: Path, at: str) -> None:
    if (folder / "train.txt").exists():
        raise InputError(f"{at}: is a dataset, with train.txt in it; give a study")


def _remove_if_empty(root: Path, gone: Collection[str]) -> bool:
    """Remove a study's folder that holds nothing any more; records, such as declared seeds, keep it.

    So does the plan of a launch that may be about to make its runs. The empty folder in which a mirror to
    W&B held its lease does not.

    Args:
        root: the study.
        gone: the runs that have just been moved or deleted.
    """
    if root.is_symlink() or root.resolve() == Path.cwd():
        return False
    try:
        left = set(os.listdir(root))
        leases = set(filter(is_lease_folder, left))
        if left - leases <= {PLANNED_RUNS}:
            for name in leases:
                (root / name).rmdir()  # an OSError if a mirror still follows the study
            if PLANNED_RUNS in left and _is_over(root, gone):
                (root / PLANNED_RUNS).unlink()
        root.rmdir()
    except OSError:  # not empty, or not ours to remove
        return False
    return True


def _is_over(root: Path, gone: Collection[str]) -> bool:
    """Whether the launch that left its plan in a study can only have ended."""
    with contextlib.suppress(DamagedError):
        if set(read_planned_runs(Study(str(root)))) <= set(gone):
            return True
    return time.time() - (root / PLANNED_RUNS).stat().st_mtime > _PLAN_SECONDS


if __name__ == "__main__":
    sys.exit(main())
