"""Run what is left of a planned workload, and print the outcome."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple

from rich.console import Console

from lvae_core.config import RunConfig
from lvae_core.data.corpus import data_hashes
from lvae_core.messages import notice, numbered
from lvae_core.run_folder.declared_seeds import declare_seeds
from lvae_core.run_folder.folder import FAILURE
from lvae_core.run_folder.planned_runs import forget_planned_runs, write_planned_runs
from lvae_core.run_folder.study import Study
from sweeps.launching.progress.board import Board
from sweeps.launching.progress.display import Display, unless_quiet
from sweeps.launching.progress.events import note_without_events, open_events
from sweeps.launching.session import on_ray
from sweeps.options import LaunchOptions, removing_new_folders
from sweeps.outcome import print_closing, print_evaluated
from sweeps.planning.done_runs import DoneRuns
from sweeps.planning.grids.fitting import print_line
from sweeps.planning.grids.overview import variant_names
from sweeps.planning.loading import look_up
from sweeps.planning.parents import startable
from sweeps.planning.plan import Plan, PlannedRun, Status, evaluation_settings
from sweeps.planning.retries import launch_notes
from sweeps.planning.saved_runs import saved_text
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
    while True:
        plan = workload.plan
        todo = runs_to_start(plan, options)
        _print_notes(options, workload, todo, out)
        if not todo:
            return _start_nothing(workload, out, declared_seeds)
        board = _board(plan, todo, label, variant_label)
        plan, completed = _launch(options, workload, todo, board, out, declared_seeds)
        print_evaluated(out, plan, todo)
        again = {run.name for run in todo if run.evaluation}
        # Another launch may have trained some meanwhile, with other fields of evaluation.
        goes_on = completed and any(run.name not in again for run in plan.with_status("evaluate"))
        if not goes_on:
            return _conclude(plan, board, out, completed=completed)
        workload = replace(workload, plan=plan)


def _print_notes(
    options: LaunchOptions, workload: Workload, todo: Sequence[PlannedRun], out: Console
) -> None:
    """Print what the user should know before the runs of ``todo`` start."""
    plan = workload.plan
    warn_of_damages(plan)
    for note in launch_notes(plan, todo):
        print_line(unless_quiet(out), note)
    if options.tensorboard:
        note_without_events(workload.study, [run.name for run in plan.with_status("done", "evaluate")])


def _start_nothing(workload: Workload, out: Console, declared_seeds: int | None) -> Swept:
    """End a sweep that has nothing to start."""
    plan, study = workload.plan, workload.study
    if declared_seeds is not None:
        declare_seeds(study, declared_seeds)
    _forget_if_ended(study, plan)  # that launch may have been killed after its last run
    done = len(plan.with_status("done"))
    out.print(f"nothing to start: {done} of {len(plan.runs)} runs are done")
    return Swept(plan, print_closing(out, plan, {}), interrupted=False)


def _board(
    plan: Plan,
    todo: Sequence[PlannedRun],
    label: Callable[[RunConfig], str] | None,
    variant_label: Callable[[RunConfig], str] | None,
) -> Board:
    """The board of a launch that does ``todo``; labels as for :func:`sweep`."""
    board = Board.of(plan, todo)
    if label:
        board.labels = {run.name: label(run.config) for run in plan.runs}  # parents keep their names
    if variant_label:
        board.variant_labels = {run.variant: variant_label(run.config) for run in plan.runs}
    else:
        board.variant_labels = {v: str(name) for v, name in variant_names(plan.all_runs).items()}
    return board


def _launch(
    options: LaunchOptions,
    workload: Workload,
    todo: Sequence[PlannedRun],
    board: Board,
    out: Console,
    declared_seeds: int | None,
) -> tuple[Plan, bool]:
    """Do the runs of ``todo`` on Ray.

    Returns:
        The plan, read again from the folders; False after an interrupt.
    """
    plan, study, notes = workload.plan, workload.study, unless_quiet(out)
    with removing_new_folders(study.url):
        study.check_writable()
        notes.print(f"{study.given}: {work_text(plan, todo)}", markup=False)
        display = Display(board, notes, open_events(study, board.again, wanted=options.tensorboard))
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
    return plan, completed


def _conclude(plan: Plan, board: Board, out: Console, *, completed: bool) -> Swept:
    """Print the outcome of a launch; ``completed``: whether it was not interrupted."""
    failed = print_closing(out, plan, board.failures)
    if not completed and (saved := saved_text(plan.all_runs)):
        out.print(saved)
    left = len(plan.with_status("left", "evaluate"))
    if completed and left and not failed:
        out.print(f"{numbered(left, 'run')} left undone; the same command continues")
    return Swept(plan, failed or bool(completed and left), not completed)


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
    """Mirror the study as the options ask; see :func:`sweeps.wandb_mirror.live.mirrored`.

    It begins before the plan of a launch is printed, because without a key nothing is launched.
    """
    say = partial(print_line, unless_quiet(out))
    return mirrored(
        options.wandb,
        study.given,
        options.project,
        options.wandb_entity,
        say,
        artifacts=options.wandb_artifacts,
    )


def check_surroundings(options: LaunchOptions, study: Study) -> None:
    """Check what a launch needs outside of this process, before anything about it is printed.

    Raises:
        InputError: as :meth:`LaunchOptions.check_start`, or no Ray answers.
    """
    options.check_start(study.given)
    if options.address is not None:
        from sweeps.cluster.head import check_address  # loads Ray, for which a plan does not wait

        check_address(options.address)


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


def warn_of_damages(plan: Plan) -> None:
    """Print the notes of a plan, and a warning for each damaged file."""
    for note in plan.notes:
        notice(f"note: {note}")
    for damage in (line for run in plan.all_runs for line in run.damages):
        _log.warning("%s; launching repairs it", damage)
