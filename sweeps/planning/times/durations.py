"""Expected durations of runs: arithmetic over measured seconds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from statistics import fmean
from typing import Literal

from lvae_core.run_folder.names import CellName

TRAIN_SHARE = 0.8
"""The share of training in a run's time, until a similar run has been measured."""


Basis = Literal["runs", "probe", "operations", "dataset", "products", "evaluations", "estimates"]
"""The basis of an expected time: runs of the cell; a probe of the cell; runs and probes of other cells,
scaled by the counted operations; the mean over the runs of its dataset; counted operations and the speed
of matrix products, which is rough. Of an evaluation of trained runs: such evaluations in the cell; other
evaluations in the cell, scaled by the counted operations."""

_Seconds = tuple[int, float, float]
"""A number of runs, and the sums of their seconds of training and of evaluation."""


class Speed:
    """Measured seconds of finished runs, and the times to expect of others."""

    def __init__(self) -> None:
        # By cell, and by dataset.
        self._sums: dict[str, _Seconds] = {}
        self._probed: dict[str, _Seconds] = {}
        self._operations: Mapping[str, float] = {}
        self._training_shares: Mapping[str, float] = {}
        # Operations per second, by cell.
        self._rates: dict[str, float] = {}
        # Seconds of each, by cell.
        self._evaluations: dict[str, list[float]] = {}
        self._scaled: dict[str, list[float]] = {}

    def add(self, cell: str, train_seconds: float, evaluate_seconds: float) -> None:
        """Add a finished run of ``cell``."""
        for key in (cell, _dataset(cell)):
            runs, train, evaluate = self._sums.get(key, (0, 0.0, 0.0))
            self._sums[key] = runs + 1, train + train_seconds, evaluate + evaluate_seconds

    def add_probe(self, cell: str, train_seconds: float, evaluate_seconds: float) -> None:
        """Add a probe's prediction for a whole run of ``cell``; finished runs take precedence."""
        self._probed[cell] = 1, train_seconds, evaluate_seconds

    def add_evaluation(self, cell: str, seconds: float) -> None:
        """Add an evaluation of a trained run of ``cell``."""
        self._evaluations.setdefault(cell, []).append(seconds)

    def expect_evaluation(self, cell: str, seconds: float) -> None:
        """Add a prediction for an evaluation in ``cell``; measured evaluations take precedence."""
        self._scaled.setdefault(cell, []).append(seconds)

    def set_operations(
        self, operations: Mapping[str, float], training_shares: Mapping[str, float] | None = None
    ) -> None:
        """Set the counted operations of a run, by cell: they scale the times of other cells.

        Args:
            operations: of a whole run.
            training_shares: the share of them that training takes.
        """
        self._operations, self._training_shares = operations, training_shares or {}

    def add_rate(self, cell: str, operations_per_second: float) -> None:
        """Add a rough rate for runs of ``cell``; everything that is measured takes precedence."""
        self._rates[cell] = operations_per_second

    def operations(self, cell: str) -> float | None:
        """The counted operations of a run of ``cell``; None if they are not counted."""
        return self._operations.get(cell)

    def expected_seconds(self, cell: str) -> float | None:
        """Seconds that a run of ``cell`` is expected to take; None if nothing comparable is measured."""
        basis = self.basis(cell)
        if basis == "operations":
            return self._operations[cell] * self._seconds_per_operation(_dataset(cell))
        if basis == "products":
            return self._operations[cell] / self._rates[cell]
        runs, train, evaluate = self._nearest(cell)
        return (train + evaluate) / runs if runs else None

    def evaluation_seconds(self, cell: str) -> float | None:
        """Seconds that evaluating a trained run of ``cell`` is expected to take; None if unknown."""
        seconds = self._evaluations.get(cell) or self._scaled.get(cell)
        return fmean(seconds) if seconds else None

    def evaluation_basis(self, cell: str) -> Basis | None:
        """Return the basis of :meth:`evaluation_seconds`."""
        if cell in self._evaluations:
            return "evaluations"
        return "estimates" if cell in self._scaled else None

    def measured_seconds(self, cell: str) -> float | None:
        """The expected seconds of a run if they rest on ``cell`` itself, on its runs or a probe."""
        return self.expected_seconds(cell) if self.basis(cell) in ("runs", "probe") else None

    def basis(self, cell: str) -> Basis | None:
        """Return the basis of :meth:`expected_seconds`: the first that is available."""
        if cell in self._sums:
            return "runs"
        if cell in self._probed:
            return "probe"
        if cell in self._operations and self._timed_cells():
            return "operations"
        if _dataset(cell) in self._sums:
            return "dataset"
        return "products" if cell in self._rates and cell in self._operations else None

    def rank(self, cell: str) -> float | None:
        """A number that grows with the time of a run: its seconds or, if unknown, its operations."""
        seconds = self.expected_seconds(cell)
        return self._operations.get(cell) if seconds is None else seconds

    def done_share(self, cell: str, phase: str, fraction: float) -> float:
        """The share of a run's time, 0 to 1, that has passed at ``fraction`` of a phase."""
        measured = self._sums.get(cell) or self._probed.get(cell)
        if not measured and cell in self._training_shares:
            share = self._training_shares[cell]
        else:
            _, train, evaluate = measured or self._nearest(cell)
            share = train / (train + evaluate) if train + evaluate > 0 else TRAIN_SHARE
        return share * fraction if phase == "train" else share + (1.0 - share) * fraction

    def _nearest(self, cell: str) -> _Seconds:
        return (
            self._sums.get(cell)
            or self._probed.get(cell)
            or self._sums.get(_dataset(cell))
            or (0, 0.0, 0.0)
        )

    def _timed_cells(self) -> list[str]:
        """The cells for which both the time and the operations are known."""
        return [cell for cell in self._operations if cell in self._sums or cell in self._probed]

    def _seconds_per_operation(self, dataset: str) -> float:
        timed = self._timed_cells()
        nearest = [cell for cell in timed if _dataset(cell) == dataset] or timed
        rates = []
        for cell in nearest:
            runs, train, evaluate = self._nearest(cell)
            rates.append((train + evaluate) / runs / self._operations[cell])
        return fmean(rates)


def _dataset(cell: str) -> str:
    return CellName.parse(cell).dataset


def projected_seconds(elapsed: float, start: float, share: float) -> float | None:
    """Seconds that a run under way still needs at its own pace; None if it has shown no pace yet.

    Args:
        elapsed: seconds since it was started or resumed.
        start: the share of the whole run that was done by then.
        share: the share done now.
    """
    return elapsed * (1.0 - share) / (share - start) if share > start else None


def remaining_seconds(
    waiting: Iterable[float | None], running: Iterable[float | None], slots: int
) -> float | None:
    """Seconds until all runs have ended.

    Args:
        waiting: the expected seconds of each run not yet started; None: unknown.
        running: the seconds that each run under way still needs; None: unknown.
        slots: the number of runs at once.

    Returns:
        The work divided by the slots, but at least the longest run under way. An unknown run counts as the
        mean of the known ones; None if no run is known.
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
    """Format a duration for people: ``41 s``, ``3 min``, ``2 h 05 min``, ``3 d 04 h``; ``?`` for None."""
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
