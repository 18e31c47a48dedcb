"""Run what is left of a planned workload, and print the outcome."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table
from rich.text import Text

from lvae_core.config import RunConfig
from lvae_core.data.corpus import data_hashes
from lvae_core.messages import next_line, notice, numbered
from lvae_core.run_folder.advice import failure_advice
from lvae_core.run_folder.declared_seeds import declare_seeds
from lvae_core.run_folder.folder import FAILURE
from lvae_core.run_folder.planned_runs import forget_planned_runs, write_planned_runs
from lvae_core.run_folder.study import Study
from sweeps.launching.progress.board import Board
from sweeps.launching.progress.display import Display, unless_quiet
from sweeps.launching.progress.events import note_without_events, open_events
from sweeps.launching.session import on_ray
from sweeps.options import LaunchOptions
from sweeps.planning.done_runs import DoneRuns
from sweeps.planning.grids.fitting import FittingColumn, fitting_table, print_fitting, print_line
from sweeps.planning.grids.overview import MAX_ROWS, VariantName, name_columns, title_of, variant_names
from sweeps.planning.loading import look_up
from sweeps.planning.parents import startable
from sweeps.planning.plan import Plan, PlannedRun, Status, evaluation_settings
from sweeps.planning.retries import launch_notes
from sweeps.planning.saved_runs import saved_text
from sweeps.planning.times.durations import format_duration
from sweeps.planning.workload import Workload
from sweeps.wandb_mirror.live import mirrored

_log = logging.getLogger("lvae.run_folder")


class Swept(NamedTuple):
    """The outcome of a sweep."""

    plan: Plan
    """The plan, read again from the folders at the end."""
    failed: bool
    """Whether any run of the plan has failed, or was left undone without an interruption."""
    interrupted: bool


def sweep(
    options: LaunchOptions,
    workload: Workload,
    out: Console,
    label: Callable[[RunConfig], str] | None = None,
    variant_label: Callable[[RunConfig], str] | None = None,
    declared_seeds: int | None = None,
) -> Swept:
    """Do the runs of a workload that are not done.

    Args:
        options: storage, cluster and resources.
        workload: the whole grid.
        out: receives every line.
        label: the name of a run in these lines; None: the run's own name.
        variant_label: the name of a run's variant; None: its cell, and its values of the fields that vary.
        declared_seeds: the number of seeds to declare before the first run; None: none.

    Raises:
        InputError: something cannot be used; no run has been started.
    """
    plan, study = workload.plan, workload.study
    warn_of_damages(plan)
    todo = runs_to_start(plan, options)
    board = Board.of(plan, todo)
    if label:
        board.labels = {run.name: label(run.config) for run in plan.runs}  # parents keep their names
    if variant_label:
        board.variant_labels = {run.variant: variant_label(run.config) for run in plan.runs}
    else:
        board.variant_labels = {v: str(name) for v, name in variant_names(plan.all_runs).items()}
    notes = unless_quiet(out)
    for note in launch_notes(plan, todo):
        print_line(notes, note)
    if options.tensorboard:
        note_without_events(study, [run.name for run in plan.with_status("done", "evaluate")])
    with on_wandb(options, study, out):
        if not todo:
            if declared_seeds is not None:
                declare_seeds(study, declared_seeds)
            _forget_if_ended(study, plan)  # that launch may have been killed after its last run
            done = len(plan.with_status("done"))
            out.print(f"nothing to start: {done} of {len(plan.runs)} runs are done")
            return Swept(plan, print_closing(out, plan, {}), interrupted=False)
        study.check_writable()
        notes.print(f"{study.given}: {work_text(plan, todo)}", markup=False)
        events = open_events(study, board.again, wanted=options.tensorboard)
        display = Display(board, notes, events)
        done_runs = DoneRuns(study.url, todo, data_hashes(workload.corpora))
        board.when_done = done_runs.add
        with done_runs, on_ray(options, workload.only(todo), display.say) as launch:
            if declared_seeds is not None:
                declare_seeds(study, declared_seeds)
            write_planned_runs(study, [run.name for run in plan.all_runs])
            completed = launch(todo, display)
        known = {run.key: run for run in plan.runs if run.is_settled} | done_runs.by_key
        plan = look_up([run.config for run in plan.runs], workload.corpora, study, known=known)
        _forget_if_ended(study, plan)
        print_evaluated(out, plan, todo)
        again = {run.name for run in todo if run.evaluation}
        # Another launch may have trained some meanwhile, with other fields of evaluation.
        goes_on = completed and any(run.name not in again for run in plan.with_status("evaluate"))
        if not goes_on:
            failed = print_closing(out, plan, board.failures)
            if not completed and (saved := saved_text(plan.all_runs)):
                out.print(saved)
            left = len(plan.with_status("left", "evaluate"))
            if completed and left and not failed:
                out.print(f"{numbered(left, 'run')} left undone; the same command continues")
            return Swept(plan, failed or bool(completed and left), not completed)
    return sweep(options, replace(workload, plan=plan), out, label, variant_label)


def _forget_if_ended(study: Study, plan: Plan) -> None:
    """Delete the record of what this or another launch has planned if nothing of it is left to do.

    The record may name runs that are not of this plan: the parents that its launch has trained, which
    nothing waits for any more, or the runs of another launch.
    """
    of_plan = {run.name: run.status in ("done", "failed") for run in plan.all_runs}

    def has_ended(name: str) -> bool:
        if name in of_plan:
            return of_plan[name]
        folder = study.run(name)
        return folder.has("result.json") or folder.has(FAILURE)

    forget_planned_runs(study, has_ended)


def on_wandb(options: LaunchOptions, study: Study, out: Console) -> contextlib.AbstractContextManager[None]:
    """Mirror the study as the options ask; see :func:`sweeps.wandb_mirror.live.mirrored`."""
    say = partial(print_line, unless_quiet(out))
    return mirrored(
        options.wandb,
        study.given,
        options.project,
        options.wandb_entity,
        say,
        artifacts=options.wandb_artifacts,
    )


def runs_to_start(plan: Plan, options: LaunchOptions) -> list[PlannedRun]:
    """The runs that a launch with these options starts; parents, if still needed, come first."""
    statuses: tuple[Status, ...] = ("left", "evaluate")
    wanted = plan.with_status(*statuses, *(("failed",) if options.retry_failed else ()))
    return startable(wanted, parents={run.name for run in plan.parents})


def work_text(plan: Plan, todo: Sequence[PlannedRun]) -> str:
    """Describe the work: ``3 of 24 runs to do, 12 runs to evaluate again (iw_samples=5000)``.

    Runs that will resume from a checkpoint are counted: ``1 of them unfinished (8 of 150 epochs)``, and
    apart from them those that have all their epochs.
    """
    again = [run for run in todo if run.evaluation]
    parents = {run.name for run in plan.parents}
    train = [run for run in todo if not run.evaluation and run.name not in parents]
    parts = [f"{len(train)} of {len(plan.runs)} runs to do"] if train else []
    if trained := sum(run.epochs >= run.config.max_epochs for run in train):
        parts.append(f"{trained} of them trained and not yet evaluated")
    if unfinished := [run for run in train if 0 < run.epochs < run.config.max_epochs]:
        epochs = sum(run.epochs for run in unfinished), sum(run.config.max_epochs for run in unfinished)
        parts.append(f"{len(unfinished)} of them unfinished ({epochs[0]} of {epochs[1]} epochs)")
    if again:
        settings = ", ".join(evaluation_settings(again)) or "by newer code"
        parts.append(f"{numbered(len(again), 'run')} to evaluate again ({settings})")
    return ", ".join(parts)


def print_evaluated(console: Console, plan: Plan, todo: Sequence[PlannedRun]) -> None:
    """Print how many runs of ``todo`` have been evaluated again, if any were to be."""
    again = {run.name for run in todo if run.evaluation}
    made = sum(run.name in again and run.status == "done" for run in plan.runs)
    if again:
        console.print(f"evaluated again: {made} of {numbered(len(again), 'run')}")


def warn_of_damages(plan: Plan) -> None:
    """Print the notes of a plan, and a warning for each damaged file."""
    for note in plan.notes:
        notice(f"note: {note}")
    for damage in (line for run in plan.all_runs for line in run.damages):
        _log.warning("%s; launching repairs it", damage)


_RETRY_HINT = "--retry-failed retries them; the traceback is in the run's folder, in *failure.json"


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
