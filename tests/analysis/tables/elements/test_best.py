"""Only numbers of models that verdicts call better may be bold."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.stats.average import Average, average
from analysis.stats.cells import Cell, Counts
from analysis.stats.comparisons import compare_all
from analysis.stats.texts import Text
from analysis.tables.elements.best import best_averages


def of(values: list[float]) -> Average:
    return average(np.arange(len(values)), np.array(values), np.full(len(values), np.nan))


def cell(system: str, L: int, base: float, seeds: int, text: Text | None = None, variant: str = "") -> Cell:
    values = [base + 0.01 * seed for seed in range(seeds)]
    names = {"nll": of(values)} if not L else {"nll_elbo": of(values), "mi": of([5.0] * seeds)}
    averaging = "loss" if L else "none"
    return Cell("toy", system, L, "standard", variant, averaging, Counts(done=seeds), names, text=text)


@pytest.mark.parametrize(("seeds", "base", "bold"), [(10, 90.0, 1), (3, 90.0, 0), (10, 110.0, 0)])
def test_a_number_is_bold_only_if_its_model_is_better(seeds: int, base: float, bold: int) -> None:
    cells = [cell("lstm-lm", 0, 100.0, seeds), cell("lstm-vae", 1, base, seeds)]
    compared = compare_all(cells, np.random.default_rng(0))
    best = best_averages(compared)
    ours = cells[1].averages["nll_elbo"]
    assert sum(found is ours for found in best) >= bold
    assert bool(best) == bool(bold)


def test_each_text_has_its_own_bold_number() -> None:
    """A small vocabulary lowers every number: its winner is not compared with that of a large one."""
    large = Text("a" * 64, 400, 60, 9000, None)
    small = Text("a" * 64, 400, 60, 100, None, (1, 100))
    cells = [
        cell("lstm-lm", 0, 100.0, 10, large, "max_vocabulary=0"),
        cell("lstm-vae", 1, 90.0, 10, large, "max_vocabulary=0"),
        cell("lstm-lm", 0, 40.0, 10, small, "max_vocabulary=100"),
        cell("lstm-vae", 1, 30.0, 10, small, "max_vocabulary=100"),
    ]
    best = {id(found) for found in best_averages(compare_all(cells, np.random.default_rng(0)))}
    assert best == {id(cells[k].averages["nll_elbo"]) for k in (1, 3)}


def test_a_model_that_another_beats_in_any_metric_is_bold_in_none() -> None:
    """The second language model beats the first; the autoencoder beats both, by its tightest bound."""
    lm, other = cell("lstm-lm", 0, 100.0, 12), cell("lstm-lm", 0, 99.0, 12, variant="b")
    iwae = cell("lstm-iwae", 5, 101.0, 12)
    bound = of([90.0 + 0.01 * seed for seed in range(12)])
    iwae.averages["nll_iw"] = bound
    compared = compare_all([lm, other, iwae], np.random.default_rng(0))
    assert {c.verdict.model for c in compared if c.metric == "nll"} >= {"better"}
    assert [average is bound for average in best_averages(compared)] == [True]


def test_two_models_that_beat_the_language_model_by_bounds_are_both_bold() -> None:
    """Which of them is better would follow from two bounds."""
    cells = [cell("lstm-lm", 0, 100.0, 12), cell("lstm-iwae", 5, 90.0, 12), cell("lstm-iwae", 10, 91.0, 12)]
    best = {id(found) for found in best_averages(compare_all(cells, np.random.default_rng(0)))}
    assert best == {id(found.averages["nll_elbo"]) for found in cells[1:]}


def test_an_exact_number_above_another_winner_is_not_bold() -> None:
    """It wins its only comparison, but is visibly not the best."""
    worse, lm = cell("lstm-lm", 0, 105.0, 12), cell("lstm-lm", 0, 100.0, 12, variant="b")
    vae = cell("lstm-vae", 1, 95.0, 12)
    compared = compare_all([worse, lm, vae], np.random.default_rng(0))
    assert all(worse in (c.a, c.b) for c in compared)
    best = {id(found) for found in best_averages(compared)}
    assert id(vae.averages["nll_elbo"]) in best
    assert id(lm.averages["nll"]) not in best


def test_a_baseline_of_an_undecided_comparison_is_not_bold() -> None:
    """It beats another variant of itself, but a bound above it shows nothing."""
    cells = [cell("lstm-lm", 0, 100.0, 12), cell("lstm-lm", 0, 105.0, 12, variant="b")]
    worse = compare_all(cells, np.random.default_rng(0))
    assert [found is cells[0].averages["nll"] for found in best_averages(worse)][:1] == [True]
    undecided = compare_all([*cells, cell("lstm-vae", 1, 101.0, 12)], np.random.default_rng(0))
    assert best_averages(undecided) == []
