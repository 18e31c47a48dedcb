"""The record of a search: one per study, and no harm if it is lost."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from lvae_core.errors import InputError
from lvae_core.identity import fingerprint
from lvae_core.run_folder.digests import seal, unseal
from lvae_core.run_folder.names import run_name
from lvae_core.run_folder.search_record import FILE
from lvae_core.run_folder.study import Study
from lvae_core.training.runtime import Runtime
from lvae_core.training.trainer import execute
from sweeps.trials.tables import recipe_notes, space_table

from .searches import BASE, CORPUS, HALVING, RULES, SPACE, continue_search, finished, search


def test_a_study_holds_one_search(tmp_path):
    finished(tmp_path, replace(RULES, trials=1))
    with pytest.raises(InputError, match=re.escape("--space hidden_size is 4..6 there and not set here")):
        search(tmp_path, space=SPACE[:1])
    with pytest.raises(InputError, match=re.escape("--sampler is tpe there and random here")):
        search(tmp_path, replace(RULES, sampler="random"))
    with pytest.raises(InputError, match=re.escape("dropout is 0.5 there and 0.25 here")):
        search(tmp_path, fields={"dropout": 0.25})
    with pytest.raises(InputError, match=re.escape("--rungs")):
        search(tmp_path, HALVING)


WIDER = ("learning_rate=0.01..3:log", "hidden_size=4..9")


def test_a_wider_space_continues_with_the_trials_of_the_narrower_one(tmp_path):
    narrow = finished(tmp_path, replace(RULES, trials=4))
    found = search(tmp_path, space=WIDER)
    launcher, _ = continue_search(found)
    assert len(launcher.did) == 4
    assert found.known[:4] == narrow.known
    wide = [trial.values for trial in found.known[4:]]
    assert all(0.01 <= v["learning_rate"] <= 3 and 4 <= v["hidden_size"] <= 9 for v in wide)
    assert wide != [trial.values for trial in finished(tmp_path / "narrow").known[4:]]
    # The record says which points were proposed from which space, and the next launch starts nothing.
    again = search(tmp_path, space=WIDER)
    assert again.history.spaces == [
        {"learning_rate": "0.05..2.0:log", "hidden_size": "4..6"},
        {"learning_rate": "0.01..3.0:log", "hidden_size": "4..9"},
    ]
    assert continue_search(again)[0].did == []
    assert again.known == found.known


@pytest.mark.slow  # the test above widens, test_search.py interrupts
@pytest.mark.parametrize("rules", [HALVING, RULES])
def test_widening_before_or_after_an_interruption_gives_the_same_result(rules, tmp_path):
    finished(tmp_path / "whole", replace(rules, trials=4))
    expected = finished(tmp_path / "whole", rules, space=WIDER)
    for stop_after in (2, 5):
        root = tmp_path / f"after-{stop_after}"
        continue_search(search(root, replace(rules, trials=4)), stop_after=stop_after)
        again = search(root, rules, space=WIDER)
        continue_search(again, stop_after=stop_after)
        last = search(root, rules, space=WIDER)
        continue_search(last)
        assert last.known == expected.known
        assert last.history.spaces == expected.history.spaces


@pytest.mark.slow
def test_a_choice_or_a_field_can_be_added(tmp_path):
    choices = ("learning_rate=0.1,1", "hidden_size=4,6")
    first = finished(tmp_path, replace(RULES, trials=3), space=choices)
    more = ("learning_rate=0.1,1,2", "hidden_size=4..6", "dropout=0.1..0.6", "linear_bias=true,false")
    found = search(tmp_path, space=more)
    launcher, _ = continue_search(found)
    assert len(launcher.did) == 5
    fixed = {"dropout": BASE.dropout, "linear_bias": BASE.linear_bias}
    assert [t.values for t in found.known[:3]] == [{**t.values, **fixed} for t in first.known]
    assert [t.scores for t in found.known[:3]] == [t.scores for t in first.known]
    assert len({t.values["dropout"] for t in found.known[3:]}) == 5
    with pytest.raises(InputError, match=re.escape("--space dropout is 0.1..0.6 there and not set here")):
        search(tmp_path, space=choices)


def test_a_narrower_space_is_refused_if_it_leaves_out_a_trial(tmp_path):
    found = finished(tmp_path, space=("learning_rate=0.05..2:log", "hidden_size=4,5,6"))
    largest = max(trial.values["learning_rate"] for trial in found.known)
    for space, field in (
        (("learning_rate=0.05..2:log", "hidden_size=4,5"), "hidden_size"),
        (("learning_rate=0.05..0.06:log", "hidden_size=4,5,6"), "learning_rate"),
    ):
        with pytest.raises(InputError) as refused:
            search(tmp_path, space=space)
        message = str(refused.value)
        assert re.search(rf"trial \d+ with {field}=.* lies outside of --space {field}=", message)
        assert "\n" not in message
    inside = search(tmp_path, space=(f"learning_rate=0.05..{largest}:log", "hidden_size=4,5,6"))
    assert continue_search(inside)[0].did == []


def test_the_table_of_the_space_says_where_earlier_trials_came_from(tmp_path):
    finished(tmp_path, replace(RULES, trials=4))
    found = search(tmp_path, space=WIDER)
    assert space_table(found).caption == "trials 0 to 3: learning_rate 0.05..2.0:log, hidden_size 4..6"
    assert space_table(search(tmp_path)).caption is None


def test_a_recipe_outside_the_space_is_said_plainly(tmp_path):
    found = search(tmp_path, space=("learning_rate=0.05..2:log", "hidden_size=6,8"))
    (line,) = recipe_notes(found)
    assert line == "the recipe's hidden_size=5 cannot be proposed, so no trial has the recipe's point"
    assert list(recipe_notes(search(tmp_path))) == []
    table = space_table(found)
    assert list(table.columns[2].cells) == ["0.05..2.0:log", "6,8"]


@pytest.mark.slow
def test_a_lost_or_damaged_record_changes_nothing(tmp_path):
    first = finished(tmp_path)
    for damage in (b"", b"{}", (tmp_path / FILE).read_bytes().replace(b"0.", b"1.", 1), None):
        if damage is None:
            (tmp_path / FILE).unlink()
        else:
            (tmp_path / FILE).write_bytes(damage)
        again = search(tmp_path)
        assert ("damaged" in again.history.damage) == (damage is not None)
        launcher, _ = continue_search(again)
        assert launcher.did == []
        assert again.known == first.known
        aside = sorted(path.name for path in tmp_path.glob(f"{FILE}.*"))
        if damage is not None:
            assert (tmp_path / aside[-1]).read_bytes() == damage
    assert aside == [f"{FILE}.damaged-{k}" for k in (1, 2, 3)]


@pytest.mark.parametrize("part", ["rounds", "spaces", "promotions"])
def test_a_record_whose_parts_differ_in_length_is_damaged(part, tmp_path):
    here = search(tmp_path)
    here.history.add(here._propose(0))
    record = unseal((tmp_path / FILE).read_bytes()) | {part: []}
    (tmp_path / FILE).write_bytes(seal(record))
    again = search(tmp_path)
    assert "damaged, its rounds, spaces and promotions differ in number; " in again.history.damage
    assert again.history.rounds == []


def test_the_record_has_the_searched_fields_of_the_config_that_the_search_starts_from(tmp_path):
    here = search(tmp_path, fields={"hidden_size": 6})
    here.history.add(here._propose(0))
    recorded = unseal((tmp_path / FILE).read_bytes())["recipe"]
    assert recorded == {"learning_rate": BASE.learning_rate, "hidden_size": 6}


def test_a_study_of_other_runs_such_as_a_grid_is_refused(tmp_path):
    name = run_name(BASE, fingerprint(BASE, CORPUS.data_sha256))
    for _ in execute(replace(BASE, dropout=0.25), CORPUS, Study(str(tmp_path)).run(name), Runtime()):
        pass
    with pytest.raises(InputError, match="holds runs that belong to no search"):
        search(tmp_path, space=("learning_rate=0.05..0.5:log",))


def test_two_launches_agree_on_the_proposals(tmp_path):
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
