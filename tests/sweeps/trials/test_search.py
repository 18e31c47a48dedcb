"""A whole search in this process: real runs, trained in milliseconds, with no Ray between."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from rich.console import Console

from lvae_core.errors import InputError
from lvae_core.identity import fingerprint
from lvae_core.run_folder.folder import Study
from lvae_core.run_folder.names import run_name
from lvae_core.training.failures import DivergedError, failure_of
from lvae_core.training.runtime import Runtime
from lvae_core.training.trainer import execute
from sweeps.launching.display import Display
from sweeps.planning.plan import PlannedRun
from sweeps.trials.history import FILE
from sweeps.trials.proposals import Trial
from sweeps.trials.rules import Rules
from sweeps.trials.search import Search
from sweeps.trials.space import parse_space

from ...lvae_core import tiny

CORPUS = tiny.corpus(train=24, valid=6)
BASE = tiny.config(
    num_samples=1, max_epochs=4, kl_anneal_epochs=2.0, batch_size=4, iw_samples=2, iw_exact_samples=0
)
SPACE = ("learning_rate=0.05..2:log", "hidden_size=4..6")
RULES = Rules(trials=8, at_once=4)
HALVING = Rules(trials=8, at_once=4, rungs=(1, 2), keep=2)


@dataclass
class Launcher:
    """Does runs one after the other; is interrupted after ``stop_after`` of them, half-way in the next."""

    study: Study
    stop_after: float = math.inf
    refuse: set[str] = field(default_factory=set)
    """Runs that fail."""
    did: list[str] = field(default_factory=list)

    def __call__(
        self, runs: Sequence[PlannedRun], display: Display, pause_after: Mapping[str, int] | None = None
    ) -> bool:
        for run in runs:
            display.board.start(run.name)
            if len(self.did) >= self.stop_after:
                attempt = execute(run.config, CORPUS, self.study.run(run.name), Runtime(progress_seconds=0))
                next(attempt)
                attempt.close()
                return False
            self.did.append(run.name)
            self._do(run, display, (pause_after or {}).get(run.name))
        return True

    def _do(self, run: PlannedRun, display: Display, pause_after: int | None) -> None:
        folder = self.study.run(run.name)
        try:
            if run.name in self.refuse:
                raise RuntimeError("refused")
            attempt = execute(run.config, CORPUS, folder, Runtime())
            for progress in attempt:
                if pause_after and progress.metrics and progress.epoch == pause_after:
                    attempt.close()
                    folder.clear_failure()
                    display.board.report(run.name, {"phase": "paused", "metrics": progress.metrics})
                    return
        except (DivergedError, RuntimeError) as error:
            failure = failure_of(error)
            folder.write_failure(*failure)
            found = {"class": failure.kind, "message": failure.message}
            display.board.report(run.name, {"phase": "failed", "failure": found})
            return
        result = folder.read_json("result.json") or {}
        display.board.report(run.name, {"phase": "done", **result})


def search(root: Path, rules: Rules = RULES, space: Sequence[str] = SPACE, **options) -> Search:
    base = replace(BASE, **options.pop("fields", {}))
    study = Study(str(root))
    return Search(base, parse_space(space, base), rules, {"toy": CORPUS}, study, **options)


def go_on(found: Search, **options) -> tuple[Launcher, bool]:
    launcher = Launcher(found.study, **options)
    with open(os.devnull, "w") as nowhere:
        display = Display(found.board, Console(file=nowhere))
        return launcher, found.run(lambda: launcher, display)


def finished(root: Path, rules: Rules = RULES, **options) -> Search:
    found = search(root, rules, **options)
    assert go_on(found)[1]
    return found


def rows(root: Path, found: Search, trial: Trial) -> list[dict]:
    file = root / found.name(trial.values) / "metrics.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()]


def result(root: Path, found: Search, trial: Trial) -> dict:
    return json.loads((root / found.name(trial.values) / "result.json").read_text())


def same(a: dict, b: dict) -> bool:
    changing = {"train_seconds", "evaluate_seconds", "sha256"}
    return {k: v for k, v in a.items() if k not in changing} == {
        k: v for k, v in b.items() if k not in changing
    }


def test_every_trial_is_a_whole_run_of_its_own_and_the_lowest_perplexity_is_the_best(tmp_path):
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


def test_at_a_rung_the_worse_stop_and_the_others_go_on_as_if_nothing_had_been(tmp_path):
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
        config = whole.config(winner.values)
        name = run_name(config, fingerprint(config, CORPUS.data_sha256))
        for _ in execute(config, CORPUS, Study(str(tmp_path / "whole")).run(name), Runtime()):
            pass
        assert same(
            result(tmp_path / "halved", found, winner),
            json.loads((tmp_path / "whole" / name / "result.json").read_text()),
        )


@pytest.mark.parametrize("rules", [RULES, HALVING])
@pytest.mark.parametrize("stop_after", [0, 1, 3, 4, 6, 9])
def test_a_search_that_is_interrupted_goes_on_to_the_same_end(rules, stop_after, tmp_path):
    expected = finished(tmp_path / "expected", rules)
    found = search(tmp_path / "found", rules)
    launcher, went_through = go_on(found, stop_after=stop_after)
    assert went_through == (len(launcher.did) < stop_after)
    again = search(tmp_path / "found", rules)
    go_on(again)
    assert again.known == expected.known
    names = {path.name for path in (tmp_path / "found").iterdir()}
    assert names == {path.name for path in (tmp_path / "expected").iterdir()}


def test_a_finished_search_starts_nothing_and_a_longer_one_what_is_missing(tmp_path):
    first = finished(tmp_path, replace(RULES, trials=6))
    launcher, _ = go_on(search(tmp_path, replace(RULES, trials=6)))
    assert launcher.did == []
    longer = search(tmp_path, replace(RULES, trials=8))
    launcher, _ = go_on(longer)
    assert len(launcher.did) == 2
    assert longer.known[:6] == first.known
    # A round is never cut: with rungs, the rest of it would choose anew.
    shorter = search(tmp_path, replace(RULES, trials=5))
    launcher, _ = go_on(shorter)
    assert launcher.did == []
    assert shorter.known == first.known


def test_a_study_holds_one_search(tmp_path):
    finished(tmp_path, replace(RULES, trials=1))
    with pytest.raises(
        InputError, match=re.escape("another search, --space hidden_size is 4..6 there and 4..7")
    ):
        search(tmp_path, space=(SPACE[0], "hidden_size=4..7"))
    with pytest.raises(InputError, match=re.escape("--space hidden_size is 4..6 there and not set here")):
        search(tmp_path, space=SPACE[:1])
    with pytest.raises(InputError, match=re.escape("--sampler is tpe there and random here")):
        search(tmp_path, replace(RULES, sampler="random"))
    with pytest.raises(InputError, match=re.escape("dropout is 0.5 there and 0.25 here")):
        search(tmp_path, fields={"dropout": 0.25})
    with pytest.raises(InputError, match=re.escape("--rungs")):
        search(tmp_path, HALVING)


def test_a_lost_or_damaged_ledger_costs_nothing(tmp_path):
    first = finished(tmp_path)
    for damage in (b"", b"{}", (tmp_path / FILE).read_bytes().replace(b"0.", b"1.", 1), None):
        if damage is None:
            (tmp_path / FILE).unlink()
        else:
            (tmp_path / FILE).write_bytes(damage)
        again = search(tmp_path)
        assert ("damaged" in again.history.damage) == (damage is not None)
        launcher, _ = go_on(again)
        assert launcher.did == []
        assert again.known == first.known
        aside = sorted(path.name for path in tmp_path.glob(f"{FILE}.*"))
        if damage is not None:
            assert (tmp_path / aside[-1]).read_bytes() == damage
    assert aside == [f"{FILE}.damaged-{k}" for k in (1, 2, 3)]


def test_a_trial_that_fails_stops_no_other_and_is_not_the_best(tmp_path):
    whole = finished(tmp_path / "whole")
    names = [whole.name(trial.values) for trial in whole.known]
    best = min(whole.known[:4], key=lambda trial: trial.scores[-1])
    found = search(tmp_path / "found")
    launcher, went_through = go_on(found, refuse={names[best.number]})
    assert went_through
    assert len(launcher.did) == 8
    assert found.known[best.number].state == "failed"
    assert found.known[best.number].values == best.values
    assert best.values not in [trial.values for trial in found.best(8)]

    # Neither the next launch nor one that takes it up proposes anything else than was proposed.
    for retry, times in ((False, 0), (True, 1)):
        again = search(tmp_path / "found", retry_failed=retry)
        launcher, _ = go_on(again, refuse={names[best.number]} if not retry else set())
        assert launcher.did == [names[best.number]] * times
        assert [t.values for t in again.known] == [t.values for t in found.known]
    assert again.known[best.number] == best


def test_a_loss_that_diverges_is_a_finding(tmp_path):
    fields = {"max_grad_norm": 0.0, "dropout": 0.0, "init_scale": 0.5}
    found = search(tmp_path, space=("learning_rate=0.1,1000000",), fields=fields)
    assert go_on(found)[1]
    states = {trial.values["learning_rate"]: trial.state for trial in found.known}
    assert states == {0.1: "done", 1e6: "diverged"}
    assert [trial.state for trial in found.best(8)] == ["done"]


@pytest.mark.parametrize("rules", [RULES, HALVING])
def test_no_point_is_tried_twice_and_a_small_space_comes_to_its_end(rules, tmp_path):
    found = finished(tmp_path, rules, space=("hidden_size=4..6", "linear_bias=true,false"))
    points = [tuple(trial.values.items()) for trial in found.known]
    assert len(points) == len(set(points)) == 6  # all there are
    again = search(tmp_path, rules, space=("hidden_size=4..6", "linear_bias=true,false"))
    launcher, _ = go_on(again)
    assert launcher.did == []
    assert again.known == found.known


def test_what_is_over_can_be_read_without_going_on(tmp_path):
    go_on(search(tmp_path), stop_after=6)
    found = search(tmp_path)
    found.read_finished_rounds()
    assert [trial.number for trial in found.known] == [0, 1, 2, 3]
    nothing = search(tmp_path / "none")
    nothing.read_finished_rounds()
    assert nothing.known == []
    assert not (tmp_path / "none").exists()


def test_runs_that_are_no_search_s_are_not_mixed_with_one(tmp_path):
    name = run_name(BASE, fingerprint(BASE, CORPUS.data_sha256))
    for _ in execute(replace(BASE, dropout=0.25), CORPUS, Study(str(tmp_path)).run(name), Runtime()):
        pass
    with pytest.raises(InputError, match="holds runs that belong to no search"):
        search(tmp_path, space=("learning_rate=0.05..0.5:log",))


def test_a_round_of_which_nothing_comes_ends_the_search(tmp_path):
    found = search(tmp_path)
    names = [found.name(values) for values in found._propose(0)]
    for times in (names, []):  # the next launch does not go beyond, either
        found = search(tmp_path)
        launcher, went_through = go_on(found, refuse=set(names))
        assert went_through
        assert launcher.did == times
        assert found.best(1) == []
        assert len(found.known) == len(names)
    again = search(tmp_path, retry_failed=True)
    launcher, _ = go_on(again)
    assert launcher.did[:4] == names
    assert len(launcher.did) == 8


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        (Rules(trials=0, at_once=1), "--trials 0: must be at least 1"),
        (Rules(trials=1, at_once=0), "--at-once 0: must be at least 1"),
        (Rules(trials=1, at_once=1, keep=1), "--keep 1: must be at least 2"),
        (Rules(trials=1, at_once=2, rungs=(0,)), "--rungs 0: must be at least 1"),
        (Rules(trials=1, at_once=2, rungs=(2, 1)), "--rungs 2 1: must rise"),
        (Rules(trials=1, at_once=2, rungs=(2, 2)), "--rungs 2 2: must rise"),
        (Rules(trials=1, at_once=2, rungs=(1, 4)), "below max_epochs = 4"),
        (Rules(trials=4, at_once=1, rungs=(1,)), "a round of one drops no trial"),
        (Rules(trials=10**20, at_once=1), "must be at most 1000000"),
    ],
)
def test_rules_that_cannot_be_used(rules, message):
    with pytest.raises(InputError) as caught:
        rules.check(4)
    assert message in str(caught.value)


@pytest.mark.parametrize("at_once", [1, 2])
def test_rounds_that_diverge_do_not_end_a_search(at_once, tmp_path):
    fields = {"max_grad_norm": 0.0, "dropout": 0.0, "init_scale": 0.5, "learning_rate": 1e6}
    rules = Rules(trials=6, at_once=at_once)
    found = finished(tmp_path, rules, space=("learning_rate=0.05..1e7:log",), fields=fields)
    assert found.known[0].state == "diverged"
    assert len(found.known) == 6
    assert {"done", "diverged"} == {trial.state for trial in found.known}


def test_what_happens_after_a_rung_does_not_change_what_it_chose(tmp_path):
    rules = replace(HALVING, trials=4, rungs=(1,))
    whole = finished(tmp_path / "whole", rules)
    promoted = [trial for trial in whole.known if trial.state == "done"]
    assert len(promoted) == 2
    dropped = [trial for trial in whole.known if trial.state == "dropped"]

    found = search(tmp_path / "found", rules)
    names = [found.name(trial.values) for trial in whole.known]
    fails = found.name(promoted[0].values)

    class FailsLater(Launcher):
        def _do(self, run, display, pause_after):
            self.refuse = {fails} if pause_after is None else set()
            super()._do(run, display, pause_after)

    launcher = FailsLater(found.study)
    with open(os.devnull, "w") as nowhere:
        assert found.run(lambda: launcher, Display(found.board, Console(file=nowhere)))
    states = {found.name(trial.values): trial.state for trial in found.known}
    assert states[fails] == "failed"
    assert [states[found.name(trial.values)] for trial in dropped] == ["dropped", "dropped"]

    # Nothing else is started afterwards, pause_after the failed one is taken up again: from where it was.
    again = search(tmp_path / "found", rules)
    launcher, _ = go_on(again)
    assert launcher.did == []
    assert again.known == found.known
    retried = search(tmp_path / "found", rules, retry_failed=True)
    launcher, _ = go_on(retried)
    assert launcher.did == [fails]
    assert retried.known == whole.known
    assert {path.name for path in (tmp_path / "found").iterdir()} == {*names, FILE}


def test_one_that_failed_before_a_rung_takes_part_in_it_when_taken_up_again(tmp_path):
    rules = replace(HALVING, trials=4, rungs=(1,))
    whole = finished(tmp_path / "whole", rules)
    best = whole.best(1)[0]
    found = search(tmp_path / "found", rules)
    go_on(found, refuse={found.name(best.values)})
    assert found.known[best.number].state == "failed"
    retried = search(tmp_path / "found", rules, retry_failed=True)
    go_on(retried)
    assert retried.known[best.number] == best
    assert retried.best(1) == [best]


def test_a_launch_that_is_refused_leaves_no_trace(tmp_path):
    def refuse():
        raise InputError("no such Ray")

    found = search(tmp_path / "study")
    with open(os.devnull, "w") as nowhere, pytest.raises(InputError, match="no such Ray"):
        found.run(refuse, Display(found.board, Console(file=nowhere)))
    assert not (tmp_path / "study" / FILE).exists()


def test_two_launches_agree_on_what_is_proposed(tmp_path):
    here, there = search(tmp_path), search(tmp_path, replace(RULES, at_once=2))
    points = here._propose(0)
    here.history.add(points)
    there.history.add(there._propose(0))
    assert there.history.rounds == here.history.rounds == [points]
    other = search(tmp_path / "new")
    elsewhere = search(tmp_path / "new", space=SPACE[:1])
    other.history.add(points)
    with pytest.raises(InputError, match="belongs to another search"):
        elsewhere.history.add(points)


def test_the_board_counts_what_is_behind_and_what_will_follow(tmp_path):
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
