"""The tables before and after a launch: what there is to do, and what has become of it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from sweeps.estimate import clock
from sweeps.plan import Plan, PlannedRun

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
