"""Which run goes first, and when the last one ends: list scheduling, as Ray does it, but simulated."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple, TypeVar

from sweeps.planning.durations import Speed

T = TypeVar("T")

_WHOLE = 1.0 - 1e-9
"""A device is full where shares such as 1/3 add up to this."""

WASTE = 1.05
"""How much longer than on any number of devices a plan may take before it is worth more of them."""


class Work(NamedTuple):
    """A run as a schedule sees it."""

    seconds: float
    share: float = 1.0
    """Devices that it takes up: 0.25 leaves room for three more on one; 2 takes two whole ones."""

    @property
    def device_seconds(self) -> float:
        """What it costs."""
        return self.seconds * self.share


def longest_first(runs: Iterable[T], expected: Callable[[T], float | None]) -> list[T]:
    """Runs by falling expected time; those of which nothing is known come first, equals as they stood.

    What starts last should be short: whatever is still under way when nothing waits any more leaves the
    other devices idle.
    """

    def key(run: T) -> tuple[bool, float]:
        seconds = expected(run)
        return seconds is not None, -(seconds or 0.0)

    return sorted(runs, key=key)


class Schedule(NamedTuple):
    """What became of a list of runs on some devices; all times in seconds."""

    makespan: float
    """When the last run ends."""
    released: float
    """Device-seconds until each has had its last run: what is paid where idle ones are given back."""


def schedule(runs: Sequence[Work], devices: int) -> Schedule:
    """Start each run, in this order, as soon as a device has room for it: the fullest that has.

    Args:
        runs: those that take less than a device share one; those that take several need them empty.
        devices: how many there are, at least as many as any run takes.
    """
    used = [0.0] * devices
    last = [0.0] * devices
    ends: list[tuple[float, int, tuple[int, ...], float]] = []
    now = 0.0
    for number, run in enumerate(runs):
        while (places := _room(used, run.share)) is None:
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


def lower_bound(runs: Sequence[Work], devices: int) -> float:
    """No schedule ends before: all work spread evenly, or the longest run alone."""
    if not runs:
        return 0.0
    return max(sum(run.device_seconds for run in runs) / devices, max(run.seconds for run in runs))


def useful(runs: Sequence[Work]) -> int:
    """How many runs at once are worth asking devices for.

    With fewer the plan would take noticeably longer; with more it would not end noticeably earlier, since
    its longest run takes as long on any number of devices.

    Args:
        runs: longest first.
    """
    if not runs:
        return 0
    aim = WASTE * max(run.seconds for run in runs)
    low, high = 1, len(runs)
    while low < high:  # the time falls with every slot, but for anomalies that do not matter here
        middle = (low + high) // 2
        if _end(runs, middle) <= aim:
            high = middle
        else:
            low = middle + 1
    return low


def _end(runs: Sequence[Work], slots: int) -> float:
    """The makespan where each run takes one of so many slots; quick, for thousands of runs."""
    free = [0.0] * slots
    for run in runs:
        heapq.heapreplace(free, free[0] + run.seconds)
    return max(free)


def concurrency(names: Sequence[str], cells: Mapping[str, str], speed: Speed, limit: int) -> int:
    """How many runs to have under way or asked for at once; 0: all.

    An autoscaler starts a node for each run that waits. Where few long runs decide when the last one ends,
    many nodes would end it no sooner than a few.

    Args:
        names: of the runs, longest first.
        cells: theirs.
        speed: what is known of them; only what runs and probes of the same cell tell is relied on.
        limit: what the user allows; 0: no limit.
    """
    seconds = [
        speed.expected_seconds(cell) if speed.basis(cell) in ("runs", "probe") else None
        for cell in (cells[name] for name in names)
    ]
    works = [Work(value) for value in seconds if value is not None]
    if len(works) < len(names) or (wanted := useful(works)) >= len(names):
        return limit
    return min(wanted, limit) if limit else wanted
