"""The record of a search: what is written is read, and records of earlier versions are."""

from __future__ import annotations

import pytest

from lvae_core.run_folder.digests import seal
from lvae_core.run_folder.folder import DamagedError
from lvae_core.run_folder.search_record import (
    FILE,
    RecordedSearch,
    read_recorded_search,
    write_recorded_search,
)
from lvae_core.run_folder.study import Study

SEARCH = {"--space dropout": "0.1..0.6", "--sampler": "tpe", "hidden_size": "5"}
ROUNDS = [[{"dropout": 0.1}, {"dropout": 0.25}], [{"dropout": 0.5}]]


@pytest.mark.parametrize("promotions", [[[], []], [[], [(1, 5)]]])
@pytest.mark.parametrize("recipe", [None, {"dropout": 0.5}])
def test_a_record_is_read_as_it_was_written(promotions, recipe, tmp_path):
    study = Study(str(tmp_path))
    assert read_recorded_search(study, "") is None
    spaces = [{"dropout": "0.1..0.6"}, {"dropout": "0.1..0.7"}]
    record = RecordedSearch(SEARCH, ROUNDS, spaces, promotions, recipe)
    write_recorded_search(study, record)
    assert read_recorded_search(study, "") == record


def test_the_rounds_of_an_earlier_version_have_the_space_of_the_search(tmp_path):
    (tmp_path / FILE).write_bytes(seal({"search": SEARCH, "rounds": ROUNDS}))
    record = read_recorded_search(Study(str(tmp_path)), "")
    assert record == RecordedSearch(SEARCH, ROUNDS, [{"dropout": "0.1..0.6"}] * 2, [[], []])


@pytest.mark.parametrize("values", [{}, {"search": SEARCH}, {"search": SEARCH, "rounds": [3]}])
def test_a_damaged_record_is_named_and_set_aside_under_a_free_name(values, tmp_path):
    study = Study(str(tmp_path))
    for number in (1, 2):
        (tmp_path / FILE).write_bytes(seal(values))
        with pytest.raises(DamagedError, match=r"/\.search\.json: damaged, .*; it is made again$"):
            read_recorded_search(study, "it is made again")
        study.set_aside(FILE)
        assert read_recorded_search(study, "") is None
        assert (tmp_path / f"{FILE}.damaged-{number}").read_bytes() == seal(values)
