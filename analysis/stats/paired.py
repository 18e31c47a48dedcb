"""Compare two systems over the same seeds: differences, tests, and a correction for many comparisons."""

from __future__ import annotations

import bisect
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.stats.average import finite_mean, finite_std
from analysis.stats.intervals import Interval, t_interval, t_p_value

ALPHA = 0.05
"""The level of significance: p after Holm's correction must not be above it."""

FLIPS = 99_999
"""Largest number of sign flips that are tried: all 2^n if there are no more, else this many random ones."""
EXACT_UP_TO = int(math.log2(FLIPS))
"""Number of differences up to which all flips are tried."""

_FLIPPED_AT_ONCE = 2**21

# Decimals of the largest possible sum to which sums are rounded, so that 0.1 + 0.2 and 0.3 are a tie.
_DECIMALS = 12


@dataclass(frozen=True)
class Paired:
    """The comparison of two samples ``a`` and ``b``, seed by seed."""

    seeds: tuple[int, ...]
    """The common seeds."""
    differences: tuple[float, ...]
    """``a`` minus ``b``, one per common seed; empty if one of them is no finite number."""
    mean: float | None
    """Mean difference; None without differences."""
    std: float | None
    """Sample standard deviation of the differences; None for fewer than two, and if it is too large to be
    computed. Without it, there is no test."""
    interval: Interval | None
    """95% t interval of the mean difference; None without a std."""
    t_p: float | None
    """Two-sided p of the paired t test; None without a std."""
    flip_p: float | None
    """Two-sided p of the sign-flip test, :func:`sign_flip_p`; None without a std."""
    smallest_p: float | None
    """The lowest ``flip_p`` that any differences over this number of seeds can reach; None without a
    std."""
    below: float | None
    """P(a < b) over all pairs of a seed of ``a`` and a seed of ``b``; see :func:`probability_below`."""
    below_paired: float | None
    """Share of the common seeds at which a < b; a tie counts half."""

    @property
    def too_large(self) -> bool:
        """Whether the differences are so large that their mean or their spread cannot be computed."""
        n = len(self.seeds)
        return (n > 0 and self.mean is None) or (n > 1 and self.std is None)


def compare(a: Mapping[int, float], b: Mapping[int, float], rng: np.random.Generator) -> Paired:
    """Compare two samples, each seed -> value; ``rng`` is used only beyond EXACT_UP_TO common seeds."""
    seeds = tuple(sorted(a.keys() & b.keys()))
    differences = np.array([a[seed] - b[seed] for seed in seeds])
    below_paired = float(np.mean(_below(differences, 0.0))) if seeds else None
    if not np.isfinite(differences).all():
        differences = differences[:0]
    n = len(differences)
    mean = finite_mean(differences) if n else None
    std = None if mean is None else finite_std(differences)
    return Paired(
        seeds=seeds,
        differences=tuple(map(float, differences)),
        mean=mean,
        std=std,
        interval=None if mean is None else t_interval(n, mean, std),
        t_p=None if mean is None else t_p_value(n, mean, std),
        flip_p=None if std is None else sign_flip_p(differences, rng),
        smallest_p=None if std is None else smallest_p(n),
        below=probability_below(list(a.values()), list(b.values())) if a and b else None,
        below_paired=below_paired,
    )


def mean_difference(a: Mapping[int, float], b: Mapping[int, float]) -> tuple[float | None, Interval | None]:
    """The mean of ``a`` minus ``b`` over common seeds, each seed -> value, and its 95% t interval.

    Both are None without a common seed, and for numbers whose differences are not finite.
    """
    differences = np.array([a[seed] - b[seed] for seed in sorted(a.keys() & b.keys())])
    if not len(differences) or not np.isfinite(differences).all():
        return None, None
    mean = finite_mean(differences)
    return mean, t_interval(len(differences), mean, finite_std(differences))


def sign_flip_p(differences: NDArray[np.float64], rng: np.random.Generator) -> float:
    """Two-sided p of the sign-flip test: each difference is as likely to be positive as negative.

    If neither system is better and differences are distributed symmetrically around 0, each could as well
    have had the other sign. Skewed differences with a mean of 0 break this: at a nominal 5% and n = 8 the
    share of false calls is 4% for normal differences, 10% for exponential ones and 15% for log-normal ones
    (tests/analysis/stats/test_coverage.py). p is the share of
    all 2^n ways to flip signs that give a mean at least as far from 0 as the observed one. Beyond
    EXACT_UP_TO differences p is estimated from FLIPS random flips and the observed signs, so that it is
    never 0.
    """
    from scipy import stats  # slow to import

    n, largest = len(differences), float(np.abs(differences).sum())
    if n < 2 or largest == 0:
        return 1.0

    # "greater" on |sum| is the two-sided test; SciPy's own two-sided p would double the smaller tail.
    def distance(sample: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
        sums: NDArray[np.float64] = np.abs(np.round(sample.sum(axis=axis) / largest, _DECIMALS))
        return sums

    test = stats.permutation_test(
        (differences,),
        distance,
        permutation_type="samples",
        alternative="greater",
        n_resamples=FLIPS,
        batch=max(1, _FLIPPED_AT_ONCE // n),
        vectorized=True,
        rng=rng,
    )
    return float(test.pvalue)


def smallest_p(n: int) -> float:
    """The lowest p of the sign-flip test of ``n`` differences: all of one sign. 0.0625 for n = 5."""
    return 2.0 ** (1 - n) if n <= EXACT_UP_TO else 1 / (1 + FLIPS)


def seeds_needed(comparisons: int) -> int:
    """Seeds with which any of ``comparisons`` can be significant after Holm's correction.

    It needs no more, whatever the other comparisons are, and no fewer if all have the same number of seeds.
    With more seeds in others it may need fewer: Holm's method multiplies a p by the number of those that
    are not smaller.
    """
    return 1 + math.ceil(math.log2(comparisons / ALPHA))


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Adjust the p-values of comparisons that are reported together, by Holm's (1979) step-down method.

    If every adjusted p below 5% is called significant, the chance of even one false call is at most 5%,
    however the comparisons depend on each other. None stays None and is not counted.
    """
    order = sorted((p, position) for position, p in enumerate(p_values) if p is not None)
    adjusted: list[float | None] = [None] * len(p_values)
    highest = 0.0
    for rank, (p, position) in enumerate(order):
        # An adjusted p is never below that of a smaller p.
        highest = max(highest, min(1.0, (len(order) - rank) * p))
        adjusted[position] = highest
    return adjusted


def holm_reach(p_values: Sequence[float | None], smallest: Sequence[float | None]) -> list[float | None]:
    """The adjusted p that each comparison would have if it alone had its ``smallest`` p; None stays None.

    This is ``holm([*p[:k], smallest[k], *p[k + 1:]])[k]`` for each k, without sorting for each of them.
    """
    known = sorted(p for p in p_values if p is not None)
    highest = [0.0]  # adjusted p of the first ones
    for rank, p in enumerate(known):
        highest.append(max(highest[-1], (len(known) - rank) * p))

    def reach(least: float) -> float:
        rank = bisect.bisect_left(known, least)
        return min(1.0, max(highest[rank], (len(known) - rank) * least))

    return [
        None if p is None or least is None else reach(least)
        for p, least in zip(p_values, smallest, strict=True)
    ]


def probability_below(a: Sequence[float], b: Sequence[float]) -> float:
    """P(a < b) + P(a = b) / 2 over all pairs: the probability of improvement if lower is better.

    Computed as in Agarwal et al. (2021), rliable: the Mann-Whitney statistic over the number of pairs.
    """
    return float(np.mean(_below(np.asarray(a)[:, None], np.asarray(b)[None, :])))


def _below(a: NDArray[np.float64], b: NDArray[np.float64] | float) -> NDArray[np.float64]:
    return np.where(a < b, 1.0, np.where(a == b, 0.5, 0.0))
