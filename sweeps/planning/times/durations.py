"""Expected durations of runs: arithmetic over measured seconds and counted operations."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from statistics import fmean
from typing import Literal, NamedTuple

from lvae_core.run_folder.names import CellName

TRAIN_SHARE = 0.8
"""The share of training in a run's time, until a similar run has been measured."""

_UPDATE = 1e8
"""Operations of large products in the time that an update takes beside its products: about 5 ms of a core.
It is most of the time of small models, and next to nothing of large ones."""


Basis = Literal["runs", "probe", "operations", "products", "sizes", "evaluations", "estimates"]
"""The basis of an expected time: runs of the variant; a probe of it; runs and probes of other variants
whose matrix products have the same sizes, scaled by the counted operations; counted operations and the
speed of matrix products, which is rough; runs and probes of other sizes or datasets, scaled, which is
rougher. Of an evaluation of trained runs: such evaluations of the variant; other evaluations, scaled."""

ROUGH: tuple[Basis, ...] = ("products", "sizes")
"""The bases on which a time may be wrong by a factor of two or more."""


class Seconds(NamedTuple):
    """Seconds of a run."""

    train: float
    evaluate: float


class Counted(NamedTuple):
    """Counted operations of a whole run."""

    train: float
    evaluate: float
    sizes: tuple[object, ...] = ()
    """See :func:`sweeps.planning.times.variants.product_sizes`."""
    updates: float = 0.0
    """Updates of parameters. Each also takes a time that does not depend on sizes."""


class _Mean:
    """A mean that takes no longer the more numbers it has: a display asks for it for each waiting run."""

    def __init__(self) -> None:
        self._number = 0
        self.value = 0.0

    def add(self, number: float) -> None:
        """Count one more number."""
        self._number += 1
        self.value += (number - self.value) / self._number


class Speed:
    """Measured seconds of finished runs, and the times to expect of others.

    Runs are known by their variant (see ``variants.py``): the time of a run with other sizes or epochs is
    scaled, never taken as it is.
    """

    def __init__(self) -> None:
        # By variant.
        self._runs: dict[str, tuple[_Mean, _Mean]] = {}
        self._probed: dict[str, Seconds] = {}
        self._counted: dict[str, Counted] = {}
        # Operations per second.
        self._rates: dict[str, float] = {}
        # Seconds of each.
        self._evaluations: dict[str, _Mean] = {}
        self._scaled: dict[str, _Mean] = {}
        # Seconds per operation of similar runs, by what they share; None after a change.
        self._paces: Mapping[tuple[object, ...], Seconds] | None = None

    def add(self, variant: str, train_seconds: float, evaluate_seconds: float) -> None:
        """Add a finished run of ``variant``."""
        train, evaluate = self._runs.setdefault(variant, (_Mean(), _Mean()))
        train.add(train_seconds)
        evaluate.add(evaluate_seconds)
        self._paces = None

    def add_probe(self, variant: str, train_seconds: float, evaluate_seconds: float) -> None:
        """Add a probe's prediction for a whole run of ``variant``; finished runs take precedence."""
        self._probed[variant] = Seconds(train_seconds, evaluate_seconds)
        self._paces = None

    def add_evaluation(self, variant: str, seconds: float) -> None:
        """Add an evaluation of a trained run of ``variant``."""
        self._evaluations.setdefault(variant, _Mean()).add(seconds)

    def expect_evaluation(self, variant: str, seconds: float) -> None:
        """Add a prediction for an evaluation of ``variant``; measured evaluations take precedence."""
        self._scaled.setdefault(variant, _Mean()).add(seconds)

    def count(self, variant: str, counted: Counted) -> None:
        """Set the counted operations of a run of ``variant``: they scale the times of other variants."""
        self._counted[variant] = counted
        self._paces = None

    def add_rate(self, variant: str, operations_per_second: float) -> None:
        """Add a rough rate for runs of ``variant``, to be used if no similar run has been measured."""
        self._rates[variant] = operations_per_second

    def operations(self, variant: str) -> float | None:
        """The counted operations of a run of ``variant``; None if they are not counted."""
        counted = self._counted.get(variant)
        return None if counted is None else counted.train + counted.evaluate

    def expected_seconds(self, variant: str) -> float | None:
        """Seconds that a run of ``variant`` is expected to take; None if nothing comparable is measured."""
        expected = self._expected(variant)
        return None if expected is None else sum(expected)

    def evaluation_seconds(self, variant: str) -> float | None:
        """Seconds that evaluating a trained run of ``variant`` is expected to take; None if unknown."""
        mean = self._evaluations.get(variant) or self._scaled.get(variant)
        return mean.value if mean else None

    def evaluation_basis(self, variant: str) -> Basis | None:
        """Return the basis of :meth:`evaluation_seconds`."""
        if variant in self._evaluations:
            return "evaluations"
        return "estimates" if variant in self._scaled else None

    def measured_seconds(self, variant: str) -> float | None:
        """The expected seconds of a run if they rest on ``variant`` itself, on its runs or a probe."""
        return self.expected_seconds(variant) if self.basis(variant) in ("runs", "probe") else None

    def basis(self, variant: str) -> Basis | None:
        """Return the basis of :meth:`expected_seconds`: the first that is available."""
        if variant in self._runs:
            return "runs"
        if variant in self._probed:
            return "probe"
        if (counted := self._counted.get(variant)) is None:
            return None
        paces = self._similar_paces()
        if (_dataset(variant), counted.sizes) in paces:
            return "operations"
        if variant in self._rates:
            return "products"
        return "sizes" if paces else None

    def is_rough(self, variant: str) -> bool:
        """Whether the expected seconds may be wrong by a factor of two or more."""
        return self.basis(variant) in ROUGH

    def rank(self, variant: str) -> float | None:
        """A number that grows with the time of a run: its seconds or, if unknown, its work."""
        seconds, counted = self.expected_seconds(variant), self._counted.get(variant)
        if seconds is not None or counted is None:
            return seconds
        return counted.train + counted.evaluate + _UPDATE * counted.updates

    def done_share(self, variant: str, phase: str, fraction: float) -> float:
        """The share of a run's time, 0 to 1, that has passed at ``fraction`` of a phase."""
        phases = self._measured(variant) or self._counted.get(variant) or self._expected(variant)
        total = phases.train + phases.evaluate if phases else 0.0
        share = phases.train / total if phases and total > 0 else TRAIN_SHARE
        return share * fraction if phase == "train" else share + (1.0 - share) * fraction

    def _expected(self, variant: str) -> Seconds | None:
        basis = self.basis(variant)
        if basis is None:
            return None
        if basis in ("runs", "probe"):
            return self._measured(variant)
        counted = self._counted[variant]
        if basis == "products":
            rate = self._rates[variant]
            return Seconds(counted.train / rate, counted.evaluate / rate)
        paces, dataset = self._similar_paces(), _dataset(variant)
        near, far = paces.get((dataset, counted.sizes)), paces.get((dataset,))
        pace = near or far or paces[()]
        return Seconds(counted.train * pace.train, counted.evaluate * pace.evaluate)

    def _measured(self, variant: str) -> Seconds | None:
        """The mean over the runs of a variant, or its probe."""
        if variant in self._runs:
            return Seconds(*(mean.value for mean in self._runs[variant]))
        return self._probed.get(variant)

    def _similar_paces(self) -> Mapping[tuple[object, ...], Seconds]:
        """Mean seconds per operation of measured variants: by dataset and sizes, by dataset, of all."""
        if self._paces is None:
            found: dict[tuple[object, ...], list[Seconds]] = {}
            for variant, counted in self._counted.items():
                if (seconds := self._measured(variant)) is None:
                    continue
                pace = Seconds(*(s / n if n else 0.0 for s, n in zip(seconds, counted[:2], strict=True)))
                dataset = _dataset(variant)
                for shared in ((dataset, counted.sizes), (dataset,), ()):
                    found.setdefault(shared, []).append(pace)
            self._paces = {
                shared: Seconds(*map(fmean, zip(*paces, strict=True))) for shared, paces in found.items()
            }
        return self._paces


def _dataset(variant: str) -> str:
    return CellName.parse(variant.partition(" ")[0]).dataset


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
        The work divided by the slots, but at least the longest run. An unknown run counts as the mean of
        the known ones; None if no run is known.
    """
    waits, runs = list(waiting), list(running)
    if not waits and not runs:
        return 0.0
    known = [seconds for seconds in (*waits, *runs) if seconds is not None]
    if not known:
        return None
    typical = fmean(known)
    left = [typical if seconds is None else seconds for seconds in (*waits, *runs)]
    return max(sum(left) / max(slots, 1), *left)


class SteadyEnd:
    """The expected end of some work, which follows new estimates slowly, so that it can be read.

    An estimate from a few seconds of training may be wrong by half; shown as it is, it jumps.

    Args:
        now: a clock in seconds.
    """

    _SHARE, _LEAST, _MOST = 0.2, 5.0, 60.0
    """The seconds in which most of a change is followed, as a share of those to go, and their limits.

    By the old estimate or the new one, whichever is lower: near the end a wrong one must not stay.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._end = 0.0
        self._updated: float | None = None

    def seconds_left(self, estimate: float | None) -> float | None:
        """The seconds until the end after a new estimate of them; None if that is unknown."""
        if estimate is None:
            self._updated = None
            return None
        now = self._now()
        weight = 1.0
        if self._updated is not None:
            left = min(self._end - now, estimate)
            slowness = min(max(self._SHARE * left, self._LEAST), self._MOST)
            weight = 1.0 - math.exp((self._updated - now) / slowness)
        self._end += weight * (now + estimate - self._end)
        self._updated = now
        return max(0.0, self._end - now)


def format_duration(seconds: float | None) -> str:
    """Format a duration for people; ``?`` for None.

    ``41 s``; from a minute on ``1 min 42 s`` or ``2 min``; from ten on ``12 min``; then ``2 h 05 min`` and
    ``3 d 04 h``.
    """
    if seconds is None:
        return "?"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 600 and whole % 60:
        return f"{whole // 60} min {whole % 60:02d} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    hours = round(seconds / 3600)
    return f"{hours // 24} d {hours % 24:02d} h"
