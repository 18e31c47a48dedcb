"""Searches by asynchronous halving: its decisions against a replay by hand, interruptions, and failures."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest

from lvae_core.errors import InputError
from lvae_core.run_folder.search_record import FILE

from .searches import ASHA, HALVING, SHARED, continue_search, finished, rows, search


def best_so_far(perplexities: Sequence[float]) -> list[float]:
    return [min(perplexities[: k + 1]) for k in range(len(perplexities))]


def allowed(
    reached: Sequence[Mapping[int, float]],
    jobs_seen: Sequence[tuple[int, ...]],
    *,
    rounded_up: bool = False,
) -> list[tuple[int, ...]]:
    """The trials that may continue, one in two of those at a rung, from the highest rung down."""
    chosen = []
    for rung in (1, 0):
        ranked = [n for _, n in sorted((score, n) for n, score in reached[rung].items())]
        count = (len(ranked) + rounded_up) // 2
        chosen += [(n, rung + 1) for n in ranked[:count] if (n, rung + 1) not in jobs_seen]
    return chosen[: ASHA.at_once]


def test_each_step_promotes_the_best_of_all_trials_at_a_rung_before_it_starts_new_ones(tmp_path):
    """Replay the record by hand: one in two, rounded down while new trials come, and up at the end."""
    found = finished(tmp_path, ASHA)
    record = json.loads((tmp_path / FILE).read_text())
    scores = [best_so_far([row["valid_ppl"] for row in rows(tmp_path, found, t)]) for t in found.known]
    reached: list[dict[int, float]] = [{}, {}, {}]
    jobs_seen: list[tuple[int, ...]] = []
    started = 0
    for points, promotions in zip(record["rounds"], record["promotions"], strict=True):
        jobs = [tuple(job) for job in promotions]
        assert len(points) + len(jobs) <= ASHA.at_once

        assert jobs == (
            allowed(reached, jobs_seen) or ([] if points else allowed(reached, jobs_seen, rounded_up=True))
        )
        if len(jobs) < ASHA.at_once and started < 8 and allowed(reached, jobs_seen) == jobs:
            assert len(points) == min(ASHA.at_once - len(jobs), 8 - started)
        jobs_seen += jobs
        for number in range(started, started + len(points)):
            reached[0][number] = scores[number][0]
        for number, rung in jobs:
            reached[rung][number] = scores[number][1 if rung == 1 else -1]
        started += len(points)
    assert started == 8
    # One in two of the trials at each rung has continued, rounded up.
    assert [len(numbers) for numbers in reached] == [8, 4, 2]
    states = {t.number: t.state for t in found.known}
    assert states == {n: "done" if n in reached[2] else "dropped" for n in range(8)}
    assert [len(s) for s in scores] == [
        4 if n in reached[2] else 2 if n in reached[1] else 1 for n in range(8)
    ]


@pytest.mark.parametrize(
    "stop_after", [5, *(pytest.param(k, marks=pytest.mark.slow) for k in (0, 2, 9, 12))]
)
def test_an_interrupted_search_continues_to_the_same_result(stop_after, tmp_path):
    expected = finished(tmp_path / "expected", ASHA)
    continue_search(search(tmp_path / "found", ASHA), stop_after=stop_after)
    again = search(tmp_path / "found", ASHA)
    continue_search(again)
    assert again.known == expected.known
    assert (tmp_path / "found" / FILE).read_text() == (tmp_path / "expected" / FILE).read_text()
    launcher, _ = continue_search(search(tmp_path / "found", ASHA))
    assert launcher.did == []


def test_a_finished_search_is_read_without_starting_anything(tmp_path):
    first = finished(tmp_path, ASHA)
    found = search(tmp_path, ASHA)
    found.read_finished_rounds()
    assert found.known == first.known


@pytest.mark.slow
def test_a_longer_search_keeps_the_recorded_decisions(tmp_path):
    first = finished(tmp_path, replace(ASHA, trials=5))
    longer = finished(tmp_path, ASHA)
    assert [t.values for t in longer.known[:5]] == [t.values for t in first.known]
    assert longer.history.promotions[: len(first.history.promotions)] == first.history.promotions
    done = {t.number for t in first.known if t.state == "done"}
    assert done <= {t.number for t in longer.known if t.state == "done"}


@pytest.mark.slow
def test_a_failed_trial_is_passed_over_and_a_retry_changes_no_decision(tmp_path):
    whole = finished(tmp_path / "whole", ASHA)
    names = [whole.runs.name(trial.values) for trial in whole.known]
    lost = whole.history.rounds[0].index(whole.best(1)[0].values) if whole.best(1)[0].number < 3 else 0
    found = search(tmp_path / "found", ASHA)
    assert continue_search(found, refuse={names[lost]})[1]
    assert found.known[lost].state == "failed"
    assert any(trial.state == "done" for trial in found.known)
    again = search(tmp_path / "found", ASHA, retry_failed=True)
    continue_search(again)
    count = len(found.history.promotions)
    assert again.history.promotions[:count] == found.history.promotions
    assert again.history.rounds[:count] == found.history.rounds
    assert again.known[lost].state != "failed"


def test_a_step_in_which_every_trial_fails_ends_the_search(tmp_path):
    found = search(tmp_path, ASHA)
    names = {found.runs.name(values) for values in found._propose(0)}
    launcher, completed = continue_search(found, refuse=names)
    assert completed
    assert len(launcher.did) == 3
    assert [trial.state for trial in found.known] == ["failed"] * 3


def test_a_trial_that_fails_after_a_rung_gives_its_place_to_the_next_best(tmp_path):
    """The last job of three trials is the one of the best; one fails after the other."""
    rules = replace(ASHA, trials=3, keep=3, rungs=(1,))
    found = search(tmp_path / "0", rules)
    continue_search(found)
    ranked = sorted(found.known, key=lambda trial: (trial.scores[0], trial.number))
    for lost, states in ((1, ["failed", "done", "dropped"]), (2, ["failed", "failed", "done"])):
        found = search(tmp_path / str(lost), rules)
        continue_search(found, refuse_at_end={f"trial {trial.number}" for trial in ranked[:lost]})
        assert [found.known[trial.number].state for trial in ranked] == states
        again = search(tmp_path / str(lost), rules)
        again.read_finished_rounds()
        assert again.known == found.known


def test_the_end_of_the_space_is_the_end_of_the_search(tmp_path):
    """Four points are all there are. Of four trials at a rung two continue, rounded up, of two one."""
    rules, space = replace(ASHA, keep=3), ("hidden_size=4,5", "linear_bias=true,false")
    found = finished(tmp_path, rules, space=space)
    assert sorted(trial.state for trial in found.known) == ["done", "dropped", "dropped", "dropped"]
    assert sorted(len(trial.scores) for trial in found.known) == [1, 1, 2, 4]
    for run in (False, True):
        again = search(tmp_path, rules, space=space)
        if run:
            assert continue_search(again)[0].did == []
        else:
            again.read_finished_rounds()
        assert again.known == found.known
    # Points that a wider space adds continue the search.
    wider = finished(tmp_path, rules, space=("hidden_size=4,5,6", "linear_bias=true,false"))
    assert len(wider.known) == 6
    assert wider.history.rounds[: len(found.history.rounds)] == found.history.rounds


def test_recorded_trials_that_share_a_run_are_trained_and_count_among_the_best_once(tmp_path):
    """Earlier versions proposed such points."""
    every = [{"lr_schedule": "every", "patience": patience} for patience in range(1, 7)]
    first = search(tmp_path, ASHA, space=SHARED)
    first.history.add(every[:3])
    first.history.add(every[3:5], [(0, 1)])
    first.history.add([every[5]], [(0, 2), (1, 1)])  # the second is there already
    found = finished(tmp_path, replace(ASHA, trials=6), space=SHARED)
    assert len({found.runs.name(trial.values) for trial in found.known}) == 1
    assert [len(trial.scores) for trial in found.known] == [4, 4, 2, 1, 1, 1]
    assert [trial.state for trial in found.known] == ["done"] * 2 + ["dropped"] * 4
    assert [trial.number for trial in found.best(2)] == [0]


def test_a_search_keeps_its_rule(tmp_path):
    finished(tmp_path / "rounds", replace(HALVING, trials=4))
    with pytest.raises(InputError, match="--rule is not set there and asha here"):
        search(tmp_path / "rounds", replace(ASHA, trials=4))
    finished(tmp_path / "asha", replace(ASHA, trials=3))
    with pytest.raises(InputError, match="--rule is asha there and not set here"):
        search(tmp_path / "asha", HALVING)
