"""What is left of a search, against counts and p-values by hand."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from sweeps.planning.loading import look_up
from sweeps.planning.times.durations import Speed
from sweeps.planning.times.variants import variant_of
from sweeps.trials.budget import RunsLeft, epochs_left, reach, runs_left, verdict_text
from sweeps.trials.options import Options
from sweeps.trials.progress import coming
from sweeps.trials.rules import Rules
from sweeps.trials.search import Search

from .searches import ASHA, CORPUS, HALVING, RULES, continue_search, finished, search


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
    assert epochs_left(rules, trials, 12) == epochs


def trials_left(found: Search, retries: int = 0) -> RunsLeft:
    """What is left of the trials, if a whole run takes 100 s."""
    found.read_finished_rounds()
    speed = Speed()
    speed.add(variant_of(found.base), 90.0, 10.0)
    fresh = look_up([], found.corpora, found.study)
    return runs_left(found, speed, fresh, 0, 1.0, retries=retries)[0]


def test_with_asha_the_trials_that_wait_at_a_rung_are_left(tmp_path):
    rules = replace(ASHA, trials=3)
    left = trials_left(search(tmp_path, rules))
    # At most three trials train one epoch, two another one, and one the last two.
    assert (left.runs, left.seconds) == (3, pytest.approx(100 * (3 + 2 + 2) / (3 * 4)))
    found = search(tmp_path, rules)
    continue_search(found, stop_after=3)  # all have reached the first rung, and none the second
    found = search(tmp_path, rules)
    left = trials_left(found)
    assert [len(trial.scores) for trial in found.known] == [1, 1, 1]
    assert (left.runs, left.seconds) == (3, pytest.approx(100 * (2 + 2) / (3 * 4)))
    assert coming(found) == 3
    finished(tmp_path, rules)
    ended = search(tmp_path, rules)
    assert trials_left(ended).runs == coming(ended) == 0


def test_finished_trials_of_a_round_under_way_are_not_left_but_may_be_among_the_best(tmp_path):
    continue_search(search(tmp_path), stop_after=6)
    found = search(tmp_path)
    left = trials_left(found)
    assert (left.runs, left.seconds) == (2, 100.0)
    assert (len(found.known), coming(found)) == (4, 4)


def test_a_failed_trial_of_a_round_under_way_is_left_if_it_is_retried(tmp_path):
    continue_search(search(tmp_path), stop_after=6, refuse={"trial 5"})
    found = search(tmp_path)
    assert trials_left(found).runs == 2
    assert [run.name for run in found.failed_runs()] == [found.runs.name(found.points()[5])]
    assert trials_left(search(tmp_path), retries=len(found.failed_runs())).runs == 3


def test_fewer_trials_than_before_leave_the_rest_of_their_last_round(tmp_path):
    continue_search(search(tmp_path), stop_after=6)
    assert trials_left(search(tmp_path, replace(RULES, trials=5))).runs == 2
    assert trials_left(search(tmp_path, replace(RULES, trials=4))).runs == 0


def test_a_run_that_its_steps_end_reaches_no_later_rung(tmp_path):
    """Six steps are an epoch, and a whole run has nine: at the second rung nothing is left to train."""
    assert CORPUS.train.num_batches(search(tmp_path).base) == 6
    rules = replace(HALVING, trials=4)
    left = trials_left(search(tmp_path, rules, fields={"max_steps": 9}))
    assert (left.runs, left.seconds) == (4, pytest.approx(100 * (4 * 1 + 2 * 0.5) / (4 * 1.5)))


def test_hours_are_products_and_unknown_times_have_none():
    assert RunsLeft("trials", 6, 1800.0, 0.25).hours == 6 * 0.5 * 0.25
    assert RunsLeft("trials", 6, None).hours is None
    assert RunsLeft("trials", 0, None).hours == 0.0
