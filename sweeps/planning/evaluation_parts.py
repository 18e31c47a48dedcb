"""Divide the evaluations of trained runs into parts if a launch has more devices than runs."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from lvae_core.run_folder.evaluations import part_count
from sweeps.planning.times.list_scheduling import ScheduledRun, slots_on
from sweeps.planning.workload import Workload

PART_SECONDS = 600.0
"""The least expected seconds of a part: its process takes some ten seconds to start."""


@dataclass(frozen=True)
class EvaluationPart:
    """A part of the evaluation of a trained run; each part can use a separate device."""

    run: str
    """The name of the run."""
    number: int
    count: int

    def __str__(self) -> str:
        return f"part {self.number}/{self.count}"

    @property
    def name(self) -> str:
        """Its name among the names of runs; no folder has it."""
        return f"{self.run} {self}"


def evaluation_parts(workload: Workload, waiting: Collection[str], slots: int) -> list[EvaluationPart]:
    """The parts into which a launch divides its evaluations; a run that none names stays whole.

    Evaluations are divided if all waiting runs are trained, and there are more devices than runs. One that
    an earlier launch has begun stays as it is: whole, or in as many parts.

    Args:
        workload: the runs of the launch.
        waiting: names of those that can begin.
        slots: the number of runs at once.

    Raises:
        OSError: the storage cannot be read.
    """
    runs = [run for run in workload.runs if run.name in waiting]
    if slots <= len(runs) or not all(run.evaluation for run in runs):
        return []
    parts = []
    for run in runs:
        seconds = workload.plan.speed.evaluation_seconds(run.variant)
        batches = math.ceil(len(workload.corpus_of(run).test) / run.config.eval_batch_size)
        begun = part_count(workload.study.run(run.name), run.evaluation, batches)
        count = begun or min(_count(seconds, len(runs), slots), batches)
        parts += [EvaluationPart(run.name, k, count) for k in range(1, count + 1) if count > 1]
    return parts


def divided(evaluations: Sequence[ScheduledRun], devices: int, at_once: int = 0) -> list[ScheduledRun]:
    """The same evaluations as a launch divides them on so many devices.

    Args:
        evaluations: of whole runs.
        devices: the number of devices.
        at_once: the limit on runs at once; 0: none.
    """
    slots = slots_on(devices, max((run.share for run in evaluations), default=1.0))
    slots = min(slots, at_once or slots)
    counts = [_count(run.seconds, len(evaluations), slots) for run in evaluations]
    return [
        ScheduledRun(run.seconds / count, run.share)
        for run, count in zip(evaluations, counts, strict=True)
        for _ in range(count)
    ]


def _count(seconds: float | None, runs: int, slots: int) -> int:
    """The number of parts of an evaluation of so many seconds, one of several runs; 1: undivided."""
    return max(1, min(slots // runs, int((seconds or 0.0) // PART_SECONDS)))
