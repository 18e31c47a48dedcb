"""What is left of a search, against counts and p-values by hand."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from sweeps.trials.budget import Work, reach, trained_share, verdict_text
from sweeps.trials.options import Options
from sweeps.trials.rules import Rules


def smallest_by_enumeration(n: int) -> float:
    """Share of all flips of n equal differences whose sum is as far from 0."""
    sums = [abs(sum(signs)) for signs in itertools.product((1, -1), repeat=n)]
    return float(np.mean([s >= n for s in sums]))


@pytest.mark.parametrize("best", [1, 2, 3, 5])
def test_by_default_as_many_fresh_seeds_as_the_corrected_test_needs_and_no_more(best):
    """Holm's first step multiplies the smallest p by the number of points."""
    seeds = Options(best=best).fresh_seeds
    assert best * smallest_by_enumeration(seeds) < 0.05 < best * smallest_by_enumeration(seeds - 1)
    assert reach(seeds, best) == best * smallest_by_enumeration(seeds)
    assert Options(best=best, seeds=3).fresh_seeds == 3
    assert Options(best=best, seeds=0).fresh_seeds == 0
    assert Options(best=best, preset="demo").fresh_seeds == seeds


def test_one_line_says_whether_a_verdict_is_possible():
    assert verdict_text(6, 1, bounds=False) == (
        "a significant difference is possible: the smallest p of the test on 6 fresh seeds is 0.031"
    )
    assert verdict_text(5, 1, bounds=False) == (
        "no significant difference is possible: the smallest p of the test on 5 fresh seeds is 0.062; "
        "give --seeds 6"
    )
    assert "is 0.047 after Holm over 3 comparisons" in verdict_text(7, 3, bounds=False)
    assert (
        verdict_text(1, 1, bounds=False)
        == "no significant difference is possible: 1 fresh seed allows no test; give --seeds 6"
    )
    assert reach(1, 1) is None
    assert "no comparison" in verdict_text(0, 1, bounds=False)


def test_no_number_of_seeds_is_said_to_decide_between_two_bounds():
    for seeds in (5, 6, 100):
        line = verdict_text(seeds, 1, bounds=True)
        assert line.startswith("no number of seeds gives a verdict on the models: ")
        reached = verdict_text(seeds, 1, bounds=False).removesuffix("; give --seeds 6")
        more = "; --seeds 6 would allow one, and still give no verdict on the models"
        assert line.endswith(f"Between the bounds {reached}{more if seeds < 6 else ''}")
        assert "give --seeds" not in line
    assert verdict_text(0, 1, bounds=True) == verdict_text(0, 1, bounds=False)


@pytest.mark.parametrize(
    ("rules", "trials", "epochs"),
    [
        (Rules(trials=8, at_once=4), 8, 8 * 12),
        # Four trials of two epochs, two more of two, one more of eight; twice.
        (Rules(trials=8, at_once=4, rungs=(2, 4), keep=2), 8, 2 * (4 * 2 + 2 * 2 + 8)),
        # A round of four and one of three, of which two and one continue.
        (Rules(trials=7, at_once=4, rungs=(2,), keep=2), 7, 4 * 2 + 2 * 10 + 3 * 2 + 2 * 10),
    ],
)
def test_the_epochs_that_rungs_let_trials_train(rules, trials, epochs):
    assert trained_share(rules, trials, 12) == pytest.approx(epochs / (trials * 12))


def test_hours_are_products_and_unknown_times_have_none():
    assert Work("trials", 6, 1800.0, 0.25).hours == 6 * 0.5 * 0.25
    assert Work("trials", 6, None).hours is None
    assert Work("trials", 0, None).hours == 0.0
