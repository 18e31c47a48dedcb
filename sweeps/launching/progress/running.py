"""A run under way: what it has reported, and its pace."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from sweeps.planning.times.durations import projected_seconds

_MOST_POINTS = 120
"""Reports that are kept to measure a pace: about two minutes, and the first one."""

_PACE_SECONDS = 5.0
"""The least time over which a pace is measured. The first steps, slower than the rest, are left out once as
much time has passed after them."""


class Point(NamedTuple):
    """One report of a run."""

    time: float
    phase: str
    fraction: float
    """The share of the phase that was done."""


@dataclass
class Running:
    """A run under way."""

    cell: str
    share: float | None = None
    """The share of its whole time that has passed; None before its first report. See :attr:`done`."""
    start_share: float = 0.0
    """The share that had passed when it was started or resumed."""
    phase: str = "starting"
    epoch: int = 0
    epochs: int = 0
    """Epochs at most; 0: unknown."""
    valid_ppl: float | None = None
    loss: float | None = None
    """The mean of the epoch so far."""
    tokens_per_second: float | None = None
    points: list[Point] = field(default_factory=list)
    """The reports that its pace is measured by."""

    @property
    def done(self) -> float:
        """The share that has passed; before its first report, that with which it was started or resumed."""
        return self.start_share if self.share is None else self.share

    def advance(self, fraction: float, share: float, now: float) -> None:
        """Add a report at the time ``now``: ``fraction`` of its phase is done, ``share`` of the whole."""
        self.points.append(Point(now, self.phase, fraction))
        del self.points[1:-_MOST_POINTS]
        if self.share is None:
            self.start_share = share
        self.share = share

    def pace_from(self) -> Point | None:
        """The report since which its pace is measured; None if that is too short a time."""
        if not self.points:
            return None
        first, last = self.points[0].time, self.points[-1].time
        later = next((point for point in self.points if point.time >= first + _PACE_SECONDS), None)
        start = later if later and last - later.time >= _PACE_SECONDS else self.points[0]
        return start if last - start.time >= _PACE_SECONDS else None

    def seconds_left(self, start: Point, start_share: float, now: float) -> float | None:
        """Seconds that it still needs at its own pace; None if it has not advanced.

        Args:
            start: the report of :meth:`pace_from`.
            start_share: the share of the whole that was done then.
            now: the time.
        """
        last = self.points[-1].time
        left = projected_seconds(last - start.time, start_share, self.share or 0.0)
        # Since its last report it has continued.
        return None if left is None else max(0.0, left - (now - last))
