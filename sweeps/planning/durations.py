"""How long it takes: arithmetic over measured seconds, which draws and reads nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from statistics import fmean
from typing import Literal

from lvae_core.run_folder.names import CellName

TRAIN_SHARE = 0.8
"""Of a run's time, what training takes where nothing like it has been measured."""


Basis = Literal["runs", "probe", "operations", "dataset"]
"""What an expectation rests on: runs of the cell; a probe of it; runs and probes of others, scaled by the
counted operations; the mean over its dataset's runs."""


class Speed:
    """Measured seconds of finished runs, and what they let one expect of others."""

    def __init__(self) -> None:
        # Cell, and dataset -> runs and the sums of their seconds of training and of evaluation.
        self._sums: dict[str, tuple[int, float, float]] = {}
        self._probed: dict[str, tuple[int, float, float]] = {}
        self._operations: Mapping[str, float] = {}

    def add(self, cell: str, train_seconds: float, evaluate_seconds: float) -> None:
        """A run of ``cell`` took this long."""
        for key in (cell, _dataset(cell)):
            runs, train, evaluate = self._sums.get(key, (0, 0.0, 0.0))
            self._sums[key] = runs + 1, train + train_seconds, evaluate + evaluate_seconds

    def add_probe(self, cell: str, train_seconds: float, evaluate_seconds: float) -> None:
        """A probe says that a run of ``cell`` takes this long at most; finished runs know better."""
        self._probed[cell] = 1, train_seconds, evaluate_seconds

    def set_operations(self, operations: Mapping[str, float]) -> None:
        """Cell -> how much there is to compute in a run of it: scales what is known of other cells."""
        self._operations = operations

    def expected_seconds(self, cell: str) -> float | None:
        """Seconds that a run of ``cell`` will take; None where nothing has been measured."""
        if self.basis(cell) == "operations":
            return self._operations[cell] * self._seconds_per_operation(_dataset(cell))
        runs, train, evaluate = self._like(cell)
        return (train + evaluate) / runs if runs else None

    def basis(self, cell: str) -> Basis | None:
        """What :meth:`expected_seconds` rests on: the first that there is."""
        if cell in self._sums:
            return "runs"
        if cell in self._probed:
            return "probe"
        if cell in self._operations and self._weighed():
            return "operations"
        return "dataset" if _dataset(cell) in self._sums else None

    def rank(self, cell: str) -> float | None:
        """Large where a run takes long: in seconds, or in operations as long as nothing is measured."""
        seconds = self.expected_seconds(cell)
        return self._operations.get(cell) if seconds is None else seconds

    def done_share(self, cell: str, phase: str, fraction: float) -> float:
        """The part of a run's time, 0 to 1, that lies behind at ``fraction`` of a phase."""
        _, train, evaluate = self._like(cell)
        share = train / (train + evaluate) if train + evaluate > 0 else TRAIN_SHARE
        return share * fraction if phase == "train" else share + (1.0 - share) * fraction

    def _like(self, cell: str) -> tuple[int, float, float]:
        return (
            self._sums.get(cell)
            or self._probed.get(cell)
            or self._sums.get(_dataset(cell))
            or (0, 0.0, 0.0)
        )

    def _weighed(self) -> list[str]:
        """The cells of which both the time and the operations are known."""
        return [cell for cell in self._operations if cell in self._sums or cell in self._probed]

    def _seconds_per_operation(self, dataset: str) -> float:
        known = self._weighed()
        near = [cell for cell in known if _dataset(cell) == dataset] or known
        rates = []
        for cell in near:
            runs, train, evaluate = self._like(cell)
            rates.append((train + evaluate) / runs / self._operations[cell])
        return fmean(rates)


def _dataset(cell: str) -> str:
    return CellName.parse(cell).dataset


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


def format_duration(seconds: float | None) -> str:
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
