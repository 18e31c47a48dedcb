"""Two systems over the same seeds: differences, tests that need no normal distribution, and corrections."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.stats.intervals import Interval, t_interval, t_p_value

EXACT_UP_TO = 20
"""Differences for which all 2^n flips of their signs are tried."""
FLIPS = 99_999
"""Flips that are drawn where there are more differences."""

# Sums that are equal but for rounding count as equal: relative to the sum of magnitudes.
_TIE = 1e-12

_FLIPPED_AT_ONCE = 2**21


@dataclass(frozen=True)
class Paired:
    """``a`` minus ``b``, seed by seed."""

    seeds: tuple[int, ...]
    """Those that both have."""
    differences: tuple[float, ...]
    """One a seed."""
    mean: float | None
    """None where there is no common seed."""
    std: float | None
    """Sample standard deviation of the differences; None for fewer than two."""
    interval: Interval | None
    """95% t interval of the mean difference."""
    t_p: float | None
    """Two-sided p of the paired t test; None for fewer than two seeds."""
    flip_p: float | None
    """Two-sided p of the sign-flip test, :func:`sign_flip_p`; None for fewer than two seeds."""
    smallest_p: float | None
    """The lowest ``flip_p`` that this number of seeds can reach, whatever the differences."""
    below: float | None
    """P(a < b) over all pairs of a seed of ``a`` and a seed of ``b``; see :func:`probability_below`."""
    below_paired: float | None
    """Share of the common seeds at which a < b, ties counted half."""


def compare(a: Mapping[int, float], b: Mapping[int, float], rng: np.random.Generator) -> Paired:
    """Compare two samples, each seed -> value; ``rng`` is drawn from beyond EXACT_UP_TO seeds only."""
    seeds = tuple(sorted(a.keys() & b.keys()))
    differences = np.array([a[seed] - b[seed] for seed in seeds])
    n = len(seeds)
    mean = float(differences.mean()) if n else None
    std = float(differences.std(ddof=1)) if n > 1 else None
    return Paired(
        seeds=seeds,
        differences=tuple(map(float, differences)),
        mean=mean,
        std=std,
        interval=None if mean is None else t_interval(n, mean, std),
        t_p=None if mean is None else t_p_value(n, mean, std),
        flip_p=sign_flip_p(differences, rng) if n > 1 else None,
        smallest_p=smallest_p(n) if n > 1 else None,
        below=probability_below(list(a.values()), list(b.values())) if a and b else None,
        below_paired=float(np.mean(_below(differences, 0.0))) if n else None,
    )


def sign_flip_p(differences: NDArray[np.float64], rng: np.random.Generator) -> float:
    """Two-sided p that differences are as likely to have either sign, whatever their distribution.

    If neither system is better, each difference could as well have come out the other way round. p is the
    share of all 2^n ways to flip signs that give a mean at least as far from 0 as the one observed. Beyond
    EXACT_UP_TO differences it is estimated from FLIPS random ways, the observed one counted among them, so
    that it is valid, never 0.
    """
    magnitudes = np.abs(differences)
    reached = abs(differences.sum()) - _TIE * magnitudes.sum()
    if len(differences) > EXACT_UP_TO:
        return _sampled_flip_p(magnitudes, reached, rng)
    # The sums of all flips, a difference at a time; the first keeps its sign, as -s counts like s.
    sums = magnitudes[:1]
    for magnitude in magnitudes[1:]:
        sums = np.concatenate([sums + magnitude, sums - magnitude])
    return float(np.mean(np.abs(sums) >= reached))


def _sampled_flip_p(magnitudes: NDArray[np.float64], reached: float, rng: np.random.Generator) -> float:
    as_far, left = 1, FLIPS
    while left:
        some = min(left, max(1, _FLIPPED_AT_ONCE // len(magnitudes)))
        flipped = rng.integers(0, 2, (some, len(magnitudes))).astype(bool)
        sums = magnitudes.sum() - 2 * (flipped @ magnitudes)
        as_far += int(np.count_nonzero(np.abs(sums) >= reached))
        left -= some
    return as_far / (1 + FLIPS)


def smallest_p(n: int) -> float:
    """The lowest p of the sign-flip test with ``n`` differences: all of one sign. 0.0625 for n = 5."""
    exact = 2.0 ** (1 - n)
    return exact if n <= EXACT_UP_TO else max(exact, 1 / (1 + FLIPS))


def seeds_needed(comparisons: int, level: float = 0.05) -> int:
    """The fewest seeds whose sign-flip test can be significant as the first of so many comparisons."""
    return 1 + math.ceil(math.log2(comparisons / level))


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Holm's (1979) step-down adjustment: of comparisons that are reported together.

    Calling those below 5% significant is wrong about even one of the family at most 5% of the time,
    however they depend on each other. A None stays one and does not count.
    """
    order = sorted((p, position) for position, p in enumerate(p_values) if p is not None)
    adjusted: list[float | None] = [None] * len(p_values)
    highest = 0.0
    for rank, (p, position) in enumerate(order):
        highest = max(highest, min(1.0, (len(order) - rank) * p))
        adjusted[position] = highest
    return adjusted


def probability_below(a: Sequence[float], b: Sequence[float]) -> float:
    """P(a < b) + P(a = b) / 2 over all pairs: the probability of improvement where lower is better.

    As Agarwal et al. (2021), rliable, compute it: the Mann-Whitney statistic over the number of pairs.
    """
    return float(np.mean(_below(np.asarray(a)[:, None], np.asarray(b)[None, :])))


def _below(a: NDArray[np.float64], b: NDArray[np.float64] | float) -> NDArray[np.float64]:
    return np.where(a < b, 1.0, np.where(a == b, 0.5, 0.0))
