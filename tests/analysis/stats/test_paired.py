"""Paired statistics against enumerated flips, SciPy's other tests, and examples of the papers."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.stats.paired import (
    EXACT_UP_TO,
    FLIPS,
    compare,
    holm,
    holm_reach,
    probability_below,
    seeds_needed,
    sign_flip_p,
    smallest_p,
)

RNG = np.random.default_rng


def flips(differences: list[float]) -> float:
    return sign_flip_p(np.array(differences), RNG(0))


@pytest.mark.parametrize(
    ("differences", "p"),
    [
        # n = 2: |1+2| = 3, |1-2| = 1, |-1+2| = 1, |-1-2| = 3.
        ([1.0, 2.0], 2 / 4),
        ([-1.0, 2.0], 4 / 4),
        # n = 3, sums ±6, ±4 (without 1), ±2 (without 2), 0 (without 3), each twice.
        ([1.0, 2.0, 3.0], 2 / 8),
        ([-1.0, 2.0, 3.0], 4 / 8),
        ([1.0, -2.0, 3.0], 6 / 8),
        ([1.0, 2.0, -3.0], 8 / 8),
        # n = 4: ±10, ±8, ±6, ±4 and ±4 (3, or 1 and 2 flipped), ±2 and ±2, 0 and 0.
        ([1.0, 2.0, 3.0, 4.0], 2 / 16),
        ([-1.0, 2.0, 3.0, 4.0], 4 / 16),
        ([1.0, -2.0, 3.0, 4.0], 6 / 16),
        ([1.0, 2.0, -3.0, 4.0], 10 / 16),
        ([1.0, 2.0, 3.0, -4.0], 14 / 16),
        # Ties count as reached, rounding or not: 0.1 + 0.2 is not 0.3.
        ([0.1, 0.2, -0.3], 1.0),
        ([0.1, -0.1], 1.0),
        ([0.0, 0.0, 0.0], 1.0),
        ([5.0], 1.0),
    ],
)
def test_sign_flips_by_hand(differences: list[float], p: float) -> None:
    assert flips(differences) == p


@settings(deadline=None)
@given(st.lists(st.integers(-50, 50), min_size=1, max_size=9))
def test_sign_flips_equal_an_enumeration_of_integers(differences: list[int]) -> None:
    sums = [
        abs(sum(s * d for s, d in zip(signs, differences, strict=True)))
        for signs in itertools.product((1, -1), repeat=len(differences))
    ]
    expected = Fraction(sum(s >= abs(sum(differences)) for s in sums), len(sums))
    assert flips([float(d) for d in differences]) == float(expected)


@pytest.mark.parametrize("n", range(2, 13))
def test_sign_flips_equal_an_enumeration_of_all_signs(n: int) -> None:
    """The enumeration is in exact fractions: decimals have ties that floats do not."""
    tenths = [int(t) for t in RNG(n).integers(-9, 15, n)]
    observed = abs(sum(tenths))
    sums = [
        abs(sum(s * t for s, t in zip(signs, tenths, strict=True)))
        for signs in itertools.product((1, -1), repeat=n)
    ]
    expected = sum(s >= observed for s in sums) / 2**n
    assert flips([t / 10 for t in tenths]) == expected


def test_the_exact_test_leaves_the_generator_unused_and_the_random_one_uses_it() -> None:
    rng = RNG(4)
    before = rng.bit_generator.state
    sign_flip_p(np.arange(1.0, EXACT_UP_TO + 1), rng)
    assert rng.bit_generator.state == before
    sign_flip_p(np.arange(1.0, EXACT_UP_TO + 2), rng)
    assert rng.bit_generator.state != before


def test_random_flips_come_near_the_exact_p() -> None:
    # 25 differences of magnitude 1, 19 of them up: |2 K - 25| >= 13 for K binomial over 25 coins.
    differences = np.array([1.0] * 19 + [-1.0] * 6)
    exact = 2 * scipy.stats.binom.sf(18, 25, 0.5)
    error = math.sqrt(exact * (1 - exact) / FLIPS)
    assert sign_flip_p(differences, RNG(1)) == pytest.approx(exact, abs=4 * error)
    # Never 0: the observed signs are among those counted.
    assert sign_flip_p(np.ones(40), RNG(1)) == 1 / (1 + FLIPS)


@pytest.mark.slow
def test_many_differences_are_flipped_in_batches() -> None:
    differences = np.concatenate([np.ones(250), -np.ones(250)])
    assert sign_flip_p(differences, RNG(1)) == 1.0


def test_smallest_p_is_reached_when_all_differences_have_one_sign() -> None:
    assert smallest_p(5) == 0.0625
    for n in (2, 3, 5, 8, 12):
        assert smallest_p(n) == flips([1.0 + k for k in range(n)])
    assert smallest_p(40) == 1 / (1 + FLIPS)


def test_seeds_needed() -> None:
    assert [seeds_needed(m) for m in (1, 5, 7)] == [6, 8, 9]
    for family in range(1, 30):
        n = seeds_needed(family)
        assert family * smallest_p(n) <= 0.05 < family * smallest_p(n - 1)


@pytest.mark.slow
def test_p_values_of_the_exact_test_are_uniform_under_the_null() -> None:
    """Of five differences from a symmetric distribution, all 16 shares are equally likely."""
    rng = RNG(8)
    p_values = np.array([sign_flip_p(d, rng) for d in rng.standard_t(3, (4_000, 5))])
    ranks, counts = np.unique(np.round(p_values * 16), return_counts=True)
    assert list(ranks) == list(range(1, 17))
    assert scipy.stats.chisquare(counts).pvalue > 0.001


def test_holm_by_hand() -> None:
    # By hand: .005 * 4, .01 * 3, .03 * 2 (and not below the one before), .04 * 1 raised to .06.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.4]) == [0.8, 0.8]
    assert holm([0.9, None, 0.9]) == [1.0, None, 1.0]
    assert holm([0.02, None]) == [0.02, None]
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_keeps_the_order_and_lies_between_raw_and_bonferroni(p_values: list[float]) -> None:
    adjusted = holm(p_values)
    for p, q in zip(p_values, adjusted, strict=True):
        assert q is not None
        assert p <= q <= min(1.0, p * len(p_values))
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    sorted_q = [adjusted[i] for i in order]
    assert sorted_q == sorted(q for q in sorted_q if q is not None)


def test_what_a_comparison_can_reach_beside_others_by_hand() -> None:
    # Six seeds beside ten of one sign: .002 * 2, then 2/64 * 1. Beside ten of both signs: 2/64 * 2.
    assert holm_reach([2 / 1024, 0.9], [2 / 1024, 2 / 64]) == pytest.approx([4 / 1024, 2 / 64])
    assert holm_reach([0.4, 0.9], [2 / 1024, 2 / 64]) == pytest.approx([4 / 1024, 4 / 64])
    # It is never below the adjusted p of a smaller one, and no comparison without a p counts.
    assert holm_reach([0.03, 0.9, None], [0.03, 0.04, None]) == pytest.approx([0.06, 0.06, None])


@given(st.lists(st.tuples(st.none() | st.floats(0, 1), st.floats(0, 1)), max_size=9))
def test_what_a_comparison_can_reach_is_holms_p_with_its_own_smallest(
    found: list[tuple[float | None, float]],
) -> None:
    p = [q for q, _ in found]
    smallest = [None if q is None else q * share for q, share in found]
    assert holm_reach(p, smallest) == [
        None if p[k] is None else holm([*p[:k], smallest[k], *p[k + 1 :]])[k] for k in range(len(p))
    ]


def test_probability_below_by_hand_and_as_mann_whitney() -> None:
    # Of 6 pairs: 1<2, 1<3, 2<3 lower, 2=2 tied, and 1<2, 1<3 for the second 1: 5 and a half.
    assert probability_below([1, 2, 1], [2, 3]) == pytest.approx(5.5 / 6)
    a, b = [3.0, 1.0, 4.0, 1.0, 5.0], [9.0, 2.0, 6.0, 4.0]
    u = scipy.stats.mannwhitneyu(b, a).statistic
    assert probability_below(a, b) == pytest.approx(u / 20)
    assert probability_below(a, b) + probability_below(b, a) == pytest.approx(1.0)


def test_compare_uses_the_common_seeds() -> None:
    a, b = {0: 3.0, 1: 5.0, 2: 4.0, 7: 100.0}, {2: 1.0, 1: 3.5, 0: 2.0, 9: -5.0}
    found = compare(a, b, RNG(0))
    assert found.seeds == (0, 1, 2)
    assert found.differences == (1.0, 1.5, 3.0)
    assert found.mean == pytest.approx(5.5 / 3)
    expected = scipy.stats.ttest_rel([3.0, 5.0, 4.0], [2.0, 3.5, 1.0])
    assert found.t_p == pytest.approx(expected.pvalue)
    interval = expected.confidence_interval(0.95)
    assert found.interval is not None
    assert (found.interval.low, found.interval.high) == pytest.approx((interval.low, interval.high))
    assert (found.flip_p, found.smallest_p) == (0.25, 0.25)
    assert found.below_paired == 0.0
    # All seeds of both: of 16 pairs 3, 5, 4 and 100 lie below 2, 3.5, 1 and -5 once.
    assert found.below == pytest.approx(1 / 16)


def test_compare_with_one_common_seed_or_none() -> None:
    one = compare({0: 1.0, 1: 2.0}, {1: 5.0}, RNG(0))
    assert (one.seeds, one.mean, one.std, one.interval) == ((1,), -3.0, None, None)
    assert (one.t_p, one.flip_p, one.smallest_p) == (None, None, None)
    assert (one.below, one.below_paired) == (1.0, 1.0)
    none = compare({0: 1.0}, {1: 5.0}, RNG(0))
    assert (none.seeds, none.mean, none.below, none.below_paired) == ((), None, 1.0, None)
