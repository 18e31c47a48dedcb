"""Intervals against SciPy's own, printed tables and arithmetic by hand."""

import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from analysis.stats.intervals import (
    Interval,
    Moments,
    bca_intervals,
    error_text,
    t_interval,
    t_p_value,
    welch,
)

SAMPLE = [100.1, 100.9, 101.2, 99.8, 100.4]
OTHER = [101.3, 102.9, 101.1]

values = st.floats(-1e6, 1e6, allow_nan=False)
samples = st.lists(values, min_size=2, max_size=12)


def moments(sample: list[float]) -> tuple[int, float, float]:
    return len(sample), float(np.mean(sample)), float(np.std(sample, ddof=1))


def test_t_interval_by_a_printed_table() -> None:
    # Mean 100.48, squared deviations .1444 + .1764 + .5184 + .4624 + .0064 = 1.308 over 4; t = 2.776.
    half = 2.776 * math.sqrt(1.308 / 4 / 5)
    found = t_interval(*moments(SAMPLE))
    assert found is not None
    assert (found.low, found.high) == pytest.approx((100.48 - half, 100.48 + half), abs=2e-4)
    assert found.half_width == pytest.approx(half, abs=2e-4)


def test_t_interval_and_p_equal_scipys() -> None:
    n, mean, std = moments(SAMPLE)
    expected = scipy.stats.t.interval(0.95, n - 1, loc=mean, scale=std / math.sqrt(n))
    found = t_interval(n, mean, std)
    assert found is not None
    assert (found.low, found.high) == pytest.approx(expected)
    centred = [value - 100 for value in SAMPLE]
    assert t_p_value(*moments(centred)) == pytest.approx(scipy.stats.ttest_1samp(centred, 0).pvalue)


def test_one_value_has_neither_interval_nor_p() -> None:
    assert t_interval(1, 3.0, None) is None
    assert t_p_value(1, 3.0, None) is None
    assert bca_intervals(np.array([[3.0], [4.0]]), np.random.default_rng(0)) == [None, None]


def test_values_without_spread() -> None:
    assert t_interval(5, 3.0, 0.0) == Interval(3.0, 3.0)
    assert (t_p_value(5, 3.0, 0.0), t_p_value(5, 0.0, 0.0)) == (0.0, 1.0)
    assert bca_intervals(np.full((1, 5), 0.1), np.random.default_rng(0)) == [Interval(0.1, 0.1)]
    a, b = Moments(5, 3.0, 0.0), Moments(4, 2.0, 0.0)
    assert welch(a, b) == (Interval(1.0, 1.0), 0.0)
    assert welch(a, a) == (Interval(0.0, 0.0), 1.0)


def test_welch_equals_scipys() -> None:
    test = scipy.stats.ttest_ind(SAMPLE, OTHER, equal_var=False)
    expected = test.confidence_interval(0.95)
    interval, p = welch(Moments(*moments(SAMPLE)), Moments(*moments(OTHER)))
    assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high))
    assert p == pytest.approx(test.pvalue)


def test_welch_by_its_formula() -> None:
    # Variances 4 and 9 over 5 and 10: 0.8 and 0.9, so an error of sqrt 1.7 and degrees of freedom
    # 1.7² / (0.8² / 4 + 0.9² / 9) = 2.89 / 0.25 = 11.56, for which tables of t have 2.188.
    interval, _ = welch(Moments(5, 20.0, 2.0), Moments(10, 17.0, 3.0))
    assert interval.half_width == pytest.approx(2.188 * math.sqrt(1.7), abs=1e-3)
    assert (interval.low + interval.high) / 2 == pytest.approx(3.0)


def test_if_one_side_has_no_spread_the_others_degrees_of_freedom_count() -> None:
    interval, _ = welch(Moments(5, 0.0, 0.0), Moments(5, 0.0, 1.0))
    assert interval.half_width == pytest.approx(2.776 / math.sqrt(5), abs=1e-3)


def test_spreads_whose_squares_underflow_have_an_interval() -> None:
    small, _ = welch(Moments(5, 0.0, 1e-90), Moments(7, 0.0, 2e-90))
    plain, _ = welch(Moments(5, 0.0, 1.0), Moments(7, 0.0, 2.0))
    assert small.high / 1e-90 == pytest.approx(plain.high)


def test_bca_equals_scipys_for_one_sample() -> None:
    (found,) = bca_intervals(np.array([SAMPLE]), np.random.default_rng(3))
    expected = scipy.stats.bootstrap(
        (SAMPLE,), np.mean, method="BCa", n_resamples=9_999, rng=np.random.default_rng(3)
    ).confidence_interval
    assert found is not None
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert min(SAMPLE) <= found.low < np.mean(SAMPLE) < found.high <= max(SAMPLE)


def test_bca_by_its_formula() -> None:
    """Efron (1987), written out: bias from ranks, acceleration from the jackknife, then percentiles."""
    sample = np.array([0.1, 0.3, 0.2, 2.5, 0.9, 0.4])
    n, rng = len(sample), np.random.default_rng(11)
    means = sample[rng.integers(0, n, (200_000, n))].mean(axis=1)
    normal = scipy.stats.norm()
    share = ((means < sample.mean()).mean() + (means <= sample.mean()).mean()) / 2
    z0 = normal.ppf(share)
    left_out = np.array([np.delete(sample, i).mean() for i in range(n)])
    deviations = left_out.mean() - left_out
    acceleration = (deviations**3).sum() / (6 * (deviations**2).sum() ** 1.5)
    moved = [z0 + z for z in (normal.ppf(0.025), normal.ppf(0.975))]
    ends = [np.quantile(means, normal.cdf(z0 + z / (1 - acceleration * z))) for z in moved]
    (found,) = bca_intervals(sample[None], np.random.default_rng(0), resamples=100_000)
    assert found is not None
    assert (found.low, found.high) == pytest.approx(ends, abs=0.02)


def test_a_rows_bootstrap_does_not_depend_on_its_neighbours() -> None:
    rows = np.random.default_rng(1).normal(size=(400, 5))
    together = bca_intervals(rows, np.random.default_rng(2))
    assert [together[7]] == bca_intervals(rows[7:8], np.random.default_rng(2))
    assert [together[399]] == bca_intervals(rows[399:], np.random.default_rng(2))


def test_the_generators_state_advances() -> None:
    rng = np.random.default_rng(2)
    first, second = (bca_intervals(np.array([SAMPLE]), rng, resamples=200) for _ in range(2))
    assert first != second


@given(samples)
def test_bca_lies_within_the_sample(sample: list[float]) -> None:
    (found,) = bca_intervals(np.array([sample]), np.random.default_rng(0), resamples=199)
    assert found is not None
    slack = 1e-9 * max(map(abs, sample))
    assert min(sample) - slack <= found.low <= found.high <= max(sample) + slack


@given(st.lists(st.integers(-1000, 1000), min_size=2, max_size=9), st.integers(-(2**40), 2**40))
def test_shifting_a_sample_shifts_its_bca_interval(sample: list[int], shift: int) -> None:
    here, there = (
        bca_intervals(np.array([sample]) + by, np.random.default_rng(0), resamples=199)[0]
        for by in (0.0, float(shift))
    )
    assert here is not None
    assert there is not None
    assert there.low - shift == pytest.approx(here.low, abs=1e-3)
    assert there.high - shift == pytest.approx(here.high, abs=1e-3)


@given(samples, samples)
def test_swapping_arguments_mirrors_welch_and_p_agrees_with_the_interval(
    a: list[float], b: list[float]
) -> None:
    one, other = Moments(*moments(a)), Moments(*moments(b))
    (interval, p), (turned, same) = welch(one, other), welch(other, one)
    scale = max(1e-9, *map(abs, a), *map(abs, b))
    assert (turned.low, turned.high) == pytest.approx((-interval.high, -interval.low), abs=1e-9 * scale)
    assert p == pytest.approx(same)
    assert 0 <= p <= 1
    if abs(p - 0.05) > 1e-6:
        assert (0 in interval) == (p > 0.05)


def test_within_and_widened() -> None:
    assert Interval(-1.0, 0.5).within(1.0)
    assert not Interval(-1.0, 0.5).within(0.9)
    assert Interval(-1.0, 0.5).widened(0.25) == Interval(-1.25, 0.75)


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (0.0, "±0.0"),
        (0.0004, "±0.0004"),
        (0.0008, "±0.0008"),
        (0.012, "±0.01"),
        (0.04, "±0.04"),
        (0.3, "±0.3"),
        (2.44, "±2.4"),
        (1e300, "±1e+300"),
        (math.inf, "±inf"),
    ],
)
def test_an_error_is_printed_with_its_first_digit(error: float, text: str) -> None:
    assert error_text(error) == text
