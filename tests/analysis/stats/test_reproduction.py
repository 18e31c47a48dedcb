import dataclasses
from typing import get_args

import numpy as np
import pytest
import scipy.stats

from analysis.published.facts import Fact
from analysis.stats.average import Average, average
from analysis.stats.reproduction import REPRODUCTION_RULE, Word, judge

# Printed as 100.0±0.3: the std may have been 0.35, so the margin is 0.7; the mean may be 0.05 off.
FACT = Fact(
    "2a", "ptb", "kruengkrai2019", "lstm-vae", "LSTM-VAE", 1, "standard", "nll", 100.0, 0.3, 1, 1, runs=5
)


def ours(*values: float) -> Average:
    return average(np.arange(len(values)), np.array(values), np.full(len(values), np.nan))


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ((100.0, 100.1, 99.9, 100.1, 99.9), "reproduced"),
        ((100.2, 100.3, 100.1, 100.3, 100.1), "reproduced"),
        # Even with many steady runs of ours, five published seeds determine their mean only to 0.44.
        ((100.35, 100.36, 100.34) * 30, "cannot tell"),
        ((103.0, 103.1, 102.9, 103.1, 102.9), "higher"),
        ((97.0, 97.1, 96.9, 97.1, 96.9), "lower"),
        ((99.0, 101.0, 100.0, 101.5, 98.5), "cannot tell"),
        ((100.0,), "cannot tell"),
    ],
)
def test_verdicts_by_hand(values: tuple[float, ...], word: str) -> None:
    assert judge(ours(*values), FACT).word == word


def test_a_number_that_is_not_defined_has_an_interval_and_no_verdict() -> None:
    undefined = dataclasses.replace(FACT, defined=False)
    found, defined = judge(ours(103.0, 103.1, 102.9), undefined), judge(ours(103.0, 103.1, 102.9), FACT)
    assert (found.word, found.p) == ("no verdict", None)
    assert (defined.word, found.interval) == ("higher", defined.interval)
    assert judge(ours(103.0), undefined).word == "no verdict"


def test_the_interval_is_welchs_and_allows_for_rounding() -> None:
    sample = (100.2, 100.3, 100.1, 100.3, 100.1)
    found = judge(ours(*sample), FACT)
    expected = scipy.stats.ttest_ind_from_stats(
        np.mean(sample), np.std(sample, ddof=1), 5, 100.0, 0.35, 5, equal_var=False
    )
    # SciPy gives no interval from summaries: t and p fix the error and the degrees of freedom, and one
    # quantile of that distribution the interval. Here by Welch's own formula.
    va, vb = np.var(sample, ddof=1) / 5, 0.35**2 / 5
    freedom = (va + vb) ** 2 / (va**2 / 4 + vb**2 / 4)
    half = scipy.stats.t.ppf(0.975, freedom) * np.sqrt(va + vb)
    assert expected.statistic == pytest.approx(0.2 / np.sqrt(va + vb))
    assert found.interval is not None
    assert (found.interval.low, found.interval.high) == pytest.approx(
        (0.2 - half - 0.05, 0.2 + half + 0.05)
    )
    assert found.margin == pytest.approx(0.7)
    assert found.difference == pytest.approx(0.2)
    printed = scipy.stats.ttest_ind_from_stats(
        np.mean(sample), np.std(sample, ddof=1), 5, 100.0, 0.3, 5, equal_var=False
    )
    assert found.p == pytest.approx(printed.pvalue)


def test_the_std_has_its_own_digits() -> None:
    # Printed as 101±0.4 and as 91.2±0.25: the mean may be 0.5 or 0.05 off, the std 0.05 or 0.005.
    for mean, decimals, std, std_decimals, margin, off in (
        (101.0, 0, 0.4, 1, 0.9, 0.5),
        (91.2, 1, 0.25, 2, 0.51, 0.05),
    ):
        fact = dataclasses.replace(FACT, mean=mean, decimals=decimals, std=std, std_decimals=std_decimals)
        found = judge(ours(mean - 0.1, mean, mean + 0.1), fact)
        assert found.margin == pytest.approx(margin)
        expected = scipy.stats.t.ppf(0.975, _welch_freedom(0.1**2 / 3, 3, (margin / 2) ** 2 / 5, 5))
        expected *= np.sqrt(0.1**2 / 3 + (margin / 2) ** 2 / 5)
        assert found.interval is not None
        assert found.interval.half_width == pytest.approx(expected + off)


def _welch_freedom(va: float, na: int, vb: float, nb: int) -> float:
    return (va + vb) ** 2 / (va**2 / (na - 1) + vb**2 / (nb - 1))


def test_noise_of_our_runs_never_makes_a_reproduction_easier() -> None:
    steady = judge(ours(100.1, 100.2, 100.0, 100.2, 100.0), FACT)
    noisy = judge(ours(100.1, 101.1, 99.1, 102.1, 98.1), FACT)
    assert (steady.word, noisy.word) == ("reproduced", "cannot tell")
    assert steady.margin == noisy.margin


def test_a_number_is_called_higher_or_lower_and_its_model_neither_better_nor_worse() -> None:
    kl = dataclasses.replace(FACT, metric="kl", mean=2.0)
    assert judge(ours(5.0, 5.1, 4.9), kl).word == "higher"
    assert judge(ours(0.1, 0.2, 0.1), kl).word == "lower"
    assert judge(ours(5.0, 5.1, 4.9), dataclasses.replace(FACT, metric="nll_iw", mean=2.0)).word == "higher"
    assert not {"better", "worse"} & set(get_args(Word))


@pytest.mark.parametrize("change", [{"std": None}, {"runs": None}])
def test_published_numbers_without_seeds_give_no_verdict(change: dict[str, object]) -> None:
    found = judge(ours(100.0, 100.1), dataclasses.replace(FACT, **change))  # type: ignore[arg-type]
    assert (found.word, found.interval, found.margin, found.p) == ("cannot tell", None, None, None)


@pytest.mark.parametrize("values", [(1e308, 100.0, 100.1), (1e308,) * 3, (-1e308, 1e308), (1e200, 1.0)])
def test_without_a_finite_interval_there_is_no_verdict(values: tuple[float, ...]) -> None:
    found = judge(ours(*values), FACT)
    assert (found.word, found.interval, found.margin, found.p) == ("cannot tell", None, None, None)


def test_a_published_std_too_large_to_be_squared_gives_no_verdict() -> None:
    found = judge(ours(100.0, 100.1), dataclasses.replace(FACT, std=1e200))
    assert (found.word, found.interval, found.margin, found.p) == ("cannot tell", None, None, None)


def test_a_std_printed_as_zero_is_not_taken_as_zero() -> None:
    flat = dataclasses.replace(FACT, std=0.0)
    found = judge(ours(100.0, 100.0, 100.0), flat)
    assert found.margin == pytest.approx(0.1)
    assert found.interval is not None
    assert found.interval.half_width > 0.05


def test_the_rule_in_words_names_every_verdict() -> None:
    for word in (
        "reproduced",
        "higher",
        "lower",
        "cannot tell",
        "no verdict",
        "two published",
    ):
        assert word in REPRODUCTION_RULE
