"""Print the outcome of a launch: the runs of each variant, what failed, and what to do next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from lvae_core.messages import next_line, numbered
from lvae_core.run_folder.advice import failure_advice
from lvae_core.run_folder.study import Study
from sweeps.planning.grids.fitting import FittingColumn, fitting_table, print_fitting, print_line
from sweeps.planning.grids.overview import MAX_ROWS, VariantName, name_columns, title_of, variant_names
from sweeps.planning.plan import Plan, PlannedRun, Status, evaluation_settings
from sweeps.planning.times.durations import format_duration

_RETRY_HINT = "--retry-failed retries them; the traceback is in the run's folder, in *failure.json"


def print_evaluated(console: Console, plan: Plan, todo: Sequence[PlannedRun]) -> None:
    """Print how many runs of ``todo`` have been evaluated again, if any were to be."""
    again = {run.name for run in todo if run.evaluation}
    made = sum(run.name in again and run.status == "done" for run in plan.runs)
    if again:
        console.print(f"evaluated again: {made} of {numbered(len(again), 'run')}")


def closing_table(plan: Plan, width: int) -> Table:
    """The runs of each variant after a launch, in a window of ``width`` characters."""
    statuses: dict[Status, str] = {"done": "done", "failed": "failed", "left": "left"}
    if plan.with_status("evaluate"):
        statuses["evaluate"] = "to evaluate"
    names, variants = variant_names(plan.all_runs), list(plan.variants().items())
    shown, more = variants[:MAX_ROWS], variants[MAX_ROWS:]
    lines: list[VariantName | str] = [names[variant] for variant, _ in shown]
    groups = [runs for _, runs in shown]
    seconds = [
        format_duration(plan.speed.expected_seconds(variant)) if _count(runs, "done") else ""
        for variant, runs in shown
    ]
    if more:
        lines.append(f"{len(more):,} more")
        groups.append([run for _, runs in more for run in runs])
        seconds.append("")
    columns = name_columns(lines)
    for status, heading in statuses.items():
        counts = [str(_count(runs, status)) for runs in groups]
        columns.append(FittingColumn(heading, counts, number=True, is_count=status != "done"))
    columns.append(FittingColumn("time per run", seconds, number=True))
    return fitting_table(title_of("runs", lines), columns, width)


def _class_of(failure: Mapping[str, Any]) -> str:
    """The class of a failure; damaged records have none."""
    return str(failure.get("class", "?"))


def failure_table(failures: Mapping[str, Mapping[str, Any]], values: Mapping[str, str]) -> Table:
    """A table of failures.

    Args:
        failures: run name -> content of failure.json.
        values: run name -> its values of the fields that vary, of which the name has only a hash; empty if
            none vary.
    """
    table = Table(title="failed runs")
    varied = any(values.get(name) for name in failures)
    for heading in ("run", *(["what differs"] if varied else []), "class", "attempt", "message"):
        table.add_column(heading, overflow="fold")
    for name, failure in failures.items():
        # As Text, so that nothing in a file is read as markup.
        cells = [Text(str(failure.get(key, "?"))) for key in ("class", "attempt", "message")]
        differing = [Text(values.get(name, ""))] if varied else []
        table.add_row(name, *differing, *cells)
    return table


def print_failures(
    console: Console, failures: Mapping[str, Mapping[str, Any]], values: Mapping[str, str]
) -> None:
    """Print a table of failed runs and what to do about each kind; arguments as :func:`failure_table`."""
    console.print(failure_table(failures, values))
    for advice in failure_advice(map(_class_of, failures.values()), _RETRY_HINT):
        print_line(console, advice)


def print_closing(console: Console, plan: Plan, unrecorded: Mapping[str, Mapping[str, Any]]) -> bool:
    """Print the outcome of a grid.

    Args:
        console: where to print.
        plan: the grid, as its folders are now.
        unrecorded: run name -> failure, of runs that failed in this launch; used if the storage has no
            record of the failure.

    Returns:
        Whether any run of the grid has failed.
    """
    failures = {
        run.name: run.failure or unrecorded[run.name]
        for run in plan.all_runs
        if run.status == "failed" or (run.status != "done" and run.name in unrecorded)
    }
    print_fitting(console, closing_table(plan, console.width))
    if failures:
        names = variant_names(plan.all_runs)
        values = {run.name: names[run.variant].values for run in plan.all_runs if run.name in failures}
        print_failures(console, failures, values)
    return bool(failures)


def print_next(console: Console, plan: Plan, study: Study) -> None:
    """Print the command that summarizes the finished runs of a study, if any.

    If runs also have other estimates, the command selects those that the grid asks for.
    """
    if done := plan.with_status("done"):
        settings = evaluation_settings(run for run in done if not run.evaluation)
        chosen = ["--evaluation", *settings] if settings else []
        line = next_line("python", "analysis/summarize.py", study.given, *chosen)
        print_line(console, line)


def _count(runs: Sequence[PlannedRun], status: str) -> int:
    return sum(run.status == status for run in runs)
