"""The documented coverage of intervals and shares of verdicts, simulated with fixed seeds.

Tolerances are four standard errors of the simulated share and the rounding of the documented one.
"""

import itertools
import math
import re

import numpy as np
import pytest
from numpy.typing import NDArray

from analysis.published.facts import Fact
from analysis.stats import intervals, paired
from analysis.stats import reproduction as verdicts
from analysis.stats.average import average
from analysis.stats.intervals import Interval, Moments, bca_intervals, t_interval, welch
from analysis.stats.paired import compare

DOCUMENTED = {
    int(n): (int(t) / 100, int(bca) / 100)
    for n, t, bca in re.findall(r"n = (\d+): t (\d+)%, BCa (\d+)%", intervals.__doc__ or "")
}
VERDICTS = {
    int(n): tuple(int(share) / 100 for share in shares)
    for n, *shares in re.findall(
        r"(\d+) seeds: reproduced (\d+)%, cannot tell (\d+)%, lower or higher (\d+)%",
        verdicts.judge.__doc__ or "",
    )
}
SAMPLES = 8_000


def agrees(share: float, documented: float, samples: int = SAMPLES, rounding: float = 0.005) -> bool:
    return abs(share - documented) <= rounding + 4 * math.sqrt(documented * (1 - documented) / samples)


def rng(*seed: int) -> np.random.Generator:
    return np.random.default_rng([2019, *seed])


def test_every_documented_share_is_found() -> None:
    assert list(DOCUMENTED) == [3, 5, 10, 20]
    assert list(VERDICTS) == [2, 5, 10, 20]


@pytest.mark.parametrize("n", DOCUMENTED)
def test_t_interval_of_the_mean(n: int) -> None:
    samples = rng(n).normal(7.0, 2.0, (SAMPLES, n))
    found = [
        t_interval(n, mean, std)
        for mean, std in zip(samples.mean(axis=1), samples.std(axis=1, ddof=1), strict=True)
    ]
    assert agrees(covered(found, 7.0), 0.95, rounding=0)
    assert DOCUMENTED[n][0] == 0.95


@pytest.mark.parametrize("n", [pytest.param(n, marks=[pytest.mark.slow] * (n != 5)) for n in DOCUMENTED])
def test_bca_interval_of_the_mean(n: int) -> None:
    # Each part has its own resamples, so that their errors are independent.
    parts = [rng(n, part).normal(size=(SAMPLES // 16, n)) for part in range(16)]
    found = [
        interval
        for number, part in enumerate(parts)
        for interval in bca_intervals(part, rng(n, number, 1), resamples=1_999)
    ]
    assert agrees(covered(found, 0.0), DOCUMENTED[n][1])


@pytest.mark.parametrize(
    ("a", "b"), [((5, 1.0), (5, 1.0)), ((5, 1.0), (5, 3.0)), ((3, 2.0), (10, 1.0)), ((10, 0.2), (20, 5.0))]
)
def test_welch_interval_of_a_difference(a: tuple[int, float], b: tuple[int, float]) -> None:
    sides = [
        rng(n, k).normal(mean, std, (SAMPLES, n)) for k, (mean, (n, std)) in enumerate([(3, a), (1, b)])
    ]
    moments = [
        [Moments(n, *pair) for pair in zip(side.mean(axis=1), side.std(axis=1, ddof=1), strict=True)]
        for side, (n, _) in zip(sides, (a, b), strict=True)
    ]
    found = [welch(*pair)[0] for pair in zip(*moments, strict=True)]
    # Welch's interval is an approximation: its coverage is within 1.5 percentage points.
    assert agrees(covered(found, 2.0), 0.95, rounding=0.015)


@pytest.mark.parametrize("n", [pytest.param(3, marks=pytest.mark.slow), 5])
def test_paired_interval_if_seeds_have_much_in_common(n: int, monkeypatch: pytest.MonkeyPatch) -> None:
    # Only the interval is of interest; a sign-flip test for each of thousands of samples takes long.
    monkeypatch.setattr(paired, "sign_flip_p", lambda *_: 1.0)
    common = rng(n, 0).normal(0, 5.0, (SAMPLES, n))
    a, b = (common + rng(n, k).normal(mean, 1.0, (SAMPLES, n)) for k, mean in [(1, 4.0), (2, 3.0)])
    draws = rng(n, 3)
    found = [
        compare(dict(enumerate(one)), dict(enumerate(other)), draws).interval
        for one, other in zip(a, b, strict=True)
    ]
    assert agrees(covered(found, 1.0), 0.95, rounding=0)


@pytest.mark.parametrize("n", VERDICTS)
def test_shares_of_verdicts_on_a_true_reproduction(n: int) -> None:
    samples = 4_000
    words = []
    for published, ours in zip(
        rng(n, 0).normal(100.03, 1.0, (samples, 5)),
        rng(n, 1).normal(100.03, 1.0, (samples, n)),
        strict=True,
    ):
        mean, std = round(published.mean(), 1), round(published.std(ddof=1), 1)
        fact = Fact(
            "2a",
            "ptb",
            "kruengkrai2019",
            "lstm-vae",
            "LSTM-VAE",
            1,
            "standard",
            "nll",
            mean,
            std,
            1,
            1,
            runs=5,
        )
        words.append(verdicts.judge(average(np.arange(n), ours, np.full(n, np.nan)), fact).word)
    shares = [
        words.count("reproduced"),
        words.count("cannot tell"),
        words.count("lower") + words.count("higher"),
    ]
    assert sum(shares) == samples
    for share, documented in zip(shares, VERDICTS[n], strict=True):
        assert agrees(share / samples, documented, samples)


def covered(found: list[Interval | None], truth: float) -> float:
    inside = [interval is not None and truth in interval for interval in found]
    assert len(inside) == SAMPLES
    return float(np.mean(inside))


def flips(differences: NDArray[np.float64]) -> NDArray[np.float64]:
    """p of the sign-flip test of each row, by all flips."""
    n = differences.shape[1]
    signs = np.array(list(itertools.product((1.0, -1.0), repeat=n - 1)))
    sums = np.abs(differences @ np.hstack([np.ones((len(signs), 1)), signs]).T)
    return (sums >= np.abs(differences.sum(1))[:, None] - 1e-9).mean(1)


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [("normal", 0.03, 0.05), ("exponential", 0.09, 0.12), ("log-normal", 0.13, 0.17)],
)
def test_the_sign_flip_test_calls_skewed_differences_significant_too_often(
    name: str, low: float, high: float
) -> None:
    random, size = rng(8), (SAMPLES, 8)
    samples = {
        "normal": random.normal(size=size),
        "exponential": random.exponential(size=size) - 1,
        "log-normal": random.lognormal(0, 1, size) - math.exp(0.5),
    }
    p = flips(samples[name])
    assert low < float(np.mean(p <= 0.05)) < high
    # The same p as that of the code, whose documentation states the shares.
    ours = [paired.sign_flip_p(row, rng(8)) for row in samples[name][:50]]
    np.testing.assert_allclose(p[:50], ours, rtol=1e-12)
    (percent,) = re.findall(rf"(\d+)% for {name}", " ".join((paired.sign_flip_p.__doc__ or "").split()))
    assert agrees(float(np.mean(p <= 0.05)), int(percent) / 100)


def test_adding_seeds_until_the_test_is_significant_gives_false_calls() -> None:
    differences = rng(612).normal(size=(2000, 12))
    called = np.zeros(2000, bool)
    for n in range(6, 13):
        called |= flips(differences[:, :n]) <= 0.05
    assert 0.10 < float(np.mean(called)) < 0.145
