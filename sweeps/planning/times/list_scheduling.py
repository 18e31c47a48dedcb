"""Order the runs and simulate when the last one ends: list scheduling as Ray does it."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, TypeVar

T = TypeVar("T")

_WHOLE = 1.0 - 1e-9
"""A device is full when shares such as 1/3 add up to this."""

WASTE = 1.05
"""A plan that takes more than this factor of its shortest possible time is worth more devices."""


class ScheduledRun(NamedTuple):
    """A run in a schedule."""

    seconds: float
    share: float = 1.0
    """Devices that it takes up: 0.25 leaves room for three more on one; 2 takes two whole ones."""

    @property
    def device_seconds(self) -> float:
        """Devices times seconds."""
        return self.seconds * self.share


def longest_first(runs: Iterable[T], expected: Callable[[T], float | None]) -> list[T]:
    """Sort runs by descending expected time: unknown ones first, equal ones in their order.

    The last runs to start should be short: a long one leaves the other devices idle while it ends.
    """

    def key(run: T) -> tuple[bool, float]:
        seconds = expected(run)
        return seconds is not None, -(seconds or 0.0)

    return sorted(runs, key=key)


class Schedule(NamedTuple):
    """The result of running a list on some devices; all times in seconds."""

    makespan: float
    """The end of the last run."""
    released: float
    """Device-seconds until each device has ended its last run: the cost if idle devices are released."""


def schedule(runs: Sequence[ScheduledRun], devices: int, at_once: int = 0) -> Schedule:
    """Start each run, in this order, as soon as a device has room for it, and on the fullest such device.

    Args:
        runs: a run that takes less than a device shares it; a run that takes several needs them empty.
        devices: the number of devices; at least as many as any run takes.
        at_once: the limit on runs at once; 0: none.
    """
    useful = min(devices, sum(sorted(math.ceil(run.share) for run in runs)[-at_once:]))  # of 0: all
    used = [0.0] * useful
    last = [0.0] * useful
    ends: list[tuple[float, int, tuple[int, ...], float]] = []
    now = 0.0
    for number, run in enumerate(runs):
        while (0 < at_once <= len(ends)) or (places := _room(used, run.share)) is None:
            now, _, freed, share = heapq.heappop(ends)
            for place in freed:
                used[place] -= share
        share = min(run.share, 1.0)
        for place in places:
            used[place] += share
            last[place] = max(last[place], now + run.seconds)
        heapq.heappush(ends, (now + run.seconds, number, places, share))
    return Schedule(max(last, default=0.0), sum(last))


def _room(used: Sequence[float], share: float) -> tuple[int, ...] | None:
    if share >= _WHOLE:
        free = [place for place, taken in enumerate(used) if taken < 1e-9]
        wanted = round(share)
        return tuple(free[:wanted]) if len(free) >= wanted else None
    room = [place for place, taken in enumerate(used) if taken + share <= 1.0 + 1e-9]
    return (max(room, key=lambda place: used[place]),) if room else None


def lower_bound(runs: Sequence[ScheduledRun], devices: int, at_once: int = 0) -> float:
    """A time before which no schedule ends: all work spread evenly, or the longest run alone.

    Args:
        runs: the runs, in any order.
        devices: the number of devices.
        at_once: the limit on runs at once; 0: none. The runs are then also spread evenly over these slots.
    """
    if not runs:
        return 0.0
    on_slots = sum(run.seconds for run in runs) / at_once if at_once else 0.0
    on_devices = sum(run.device_seconds for run in runs) / devices
    return max(on_devices, on_slots, max(run.seconds for run in runs))


def slots_on(devices: float, share: float) -> int:
    """The number of runs at once on some devices: no run is on a part of one and a part of another.

    Args:
        devices: the number of devices.
        share: the devices that each run takes up: less than one, or several.
    """
    if share < _WHOLE:
        return int(devices) * int(1.0 / share + 1e-9)
    return int(devices / share + 1e-9)


def useful_slots(runs: Sequence[ScheduledRun]) -> int:
    """The number of runs at once that is worth asking devices for.

    With fewer, the plan takes noticeably longer; with more, it does not end noticeably earlier, because its
    longest run takes as long on any number of devices.

    Args:
        runs: longest first.
    """
    if not runs:
        return 0
    aim = WASTE * max(run.seconds for run in runs)
    low, high = 1, len(runs)
    while low < high:  # the time falls with every slot; the known anomalies are small
        middle = (low + high) // 2
        if makespan(runs, middle) <= aim:
            high = middle
        else:
            low = middle + 1
    return low


def makespan(runs: Sequence[ScheduledRun], slots: int) -> float:
    """The makespan if each run takes one slot; fast enough for thousands of runs."""
    free = [0.0] * slots
    for run in runs:
        heapq.heapreplace(free, free[0] + run.seconds)
    return max(free)


def concurrency(seconds: Sequence[float | None], limit: int) -> int:
    """The number of runs to have under way or requested at once; 0: all.

    An autoscaler starts a node for each run that waits. If a few long runs decide when the last one ends,
    many nodes end it no sooner than a few.

    Args:
        seconds: of each run, longest first; None: not known from similar runs.
        limit: the user's limit; 0: none.
    """
    runs = [ScheduledRun(value) for value in seconds if value is not None]
    if len(runs) < len(seconds) or (wanted := useful_slots(runs)) >= len(seconds):
        return limit
    return min(wanted, limit) if limit else wanted
