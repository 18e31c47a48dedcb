"""Which evaluations a launch divides, and into how many parts."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import pytest

from lvae_core.data.corpus import load
from lvae_core.run_folder.evaluations import progress_file
from lvae_core.run_folder.folder import Study
from sweeps.planning.evaluation_parts import PART_SECONDS, evaluation_parts
from sweeps.planning.times.cost import VariantCost, devices_table
from sweeps.planning.workload import Workload

from .test_evaluations import MORE, plan_of, study
from .times.test_cost import NAME, row, text

__all__ = ["study"]  # the fixture of two trained runs that lack their estimates

HOUR = 3600.0
TOY = load("toy")


def workload_of(folder: Path, seconds: float | None, grid=MORE, eval_batch_size: int = 4) -> Workload:
    plan = plan_of(folder, grid)
    runs = [
        dataclasses.replace(run, config=dataclasses.replace(run.config, eval_batch_size=eval_batch_size))
        for run in plan.runs
        if run.status != "done"
    ]
    if seconds is not None:
        plan.speed.add_evaluation(runs[0].variant, seconds)
    return Workload(plan=plan, corpora={"toy": TOY}, study=Study(str(folder))).only(runs)


def counts(workload: Workload, slots: int) -> list[int]:
    """The number of parts of each run that is divided."""
    parts = evaluation_parts(workload, [run.name for run in workload.runs], slots)
    for part in parts:
        assert 1 <= part.number <= part.count
    assert len({part.name for part in parts}) == len(parts)
    divided = {part.run: part.count for part in parts}
    assert len(parts) == sum(divided.values())
    return list(divided.values())


@pytest.mark.parametrize(
    ("seconds", "slots", "parts"),
    [
        (HOUR, 8, [4, 4]),
        (HOUR, 9, [4, 4]),
        (HOUR, 100, [6, 6]),  # of ten minutes
        (HOUR, 3, []),
        (HOUR, 2, []),
        (1.9 * PART_SECONDS, 100, []),
        (None, 100, []),
    ],
)
def test_long_evaluations_share_the_devices_and_no_part_is_short(study, seconds, slots, parts):
    assert counts(workload_of(study, seconds), slots) == parts


def test_there_are_no_more_parts_than_batches(study):
    for size, most in ((len(TOY.test), 1), (math.ceil(len(TOY.test) / 3), 3)):
        workload = workload_of(study, 1e6, eval_batch_size=size)
        assert counts(workload, 100) == [most] * 2 * (most > 1)


def test_nothing_is_divided_while_there_is_a_run_to_train(study):
    more = dataclasses.replace(MORE, seeds=3)
    assert {run.status for run in plan_of(study, more).runs} == {"done", "evaluate", "left"}
    assert counts(workload_of(study, HOUR, more), 100) == []


def test_an_evaluation_that_has_begun_stays_as_it_is(study):
    first, second = workload_of(study, HOUR).runs
    for run, number, count in ((first, 1, 1), (second, 2, 3), (second, 3, 3), (second, 1, 5)):
        (study / run.name / progress_file(run.evaluation, number, count)).write_bytes(b"")
    workload = workload_of(study, HOUR)
    parts = evaluation_parts(workload, [first.name, second.name], 8)
    assert [(part.run, str(part)) for part in parts] == [(second.name, f"part {k}/3") for k in (1, 2, 3)]


def test_a_division_into_more_parts_than_batches_has_not_begun(study):
    workload = workload_of(study, HOUR, eval_batch_size=math.ceil(len(TOY.test) / 3))
    first = workload.runs[0]
    for number in (1, 2, 3):
        (study / first.name / progress_file(first.evaluation, number, 5)).write_bytes(b"")
    assert counts(workload, 100) == [3, 3]


def test_the_table_of_devices_counts_with_parts_only_if_nothing_is_trained():
    evaluations = [
        VariantCost(NAME, 2, HOUR, "evaluations", 1.0, again=True),
        VariantCost(NAME, 0, HOUR, "runs", 1.0),
    ]
    printed = text(devices_table(evaluations, (1, 2, 4, 100), None))
    assert [row(printed, devices)[:2] for devices in ("1", "2", "4", "100")] == [
        ["2", "h"],
        ["1", "h"],
        ["30", "min"],
        ["10", "min"],
    ]
    with_training = [*evaluations, VariantCost(NAME, 1, HOUR, "runs", 1.0)]
    assert row(text(devices_table(with_training, (100,), None)), "100")[:2] == ["1", "h"]
