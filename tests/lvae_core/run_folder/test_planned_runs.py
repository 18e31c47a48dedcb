"""The record of what an unfinished launch plans."""

import pytest

from lvae_core.run_folder.folder import DamagedError
from lvae_core.run_folder.planned_runs import (
    FILE,
    forget_planned_runs,
    read_planned_runs,
    write_planned_runs,
)
from lvae_core.run_folder.study import Study


def test_a_later_launch_replaces_the_record_and_the_end_of_its_runs_deletes_it(tmp_path):
    study = Study(str(tmp_path / "study"))
    assert read_planned_runs(study) == ()
    write_planned_runs(study, ["b", "a"])
    write_planned_runs(study, ["c", "b"])
    assert read_planned_runs(study) == ("b", "c")
    forget_planned_runs(study, {"a", "b", "c"}.__contains__)
    assert read_planned_runs(study) == ()
    forget_planned_runs(study, {"a", "b", "c"}.__contains__)


def test_of_two_launches_at_once_the_first_that_ends_keeps_what_the_other_plans(tmp_path):
    study = Study(str(tmp_path / "study"))
    write_planned_runs(study, ["a", "b"])
    write_planned_runs(study, ["b", "c"])
    forget_planned_runs(study, {"a", "b"}.__contains__)
    assert read_planned_runs(study) == ("b", "c")


def test_a_storage_that_fails_keeps_the_record(tmp_path):
    def unreadable(name: str) -> bool:
        raise OSError("the storage does not answer")

    study = Study(str(tmp_path / "study"))
    write_planned_runs(study, ["a"])
    forget_planned_runs(study, unreadable)
    assert read_planned_runs(study) == ("a",)


def test_a_damaged_record_is_left_for_a_report_to_name(tmp_path):
    study = Study(str(tmp_path / "study"))
    study.store.write(FILE, b"{}")
    forget_planned_runs(study, {"a"}.__contains__)
    assert study.store.read(FILE) == b"{}"


@pytest.mark.parametrize("content", [b"{}", b'{"runs": ["a"], "sha256": "0"}', b"\xff"])
def test_a_damaged_record_is_named(tmp_path, content):
    study = Study(str(tmp_path / "study"))
    study.store.write(FILE, content)
    with pytest.raises(DamagedError, match=r"planned-runs\.json: damaged, .*; the next launch replaces it"):
        read_planned_runs(study)
