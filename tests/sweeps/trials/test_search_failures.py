"""Failed, diverging and refused trials, and their retries."""

from __future__ import annotations

import io
import os
from dataclasses import replace

import pytest
from rich.console import Console

from lvae_core.errors import InputError
from lvae_core.run_folder.search_record import FILE
from sweeps.launching.progress.display import Display
from sweeps.trials.proposals import propose
from sweeps.trials.report import print_outcome
from sweeps.trials.rules import Rules
from sweeps.trials.tables import csv_text

from .searches import ASHA, HALVING, Launcher, continue_search, finished, search


def test_a_failed_trial_stops_no_other_and_is_not_the_best(tmp_path):
    whole = finished(tmp_path / "whole")
    names = [whole.runs.name(trial.values) for trial in whole.known]
    best = min(whole.known[:4], key=lambda trial: trial.scores[-1])
    found = search(tmp_path / "found")
    launcher, completed = continue_search(found, refuse={names[best.number]})
    assert completed
    assert len(launcher.did) == 8
    assert found.known[best.number].state == "failed"
    assert found.known[best.number].values == best.values
    assert best.values not in [trial.values for trial in found.best(8)]

    # Neither the next launch nor a retry proposes other points.
    for retry, times in ((False, 0), (True, 1)):
        again = search(tmp_path / "found", retry_failed=retry)
        launcher, _ = continue_search(again, refuse={names[best.number]} if not retry else set())
        assert launcher.did == [names[best.number]] * times
        assert [t.values for t in again.known] == [t.values for t in found.known]
    assert again.known[best.number] == best


def test_a_diverging_loss_is_a_finding_and_no_failure(tmp_path):
    fields = {"max_grad_norm": 0.0, "dropout": 0.0, "init_scale": 0.5}
    found = search(tmp_path, space=("learning_rate=0.1,1000000",), fields=fields)
    assert continue_search(found)[1]
    states = {trial.values["learning_rate"]: trial.state for trial in found.known}
    assert states == {0.1: "done", 1e6: "diverged"}
    assert [trial.state for trial in found.best(8)] == ["done"]


@pytest.mark.slow
def test_a_round_in_which_every_trial_fails_ends_the_search(tmp_path):
    found = search(tmp_path)
    names = [found.runs.name(values) for values in found._propose(0)]
    for times in (names, []):  # the next launch does not go beyond, either
        found = search(tmp_path)
        launcher, completed = continue_search(found, refuse=set(names))
        assert completed
        assert launcher.did == times
        assert found.best(1) == []
        assert len(found.known) == len(names)
    again = search(tmp_path, retry_failed=True)
    launcher, _ = continue_search(again)
    assert launcher.did[:4] == names
    assert len(launcher.did) == 8


@pytest.mark.parametrize("rule", ["rounds", "asha"])
@pytest.mark.parametrize("at_once", [1, 2])
def test_fewer_than_three_failures_in_a_row_end_no_search(rule, at_once, tmp_path):
    rules = Rules(trials=6, at_once=at_once, sampler="random")
    rules = replace(rules, rule="asha", rungs=(1,), keep=3) if rule == "asha" else rules
    found = search(tmp_path / "two", rules)
    continue_search(found, refuse={"trial 2", "trial 3", "trial 5"})
    assert [trial.state == "failed" for trial in found.known] == [n in (2, 3, 5) for n in range(6)]
    assert found.best(1) != []
    # Three are enough; with two at once, that shows when the second of these has ended.
    found = search(tmp_path / "three", rules)
    continue_search(found, refuse={"trial 1", "trial 2", "trial 3"})
    assert [trial.state == "failed" for trial in found.known] == [False, True, True, True]


@pytest.mark.parametrize("at_once", [1, 2])
def test_rounds_that_diverge_do_not_end_the_search(at_once, tmp_path):
    fields = {"max_grad_norm": 0.0, "dropout": 0.0, "init_scale": 0.5, "learning_rate": 1e6}
    rules = Rules(trials=6, at_once=at_once)
    found = finished(tmp_path, rules, space=("learning_rate=0.05..1e7:log",), fields=fields)
    assert found.known[0].state == "diverged"
    assert len(found.known) == 6
    assert {"done", "diverged"} == {trial.state for trial in found.known}


@pytest.mark.slow
def test_a_failure_after_a_rung_does_not_change_its_selection(tmp_path):
    rules = replace(HALVING, trials=4, rungs=(1,))
    whole = finished(tmp_path / "whole", rules)
    promoted = [trial for trial in whole.known if trial.state == "done"]
    assert len(promoted) == 2
    dropped = [trial for trial in whole.known if trial.state == "dropped"]

    found = search(tmp_path / "found", rules)
    names = [found.runs.name(trial.values) for trial in whole.known]
    fails = found.runs.name(promoted[0].values)

    class FailsLater(Launcher):
        def _do(self, run, display, pause_after):
            self.refuse = {fails} if pause_after is None else set()
            super()._do(run, display, pause_after)

    launcher = FailsLater(found.study)
    with open(os.devnull, "w") as nowhere:
        assert found.run(lambda: launcher, Display(found.board, Console(file=nowhere)))
    states = {found.runs.name(trial.values): trial.state for trial in found.known}
    assert states[fails] == "failed"
    assert [states[found.runs.name(trial.values)] for trial in dropped] == ["dropped", "dropped"]

    # The next launch starts nothing else; a retry resumes the failed trial from where it was.
    again = search(tmp_path / "found", rules)
    launcher, _ = continue_search(again)
    assert launcher.did == []
    assert again.known == found.known
    retried = search(tmp_path / "found", rules, retry_failed=True)
    launcher, _ = continue_search(retried)
    assert launcher.did == [fails]
    assert retried.known == whole.known
    assert {path.name for path in (tmp_path / "found").iterdir()} == {*names, FILE}


def test_a_trial_that_failed_before_a_rung_is_compared_there_once_it_is_retried(tmp_path):
    rules = replace(HALVING, trials=4, rungs=(1,))
    whole = finished(tmp_path / "whole", rules)
    best = whole.best(1)[0]
    found = search(tmp_path / "found", rules)
    continue_search(found, refuse={found.runs.name(best.values)})
    assert found.known[best.number].state == "failed"
    retried = search(tmp_path / "found", rules, retry_failed=True)
    continue_search(retried)
    assert retried.known[best.number] == best
    assert retried.best(1) == [best]


def test_a_refused_launch_leaves_no_record(tmp_path):
    def refuse():
        raise InputError("no such Ray")

    found = search(tmp_path / "study")
    with open(os.devnull, "w") as nowhere, pytest.raises(InputError, match="no such Ray"):
        found.run(refuse, Display(found.board, Console(file=nowhere)))
    assert not (tmp_path / "study" / FILE).exists()


EXCLUDING = {
    "space": ("learning_rate=0.05..1", "lr_smallest=0.01..0.5"),
    "fields": {"lr_schedule": "after_plateau"},
}
"""lr_smallest may be at most learning_rate; each end of a range is valid with the recipe's other value."""


@pytest.mark.parametrize("rules", [replace(HALVING, rungs=(1,)), replace(ASHA, rungs=(1,))])
def test_points_whose_values_exclude_each_other_are_not_proposed(rules, tmp_path):
    found = finished(tmp_path, rules, **EXCLUDING)
    assert len(found.known) == 8
    assert all(t.values["lr_smallest"] <= t.values["learning_rate"] for t in found.known)
    # Without the check, there would be some.
    drawn = propose(
        found.space,
        [],
        8,
        sampler="random",
        seed=0,
        first=found.known[0].values,
        startup=8,
        directions=("minimize",),
        valid=lambda point: True,
        key=lambda point: frozenset(point.items()),
    )
    assert any(values["lr_smallest"] > values["learning_rate"] for values in drawn)
    again = search(tmp_path, rules, **EXCLUDING)
    launcher, _ = continue_search(again)
    assert launcher.did == []
    assert again.known == found.known


@pytest.mark.parametrize("rules", [replace(HALVING, rungs=(1,)), replace(ASHA, rungs=(1,))])
def test_recorded_points_that_give_no_config_count_as_failed(rules, tmp_path):
    """Earlier versions recorded such points, and no later command could read their searches."""
    impossible = {"learning_rate": 0.1, "lr_smallest": 0.4}
    search(tmp_path, rules, **EXCLUDING).history.add(
        [impossible, {"learning_rate": 0.5, "lr_smallest": 0.1}]
    )
    # Two rounds are on record; the second has nothing that can be trained.
    found = search(tmp_path, rules, **EXCLUDING)
    found.history.add([impossible | {"lr_smallest": 0.3}])
    found = finished(tmp_path, rules, retry_failed=True, **EXCLUDING)
    assert [trial.state for trial in found.known[:3]] == ["failed", "done", "failed"]
    assert len(found.known) >= 8
    assert sum(trial.state == "failed" for trial in found.known) == 2
    assert found.failed_runs() == []
    out = io.StringIO()
    assert not print_outcome(found, found.best(1), Console(file=out))
    assert (
        "trial 0, learning_rate=0.1 lr_smallest=0.4: cannot be trained (lr_smallest = 0.4" in out.getvalue()
    )
    assert csv_text(found).splitlines()[1].endswith(",0.1,0.4,")


def test_a_rung_compares_the_trials_of_a_round_that_have_not_diverged(tmp_path):
    fields = {"max_grad_norm": 0.0, "dropout": 0.0, "init_scale": 0.5, "learning_rate": 0.1}
    rules = replace(HALVING, trials=4, rungs=(1,))
    found = finished(tmp_path, rules, space=("learning_rate=0.1,0.2,1000000,2000000",), fields=fields)
    states = {trial.values["learning_rate"]: trial.state for trial in found.known}
    assert {states.pop(1e6), states.pop(2e6)} == {"diverged"}
    assert sorted(states.values()) == ["done", "dropped"]  # one in two of two, not of four
