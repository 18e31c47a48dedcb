from __future__ import annotations

from sweeps.trials.proposals import Trial
from sweeps.trials.rungs import promoted, select


def trial(number, *scores, state="open"):
    return Trial(number=number, values={}, state=state, scores=scores)


def test_at_a_rung_the_better_trials_at_the_same_epoch_continue():
    ahead = trial(0, 50.0, 40.0, 10.0)  # by then; at epoch 2 it is the worst but one
    short = trial(1, 30.0, state="done")  # its training ended before the rung
    others = [trial(2, 60.0, 20.0), trial(3, 70.0, 20.0), trial(4, 70.0, 41.0), trial(5)]
    chosen = promoted([ahead, short, *others], 2, 2)
    assert [t.number for t in chosen] == [2, 3, 1]  # ceil(5 / 2); equal scores keep their order
    assert [t.number for t in promoted([ahead], 2, 3)] == [0]
    assert promoted([trial(5)], 2, 3) == []


def test_a_rung_drops_the_others_with_their_scores_up_to_it():
    ended = trial(0, 9.0, state="done")
    trials = [ended, trial(1, 5.0, 4.0, 1.0), trial(2, 5.0, 3.0), trial(3, state="diverged")]
    assert select(trials, 2, 3) == [
        ended,
        trial(1, 5.0, 4.0, state="dropped"),
        trial(2, 5.0, 3.0),
        trial(3, state="diverged"),
    ]


def test_a_trial_that_is_open_at_the_end_has_failed():
    trials = [trial(0, 5.0, state="done"), trial(1, 4.0), trial(2, 3.0, state="dropped")]
    assert select(trials, None, 3) == [trials[0], trial(1, state="failed"), trials[2]]
