"""How long it takes: arithmetic over measured seconds, which draws and reads nothing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from statistics import fmean

TRAIN_SHARE = 0.8
"""Of a run's time, what training takes where nothing like it has been measured."""


class Speed:
    """Measured seconds of finished runs, and what they let one expect of others."""

    def __init__(self) -> None:
        self._measured: defaultdict[str, list[tuple[float, float]]] = defaultdict(list)

    def add(self, cell: str, train_seconds: float, evaluate_seconds: float) -> None:
        """A run of ``cell`` took this long."""
        self._measured[cell].append((train_seconds, evaluate_seconds))

    def expect(self, cell: str) -> float | None:
        """Seconds that a run of ``cell`` will take.

        The mean over finished runs of the cell; else over those of its dataset, which is rough, since
        systems differ; None where neither has one.
        """
        like = self._like(cell)
        return fmean(train + evaluate for train, evaluate in like) if like else None

    def done_share(self, cell: str, phase: str, fraction: float) -> float:
        """The part of a run's time, 0 to 1, that lies behind at ``fraction`` of a phase."""
        like = self._like(cell)
        total = sum(train + evaluate for train, evaluate in like)
        share = sum(train for train, _ in like) / total if total > 0 else TRAIN_SHARE
        return share * fraction if phase == "train" else share + (1.0 - share) * fraction

    def _like(self, cell: str) -> Sequence[tuple[float, float]]:
        if self._measured.get(cell):
            return self._measured[cell]
        dataset = cell.partition("__")[0]
        cells = [other for other in self._measured if other.partition("__")[0] == dataset]
        return [seconds for other in cells for seconds in self._measured[other]]


def projected_seconds(elapsed: float, start: float, share: float) -> float | None:
    """Seconds that a run under way still needs at its own pace; None where it shows none yet.

    Args:
        elapsed: seconds since it was started or taken up again.
        start: share of the whole that was done by then.
        share: share done now.
    """
    return elapsed * (1.0 - share) / (share - start) if share > start else None


def remaining_seconds(
    waiting: Iterable[float | None], running: Iterable[float | None], slots: int
) -> float | None:
    """Seconds until all runs have ended.

    Args:
        waiting: for each run not yet started, the seconds it is expected to take; None: unknown.
        running: for each run under way, the seconds it still needs; None: unknown.
        slots: how many runs go on at once.

    Returns:
        The work divided by the slots, but never less than the longest run under way. A run of which
        nothing is known counts like the mean of those known; None where nothing at all is known.
    """
    waits, runs = list(waiting), list(running)
    if not waits and not runs:
        return 0.0
    known = [seconds for seconds in (*waits, *runs) if seconds is not None]
    if not known:
        return None
    typical = fmean(known)
    left = [typical if seconds is None else seconds for seconds in runs]
    work = sum(left) + sum(typical if seconds is None else seconds for seconds in waits)
    return max(work / max(slots, 1), *left, 0.0)


def clock(seconds: float | None) -> str:
    """A duration for people: ``41 s``, ``3 min``, ``2 h 05 min``, ``3 d 04 h``; ``?`` for None."""
    if seconds is None:
        return "?"
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    hours = round(seconds / 3600)
    return f"{hours // 24} d {hours % 24:02d} h"
