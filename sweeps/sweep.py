"""One sweep: the plan is looked up, what is left of it is done, and what has become of it is told."""

from __future__ import annotations

import contextlib
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table
from rich.text import Text

from lvae_core.config import RunConfig
from lvae_core.data.corpus import Corpus
from lvae_core.run_folder.folder import Study
from lvae_core.storage.retrying import RETRY_SECONDS
from sweeps.launching.board import Board
from sweeps.launching.display import Display
from sweeps.launching.session import on_ray
from sweeps.options import LaunchOptions
from sweeps.planning.durations import clock
from sweeps.planning.loading import look_up
from sweeps.planning.plan import Plan, PlannedRun
from sweeps.wandb_mirror.live import mirrored


class Swept(NamedTuple):
    """What has become of it."""

    plan: Plan
    """As the folders tell it at the end."""
    failed: bool
    """Whether any run of it has failed."""
    interrupted: bool


def sweep(
    options: LaunchOptions,
    folder: str,
    configs: Sequence[RunConfig],
    corpora: Mapping[str, Corpus],
    out: Console,
    label: Callable[[RunConfig], str] | None = None,
) -> Swept:
    """Do the runs of ``configs`` that are not done.

    Args:
        options: where and how.
        folder: of the study, as the user would write it.
        configs: see above.
        corpora: theirs, by the datasets that the configs name.
        out: told of everything.
        label: what a run is called there; None: by its own name.

    Raises:
        InputError: something cannot be used; no run has been started.
    """
    study = Study(folder, patience=RETRY_SECONDS)
    plan = look_up(configs, corpora, study)
    warn_of_damages(plan)
    todo = runs_to_start(plan, options)
    board = Board.of(plan, todo)
    if label:
        board.labels = {run.name: label(run.config) for run in plan.runs}
    with on_wandb(options, folder, out):
        if not todo:
            done = len(plan.with_status("done"))
            out.print(f"nothing to start: {done} of {len(plan.runs)} runs are done")
            return Swept(plan, print_closing(out, plan, {}), interrupted=False)
        study.check_writable()
        out.print(f"{folder}: {len(todo)} of {len(plan.runs)} runs to do", markup=False)
        display = Display(board, out)
        with on_ray(options, todo, corpora, study, display.say) as launch:
            went_through = launch(todo, display)
        plan = look_up(configs, corpora, study)
        return Swept(plan, print_closing(out, plan, board.failures), not went_through)


def on_wandb(options: LaunchOptions, folder: str, out: Console) -> contextlib.AbstractContextManager[None]:
    """Mirror the study as the options ask; see :func:`sweeps.wandb_mirror.live.mirrored`."""
    say = partial(out.print, markup=False, soft_wrap=True)
    return mirrored(options.wandb, folder, options.wandb_project, options.wandb_entity, say)


def runs_to_start(plan: Plan, options: LaunchOptions) -> list[PlannedRun]:
    """The runs that a launch would start."""
    return plan.with_status("left", "failed") if options.retry_failed else plan.with_status("left")


def warn_of_damages(plan: Plan) -> None:
    """A line on stderr for each file that is not what was written, and for what else is to be known."""
    for note in plan.notes:
        print(f"note: {note}", file=sys.stderr)
    for damage in (line for run in plan.runs for line in run.damages):
        print(f"warning: {damage}; launching mends it", file=sys.stderr)


RETRY = "--retry-failed takes them up again; each run's failure.json has the traceback"


def closing_table(plan: Plan) -> Table:
    """Runs by cell after a launch."""
    table = Table("cell", title="runs")
    for heading in ("done", "failed", "left", "time a run"):
        table.add_column(heading, justify="right")
    for cell, runs in plan.cells().items():
        counts = [str(_count(runs, status)) for status in ("done", "failed", "left")]
        table.add_row(cell, *counts, clock(plan.speed.expect(cell)) if _count(runs, "done") else "")
    return table


def failure_table(failures: Mapping[str, Mapping[str, Any]]) -> Table:
    """Run name -> what failure.json says, as a table."""
    table = Table("run", "class", "attempt", "message", title="failed runs")
    for name, failure in failures.items():
        # As text: what a file says must not be taken for markup.
        cells = [Text(str(failure.get(key, "?"))) for key in ("class", "attempt", "message")]
        table.add_row(name, *cells)
    return table


def print_closing(console: Console, plan: Plan, unrecorded: Mapping[str, Mapping[str, Any]]) -> bool:
    """Print what has become of a grid.

    Args:
        console: where to.
        plan: the grid as its folders tell it now.
        unrecorded: run name -> failure, of runs that failed in this launch; it counts where the
            storage does not tell of it.

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
        console.print(RETRY)
    return bool(failures)


def print_next(console: Console, plan: Plan, folder: str) -> None:
    """Print the command for what is done, if anything is; ``folder``: the study, as it is to name it."""
    if plan.with_status("done"):
        command = f"python analysis/summarize.py {shlex.quote(folder)}"
        console.print(f"next: {command}", markup=False, soft_wrap=True)


def _count(runs: Sequence[PlannedRun], status: str) -> int:
    return sum(run.status == status for run in runs)
