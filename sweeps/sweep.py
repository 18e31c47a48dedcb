"""One sweep: do what is left of a planned workload, and print the outcome."""

from __future__ import annotations

import contextlib
import logging
import shlex
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table
from rich.text import Text

from lvae_core.config import RunConfig
from lvae_core.messages import notice
from sweeps.launching.board import Board
from sweeps.launching.display import Display, unless_quiet
from sweeps.launching.session import on_ray
from sweeps.options import LaunchOptions
from sweeps.planning.durations import format_duration
from sweeps.planning.loading import look_up
from sweeps.planning.plan import Plan, PlannedRun
from sweeps.planning.workload import Workload
from sweeps.wandb_mirror.live import mirrored

_log = logging.getLogger("lvae.run_folder")


class Swept(NamedTuple):
    """The outcome of a sweep."""

    plan: Plan
    """The plan, read again from the folders at the end."""
    failed: bool
    """Whether any run of the plan has failed."""
    interrupted: bool


def sweep(
    options: LaunchOptions,
    folder: str,
    workload: Workload,
    out: Console,
    label: Callable[[RunConfig], str] | None = None,
) -> Swept:
    """Do the runs of a workload that are not done.

    Args:
        options: where and how.
        folder: the study's, as the user would write it.
        workload: the whole grid.
        out: gets every line.
        label: the name of a run in these lines; None: the run's own name.

    Raises:
        InputError: something cannot be used; no run has been started.
    """
    plan, study = workload.plan, workload.study
    warn_of_damages(plan)
    todo = runs_to_start(plan, options)
    board = Board.of(plan, todo)
    if label:
        board.labels = {run.name: label(run.config) for run in plan.runs}
    notes = unless_quiet(out)
    with on_wandb(options, folder, out):
        if not todo:
            done = len(plan.with_status("done"))
            out.print(f"nothing to start: {done} of {len(plan.runs)} runs are done")
            return Swept(plan, print_closing(out, plan, {}), interrupted=False)
        study.check_writable()
        notes.print(f"{folder}: {len(todo)} of {len(plan.runs)} runs to do", markup=False)
        display = Display(board, notes)
        with on_ray(options, workload.only(todo), display.say) as launch:
            completed = launch(todo, display)
        plan = look_up([run.config for run in plan.runs], workload.corpora, study)
        return Swept(plan, print_closing(out, plan, board.failures), not completed)


def on_wandb(options: LaunchOptions, folder: str, out: Console) -> contextlib.AbstractContextManager[None]:
    """Mirror the study as the options ask; see :func:`sweeps.wandb_mirror.live.mirrored`."""
    say = partial(unless_quiet(out).print, markup=False, soft_wrap=True)
    return mirrored(options.wandb, folder, options.wandb_project, options.wandb_entity, say)


def runs_to_start(plan: Plan, options: LaunchOptions) -> list[PlannedRun]:
    """The runs that a launch with these options starts."""
    return plan.with_status("left", "failed") if options.retry_failed else plan.with_status("left")


def warn_of_damages(plan: Plan) -> None:
    """Print the notes of a plan, and a warning for each file that is not what was written."""
    for note in plan.notes:
        notice(f"note: {note}")
    for damage in (line for run in plan.runs for line in run.damages):
        _log.warning("%s; launching repairs it", damage)


RETRY_HINT = "--retry-failed retries them; each run's failure.json has the traceback"


def closing_table(plan: Plan) -> Table:
    """The runs of each cell after a launch."""
    table = Table("cell", title="runs")
    for heading in ("done", "failed", "left", "time a run"):
        table.add_column(heading, justify="right")
    for cell, runs in plan.cells().items():
        counts = [str(_count(runs, status)) for status in ("done", "failed", "left")]
        table.add_row(
            cell,
            *counts,
            format_duration(plan.speed.expected_seconds(cell)) if _count(runs, "done") else "",
        )
    return table


def failure_table(failures: Mapping[str, Mapping[str, Any]]) -> Table:
    """A table of failures. ``failures``: run name -> what failure.json says."""
    table = Table("run", "class", "attempt", "message", title="failed runs")
    for name, failure in failures.items():
        # As Text, so that nothing in a file is read as markup.
        cells = [Text(str(failure.get(key, "?"))) for key in ("class", "attempt", "message")]
        table.add_row(name, *cells)
    return table


def print_closing(console: Console, plan: Plan, unrecorded: Mapping[str, Mapping[str, Any]]) -> bool:
    """Print the outcome of a grid.

    Args:
        console: where to print.
        plan: the grid, as its folders are now.
        unrecorded: run name -> failure, of runs that failed in this launch; used for a run whose failure
            the storage does not hold.

    Returns:
        Whether any run of the grid has failed.
    """
    failures = {
        run.name: run.failure or unrecorded[run.name]
        for run in plan.runs
        if run.status == "failed" or (run.status == "left" and run.name in unrecorded)
    }
    console.print(closing_table(plan))
    if failures:
        console.print(failure_table(failures))
        console.print(RETRY_HINT)
    return bool(failures)


def print_next(console: Console, plan: Plan, folder: str) -> None:
    """Print the command that summarizes the finished runs, if any; ``folder``: the study, as given."""
    if plan.with_status("done"):
        command = f"python analysis/summarize.py {shlex.quote(folder)}"
        console.print(f"next: {command}", markup=False, soft_wrap=True)


def _count(runs: Sequence[PlannedRun], status: str) -> int:
    return sum(run.status == status for run in runs)
