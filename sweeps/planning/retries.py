"""Failed runs that a launch retries: how its plan counts them, and what it says about them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from lvae_core.messages import numbered
from lvae_core.run_folder.advice import failure_advice
from sweeps.planning.parents import parents_notes
from sweeps.planning.plan import Plan, PlannedRun


def with_retries(plan: Plan, retry_failed: bool) -> Plan:
    """The plan as a launch sees it: failed runs that it retries are left to do."""
    if not retry_failed:
        return plan
    return replace(plan, runs=[*map(_retried, plan.runs)], parents=[*map(_retried, plan.parents)])


def _retried(run: PlannedRun) -> PlannedRun:
    if run.status != "failed":
        return run
    return replace(run, status="evaluate" if run.evaluation else "left")


def launch_notes(plan: Plan, todo: Sequence[PlannedRun]) -> list[str]:
    """Lines for the user about the parents and the retries of a launch.

    Args:
        plan: the grid, in which runs to retry have failed.
        todo: the runs that the launch starts.
    """
    notes = parents_notes(plan, todo)
    classes = [(run.failure or {}).get("class") for run in todo if run.status == "failed"]
    if diverged := classes.count("diverged"):
        (advice,) = failure_advice(["diverged"], "")
        notes.append(f"{diverged} of {numbered(len(classes), 'run')} to retry diverged: {advice}")
    return notes
