"""Searches from start to end: trials, rungs, interruptions, and the board."""

from __future__ import annotations

import json
import os
from dataclasses import replace

import pytest
from rich.console import Console

from lvae_core.identity import _fingerprint_of_version_6, fingerprint
from lvae_core.run_folder.names import run_name
from lvae_core.run_folder.study import Study
from lvae_core.training.runtime import Runtime
from lvae_core.training.trainer import execute
from sweeps.launching.progress.display import Display
from sweeps.launching.session import demand_of
from sweeps.planning.resources import Resources
from sweeps.planning.times.variants import variant_of
from sweeps.trials.rules import Rules
from sweeps.trials.tables import rules_text

from .searches import (
    ASHA,
    BASE,
    CORPUS,
    HALVING,
    RULES,
    SHARED,
    Launcher,
    continue_search,
    finished,
    result,
    rows,
    same,
    search,
)


def test_every_trial_is_a_whole_run_and_the_lowest_perplexity_is_the_best(tmp_path):
    found = finished(tmp_path)
    assert [trial.number for trial in found.known] == list(range(8))
    assert {trial.state for trial in found.known} == {"done"}
    lowest = []
    for trial in found.known:
        config = result(tmp_path, found, trial)["config"]
        assert {key: config[key] for key in trial.values} == trial.values
        assert {k: v for k, v in config.items() if k not in trial.values} == {
            k: v for k, v in BASE.to_dict().items() if k not in trial.values
        }
        perplexities = [row["valid_ppl"] for row in rows(tmp_path, found, trial)]
        assert trial.scores == tuple(min(perplexities[: k + 1]) for k in range(4))
        lowest.append(min(perplexities))
    best = [trial.number for trial in found.best(3)]
    assert best == sorted(range(8), key=lambda number: lowest[number])[:3]


def test_the_plan_of_a_search_has_its_runs_so_far_and_their_times(tmp_path):
    assert search(tmp_path).plan.runs == []
    found = finished(tmp_path)
    assert len(found.plan.runs) == 8
    for plan in (found.plan, found.expected_workload(Resources()).plan):
        assert plan.speed.expected_seconds(variant_of(BASE)) is not None


@pytest.mark.slow
def test_pausing_at_a_rung_changes_no_result_of_the_trials_that_continue(tmp_path):
    found = finished(tmp_path / "halved", HALVING)
    whole = search(tmp_path / "whole", RULES)
    for first in (0, 4):
        trials = found.known[first : first + 4]
        at_one = {t.number: rows(tmp_path / "halved", found, t)[0]["valid_ppl"] for t in trials}
        two = sorted(at_one, key=lambda number: at_one[number])[:2]
        epochs = {t.number: len(rows(tmp_path / "halved", found, t)) for t in trials}
        assert {number for number, count in epochs.items() if count == 1} == set(at_one) - set(two)
        at_two = {
            t.number: min(row["valid_ppl"] for row in rows(tmp_path / "halved", found, t)[:2])
            for t in trials
            if t.number in two
        }
        (winner,) = (t for t in trials if t.number == min(at_two, key=lambda number: at_two[number]))
        assert epochs[winner.number] == 4
        (second,) = set(two) - {winner.number}
        assert epochs[second] == 2
        states = {t.number: t.state for t in trials}
        assert states == {n: "done" if n == winner.number else "dropped" for n in at_one}
        # The same run without a pause.
        config = whole.runs.config(winner.values)
        name = run_name(config, fingerprint(config, CORPUS.data_sha256))
        for _ in execute(config, CORPUS, Study(str(tmp_path / "whole")).run(name), Runtime()):
            pass
        assert same(
            result(tmp_path / "halved", found, winner),
            json.loads((tmp_path / "whole" / name / "result.json").read_text()),
        )


@pytest.mark.parametrize("rules", [RULES, pytest.param(HALVING, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "stop_after", [3, *(pytest.param(k, marks=pytest.mark.slow) for k in (0, 1, 4, 6, 9))]
)
def test_an_interrupted_search_continues_to_the_same_result(rules, stop_after, tmp_path):
    expected = finished(tmp_path / "expected", rules)
    found = search(tmp_path / "found", rules)
    launcher, completed = continue_search(found, stop_after=stop_after)
    assert completed == (len(launcher.did) < stop_after)
    again = search(tmp_path / "found", rules)
    continue_search(again)
    assert again.known == expected.known
    names = {path.name for path in (tmp_path / "found").iterdir()}
    assert names == {path.name for path in (tmp_path / "expected").iterdir()}


@pytest.mark.slow
def test_a_finished_search_starts_nothing_and_a_longer_one_only_what_is_missing(tmp_path):
    first = finished(tmp_path, replace(RULES, trials=6))
    launcher, _ = continue_search(search(tmp_path, replace(RULES, trials=6)))
    assert launcher.did == []
    longer = search(tmp_path, replace(RULES, trials=8))
    launcher, _ = continue_search(longer)
    assert len(launcher.did) == 2
    assert longer.known[:6] == first.known
    # A round is never shortened: with rungs, the rest of it would select others.
    shorter = search(tmp_path, replace(RULES, trials=5))
    launcher, _ = continue_search(shorter)
    assert launcher.did == []
    assert shorter.known == first.known


@pytest.mark.slow  # test_proposals.py tests one round of proposals
@pytest.mark.parametrize("rules", [RULES, HALVING])
def test_no_point_is_tried_twice_and_a_small_space_ends_the_search(rules, tmp_path):
    found = finished(tmp_path, rules, space=("hidden_size=4..6", "linear_bias=true,false"))
    points = [tuple(trial.values.items()) for trial in found.known]
    assert len(points) == len(set(points)) == 6  # all there are
    again = search(tmp_path, rules, space=("hidden_size=4..6", "linear_bias=true,false"))
    launcher, _ = continue_search(again)
    assert launcher.did == []
    assert again.known == found.known


def test_finished_rounds_can_be_read_without_continuing(tmp_path):
    continue_search(search(tmp_path), stop_after=6)
    found = search(tmp_path)
    found.read_finished_rounds()
    assert [trial.number for trial in found.known] == [0, 1, 2, 3]
    nothing = search(tmp_path / "none")
    nothing.read_finished_rounds()
    assert nothing.known == []
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("rules", [Rules(trials=8, at_once=8), replace(ASHA, at_once=8, rungs=(3,))])
def test_a_search_that_continues_needs_room_and_counts_for_what_has_not_begun(rules, tmp_path):
    """A disk that the search itself has filled is large enough for the rest of it."""

    def state(**options) -> tuple[int, str]:
        found = search(tmp_path, rules, **options)
        found.read_finished_rounds()
        demand = demand_of(found.expected_workload(Resources()))
        return demand.storage, rules_text(found)

    whole, text = state()
    assert "8 trials (none ended yet)" in text
    continue_search(search(tmp_path, rules), stop_after=6)  # the seventh has begun
    ended = "7 open" if rules.rungs else "6 done, 1 open"
    for retry in (False, True):
        storage, text = state(retry_failed=retry)
        assert storage == whole / 8
        assert f"8 trials ({ended})" in text
    continue_search(search(tmp_path, rules), stop_after=1)
    assert state()[0] == 0


def test_a_retried_trial_needs_no_room_for_the_rounds_after_it(tmp_path):
    whole = finished(tmp_path / "whole")
    found = search(tmp_path / "found")
    continue_search(found, refuse={whole.runs.name(whole.known[1].values)})
    again = search(tmp_path / "found", retry_failed=True)
    again.read_finished_rounds()
    assert again.known == []
    assert demand_of(again.expected_workload(Resources())).storage == 0
    assert "8 trials (7 done, 1 failed)" in rules_text(again)


@pytest.mark.parametrize("rules", [HALVING, ASHA])
def test_trials_in_folders_of_an_earlier_version_are_continued(rules, tmp_path):
    """The first trial is the recipe's, whose folder another fingerprint names."""
    key = _fingerprint_of_version_6(BASE, CORPUS.data_sha256)
    folder = run_name(BASE, key)
    Study(str(tmp_path)).run(folder).write_config(BASE, key)
    continue_search(search(tmp_path, rules), stop_after=2)
    found = finished(tmp_path, rules)
    assert found.runs.name(found.known[0].values) == folder
    assert len(found.known) == 8
    assert found.best(1) != []


@pytest.mark.parametrize("rules", [RULES, ASHA])
def test_points_that_share_a_run_are_one_trial(rules, tmp_path):
    found = finished(tmp_path, rules, space=SHARED)
    assert len(found.known) >= 4
    assert len({found.runs.name(trial.values) for trial in found.known}) == len(found.known)
    assert sum(trial.values["lr_schedule"] == "every" for trial in found.known) == 1


@pytest.mark.parametrize("rules", [RULES, replace(HALVING, rungs=(1,))])
def test_recorded_points_that_share_a_run_are_trained_once(rules, tmp_path):
    """Earlier versions proposed such points."""
    every = [{"lr_schedule": "every", "patience": patience} for patience in (1, 2, 3)]
    first = search(tmp_path, replace(rules, trials=3), space=SHARED)
    first.history.add(every)
    launcher, completed = continue_search(first)
    assert completed
    assert len(launcher.did) == (2 if rules.rungs else 1)  # once to the rung, once to the end
    assert [trial.values for trial in first.known] == every
    assert len({trial.scores[0] for trial in first.known}) == 1
    assert [trial.number for trial in first.best(3)] == [0]


@pytest.mark.parametrize(
    ("rules", "launches"), [(replace(RULES, trials=10), [[4, 2], [2], []]), (HALVING, [None] * 6)]
)
def test_the_board_knows_the_rounds_to_come_unless_they_depend_on_results(rules, launches, tmp_path):
    found, seen = search(tmp_path, rules), []

    class Watching(Launcher):
        def __call__(self, runs, display, pause_after=None):
            seen.append(display.board.later_launches)
            return super().__call__(runs, display, pause_after)

    launcher = Watching(found.study)
    with open(os.devnull, "w") as nowhere:
        found.run(lambda: launcher, Display(found.board, Console(file=nowhere)))
    assert seen == launches


def test_the_board_counts_finished_trials_and_those_that_will_follow(tmp_path):
    found = search(tmp_path, HALVING)
    seen = []

    class Watching(Launcher):
        def __call__(self, runs, display, pause_after=None):
            board = display.board
            counts = board.done, board.failed, board.paused, board.dropped
            seen.append((*counts, len(board.waiting), len(board.later)))
            assert (board.hide_test_scores, board.more) == (True, True)
            assert {board.label(run.name) for run in runs} <= {f"trial {k}" for k in range(8)}
            return super().__call__(runs, display, pause_after)

    launcher = Watching(found.study)
    with open(os.devnull, "w") as nowhere:
        found.run(lambda: launcher, Display(found.board, Console(file=nowhere)))
    assert seen == [
        *((0, 0, 0, 0, 4, 4), (0, 0, 0, 2, 2, 4), (0, 0, 0, 3, 1, 4)),
        *((1, 0, 0, 3, 4, 0), (1, 0, 0, 5, 2, 0), (1, 0, 0, 6, 1, 0)),
    ]
