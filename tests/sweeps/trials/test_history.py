"""The record of a search: one per study, and no harm if it is lost."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from lvae_core.errors import InputError
from lvae_core.identity import fingerprint
from lvae_core.run_folder.folder import Study
from lvae_core.run_folder.names import run_name
from lvae_core.training.runtime import Runtime
from lvae_core.training.trainer import execute
from sweeps.trials.history import FILE

from .searches import BASE, CORPUS, HALVING, RULES, SPACE, continue_search, finished, search


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


def test_a_study_of_other_runs_is_refused(tmp_path):
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
