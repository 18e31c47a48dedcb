"""Simulate a launch: how long its runs take on some devices, in the order in which they start."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sweeps.planning.evaluation_parts import divided
from sweeps.planning.times.list_scheduling import ScheduledRun, longest_first, lower_bound, schedule
from sweeps.planning.times.remaining import seconds_left
from sweeps.planning.workload import Workload


class Forecast(NamedTuple):
    """A launch on some devices; all times in seconds."""

    makespan: float
    """The end of the last run."""
    at_least: float
    """A time before which no order of the runs ends."""
    released: float
    """Device-seconds, if each device is released after its last run of a wave."""


@dataclass(frozen=True)
class SimulatedLaunch:
    """The runs of a launch, with the seconds that each still needs."""

    waves: Sequence[Sequence[ScheduledRun]]
    """The runs of each wave, in the order of their start. A wave starts when the one before has ended: its
    runs start their encoders from some of those."""
    at_once: int = 0
    """The limit on runs at once; 0: none."""
    divides: bool = False
    """Whether all runs are trained: the launch divides their evaluations if there are more devices."""

    def on(self, devices: int) -> Forecast | None:
        """Simulate it on so many devices; None: they are too few for one of the runs."""
        if devices < max((run.share for wave in self.waves for run in wave), default=0.0):
            return None
        waves = self.waves
        if self.divides:
            waves = [divided(wave, devices, self.at_once) for wave in waves]
        found = [schedule(wave, devices, self.at_once) for wave in waves]
        return Forecast(
            makespan=sum(wave.makespan for wave in found),
            at_least=sum(lower_bound(wave, devices, self.at_once) for wave in waves),
            released=sum(wave.released for wave in found),
        )


def simulated_launch(workload: Workload) -> SimulatedLaunch | None:
    """The launch of a workload; None: the time of one of its runs is unknown.

    Args:
        workload: the runs that the launch starts, parents included.
    """
    runs = {run.name: run for run in workload.runs}
    left = {name: seconds_left(run, workload.plan.speed) for name, run in runs.items()}
    parents = {run.waits_for for run in workload.runs}
    # As in a launch, the runs for which others wait come first.
    order = sorted(longest_first(runs, left.__getitem__), key=lambda name: name not in parents)
    waves: dict[int, list[ScheduledRun]] = {}
    for name in order:
        if (seconds := left[name]) is None:
            return None
        wave, parent = 0, runs[name].waits_for
        while parent in runs:
            wave, parent = wave + 1, runs[parent].waits_for
        waves.setdefault(wave, []).append(ScheduledRun(seconds, workload.resources_of(name).share))
    return SimulatedLaunch(
        [waves[wave] for wave in sorted(waves)],
        workload.resources.max_concurrent,
        divides=all(run.evaluation for run in workload.runs),
    )
