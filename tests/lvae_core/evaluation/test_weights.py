"""Diagnostics of importance weights: closed forms, loops by hand, SciPy, simulations of known truth."""

import functools
import math

import numpy as np
import pytest
import scipy.stats
import torch

from lvae_core.evaluation.weights import (
    Reading,
    effective_sample_size,
    in_full,
    jackknife_variance,
    log_mean_exp,
    pareto_shape,
)
from lvae_core.run_folder.estimates import UNRELIABLE_SHAPE, UNRELIABLE_SHARE

S = 500


def weights(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(-90, 1.5, shape))


# --- effective sample size ---


def test_equal_weights_count_in_full_and_one_heavy_weight_counts_alone():
    equal = torch.full((S, 1), -1234.5, dtype=torch.float64)
    assert float(effective_sample_size(equal)) == pytest.approx(S, rel=1e-12)
    one = equal.clone()
    one[17] += 900
    assert float(effective_sample_size(one)) == pytest.approx(1, rel=1e-12)
    half = torch.tensor([0.0, 0.0, -2000.0, -2000.0]).double().unsqueeze(1)
    assert float(effective_sample_size(half)) == pytest.approx(2, rel=1e-12)


def test_the_effective_sample_size_is_the_squared_sum_over_the_sum_of_squares():
    log_w = weights(S, 3)
    for found, column in zip(effective_sample_size(log_w), log_w.T.tolist(), strict=True):
        w = [math.exp(v + 90) for v in column]
        assert float(found) == pytest.approx(math.fsum(w) ** 2 / math.fsum(v * v for v in w), rel=1e-12)


# --- the jackknife ---


def test_the_jackknife_leaves_out_each_draw_in_turn():
    log_w = weights(40, 3)
    for found, column in zip(jackknife_variance(log_w), log_w.T.tolist(), strict=True):
        w = [math.exp(v + 90) for v in column]
        left = [math.log(math.fsum(w[:s] + w[s + 1 :]) / 39) for s in range(40)]
        mean = math.fsum(left) / 40
        assert float(found) == pytest.approx(39 / 40 * math.fsum((v - mean) ** 2 for v in left), rel=1e-10)


def test_the_jackknife_keeps_its_digits_if_one_draw_has_nearly_everything():
    log_w = torch.zeros(S, 1, dtype=torch.float64)
    log_w[3] = 100.0
    # Without the heavy draw the log-mean is 0; without any other it is log(e^100 / (S - 1)) to 40 digits.
    high = 100 - math.log(S - 1)
    mean = (S - 1) / S * high
    expected = (S - 1) / S * (mean**2 + (S - 1) * (high - mean) ** 2)
    assert float(jackknife_variance(log_w)) == pytest.approx(expected, rel=1e-12)


def test_weights_of_zero_leave_every_diagnostic_a_number():
    log_w = torch.full((S, 1), -math.inf, dtype=torch.float64)
    log_w[0] = -90.0
    assert float(effective_sample_size(log_w)) == pytest.approx(1)
    assert math.isfinite(jackknife_variance(log_w))
    assert UNRELIABLE_SHAPE < float(pareto_shape(log_w)) < math.inf


# --- the Pareto shape ---


def shape_by_hand(log_w: list[float]) -> float:
    """k̂ by loops over plain floats, from the formulas of Zhang & Stephens (2009), §4, and of PSIS."""
    size = len(log_w)
    n = math.ceil(min(size / 5, 3 * math.sqrt(size)))
    top = sorted(log_w)
    threshold = math.exp(top[-n - 1] - top[-1])
    x = [math.exp(v - top[-1]) - threshold for v in top[-n:]]
    m = 30 + int(math.sqrt(n))
    quartile = x[int(n / 4 + 0.5) - 1]
    grid = [1 / x[-1] + (1 - math.sqrt(m / (j - 0.5))) / (3 * quartile) for j in range(1, m + 1)]

    def k(theta: float) -> float:  # their k has the other sign
        return -math.fsum(math.log1p(-theta * v) for v in x) / n

    def likelihood(theta: float) -> float:
        return n * (math.log(theta / k(theta)) + k(theta) - 1)

    ls = [likelihood(theta) for theta in grid]
    shares = [1 / math.fsum(math.exp(other - mine) for other in ls) for mine in ls]
    theta = math.fsum(t * share for t, share in zip(grid, shares, strict=True))
    return (n * -k(theta) + 10 * 0.5) / (n + 10)


@pytest.mark.parametrize("size", [21, 50, 225, 500])
@pytest.mark.parametrize("spread", [0.05, 0.8, 2.0, 6.0])
def test_the_shape_is_that_of_a_loop_by_hand(size, spread):
    log_w = torch.from_numpy(np.random.default_rng(size).normal(-90, spread, (size, 4)))
    expected = [shape_by_hand(column) for column in log_w.T.tolist()]
    assert pareto_shape(log_w).tolist() == pytest.approx(expected, rel=1e-9)


def pareto(shape: float, size: tuple[int, ...], seed: int = 0) -> torch.Tensor:
    """Log-weights of mean 1 whose excess over any threshold is generalised Pareto of this shape."""
    draws = np.random.default_rng(seed).exponential(size=size)
    return torch.from_numpy(shape * draws + math.log1p(-shape))


@pytest.mark.parametrize("shape", [0.1, 0.3, 0.5, 0.7, 1.0, 1.5])
@pytest.mark.parametrize("size", [500, 10_000])
def test_the_shape_of_exact_pareto_samples_is_found(shape, size):
    log_w = torch.from_numpy(shape * np.random.default_rng(3).exponential(size=(size, 400)))
    n = math.ceil(3 * math.sqrt(size))
    found = pareto_shape(log_w)
    # The prior draws it to 0.5; the maximum likelihood estimator's deviation is (1 + k)/√n.
    expected = (n * shape + 5) / (n + 10)
    deviation = (1 + shape) / math.sqrt(n) * n / (n + 10)
    assert float(found.mean()) == pytest.approx(expected, abs=4 * deviation / math.sqrt(400) + 2 / n)
    assert float(found.std()) == pytest.approx(deviation, rel=0.15)


def test_the_shape_agrees_with_scipys_maximum_likelihood():
    size, n = 10_000, 300
    log_w = pareto(0.4, (size, 5), seed=5)
    for found, column in zip(pareto_shape(log_w).tolist(), log_w.T.numpy(), strict=True):
        w = np.sort(np.exp(column))
        fitted, _, _ = scipy.stats.genpareto.fit(w[-n:] - w[-n - 1], floc=0)
        assert found == pytest.approx((n * fitted + 5) / (n + 10), abs=0.02)


def test_the_shape_has_no_scale():
    log_w = weights(S, 3)
    torch.testing.assert_close(pareto_shape(log_w + 5000), pareto_shape(log_w), rtol=1e-9, atol=0)


def test_equal_weights_have_no_tail_and_few_draws_tell_nothing_of_it():
    equal = torch.full((S, 1), -80.0) + 1e-5 * torch.randint(0, 3, (S, 1))
    assert float(pareto_shape(equal)) == -math.inf
    assert float(pareto_shape(weights(20, 1))) == math.inf
    assert math.isfinite(pareto_shape(weights(21, 1)))


@pytest.mark.parametrize("diagnostic", [effective_sample_size, jackknife_variance, pareto_shape])
def test_other_sentences_do_not_change_a_bit(diagnostic):
    log_w = weights(S, 37, seed=4)
    together = diagnostic(log_w)
    for size in (1, 2, 5, 36):
        parts = [diagnostic(log_w[:, k : k + size]) for k in range(0, 37, size)]
        assert torch.equal(torch.cat(parts), together)


# --- errors that hold, where the mean weight is 1 by construction ---


def normal(deviation, size):
    draws = torch.from_numpy(np.random.default_rng(1).normal(size=size))
    return deviation * draws - deviation**2 / 2


def gaussian(dimensions, narrow, size):
    """Weights of a standard normal target under a proposal of variance ``narrow`` in each dimension."""
    square = torch.from_numpy(np.random.default_rng(2).chisquare(dimensions, size))
    return (1 - narrow) * square / 2 + dimensions / 2 * math.log(narrow)


CASES = {
    "log-normal 0.3": lambda size: normal(0.3, size),
    "log-normal 1": lambda size: normal(1.0, size),
    "log-normal 1.3": lambda size: normal(1.3, size),
    "Pareto 0.2": lambda size: pareto(0.2, size),
    "Pareto 0.4": lambda size: pareto(0.4, size),
    "32 dimensions, variance 0.8": lambda size: gaussian(32, 0.8, size),
    "1 dimension, variance 0.6": lambda size: gaussian(1, 0.6, size),
    "log-normal 2": lambda size: normal(2.0, size),
    "log-normal 3": lambda size: normal(3.0, size),
    "Pareto 0.7": lambda size: pareto(0.7, size),
    "32 dimensions, variance 0.5": lambda size: gaussian(32, 0.5, size),
}
RELIABLE = list(CASES)[:7]


@functools.cache
def simulated(name):
    """Of 2,500 estimates: value, variance by the delta method and by the jackknife, and Pareto shape."""
    log_w = CASES[name]((S, 2500))
    return *log_mean_exp(log_w), jackknife_variance(log_w), pareto_shape(log_w)


@pytest.mark.parametrize("name", CASES)
def test_standard_errors_hold_where_the_shape_says_that_the_number_is_reliable(name):
    value, delta, jackknife, shape = simulated(name)
    above = float((shape > UNRELIABLE_SHAPE).double().mean())
    deviation, distance = float(value.std()), float(value.square().mean().sqrt())
    ratio = {name: deviation / float(v.mean().sqrt()) for name, v in (("delta", delta), ("j", jackknife))}
    if name in RELIABLE:
        assert above <= UNRELIABLE_SHARE
        assert 0.8 < ratio["delta"] < 1.25
        assert 0.8 < distance / float(jackknife.mean().sqrt()) < 1.25, "nor is there a bias beside it"
    else:
        assert above > UNRELIABLE_SHARE
        assert ratio["delta"] > 1.1, "here the delta method says too little"
    # The jackknife's error also holds there, for the spread; the distance from the truth has a bias more.
    assert 0.9 < ratio["j"] < 1.1


@pytest.mark.parametrize("name", RELIABLE)
def test_reliable_errors_hold_over_the_sentences_of_a_split(name):
    """The mean over 20 sentences, as it is reported: 125 splits against their own errors."""
    value, _, variance, _ = (values.view(125, 20) for values in simulated(name))
    score = value.mean(1) / (variance.sum(1).sqrt() / 20)
    assert 0.8 < float(score.square().mean().sqrt()) < 1.25


def test_the_errors_of_a_reading_include_that_of_choosing_draws():
    log_w, of_choice = weights(S, 3), torch.tensor([0.5, 0.0, 2.0]).double()
    full = in_full(log_w)
    few = Reading(full.value, of_choice, full.of_draws, log_w)
    torch.testing.assert_close(few.variance, full.variance + of_choice)
    torch.testing.assert_close(few.diagnostics()[0], full.diagnostics()[0] + of_choice)
