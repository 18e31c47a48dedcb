"""Which evaluations a launch divides, and into how many parts."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import pytest

from lvae_core.data.corpus import load
from lvae_core.run_folder.evaluations import progress_file
from lvae_core.run_folder.study import Study
from sweeps.planning.evaluation_parts import PART_SECONDS, divided, evaluation_parts
from sweeps.planning.times.list_scheduling import ScheduledRun
from sweeps.planning.times.simulation import simulated_launch
from sweeps.planning.workload import Workload

from .test_evaluations import MORE, plan_of, study

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


def test_a_dry_run_counts_with_parts_only_if_nothing_is_trained(study):
    launch = simulated_launch(workload_of(study, HOUR))
    assert launch is not None
    makespans = [found.makespan for devices in (1, 2, 4, 100) if (found := launch.on(devices))]
    assert makespans == [2 * HOUR, HOUR, HOUR / 2, HOUR / 6]
    with_training = workload_of(study, HOUR, dataclasses.replace(MORE, seeds=3))
    to_train = [run for run in with_training.runs if not run.evaluation]
    for run in to_train:
        with_training.plan.speed.add_probe(run.variant, 50.0, 50.0)
    launch = simulated_launch(with_training)
    assert launch is not None
    assert launch.on(100) == (HOUR, HOUR, 2 * HOUR + 100.0 * len(to_train))


def test_there_are_no_more_parts_than_runs_at_once():
    # One on each of four devices, of which each has 0.4 to spare; not 6 in two rounds.
    assert divided([ScheduledRun(6000.0, 0.6)], 4) == [ScheduledRun(1500.0, 0.6)] * 4
    assert divided([ScheduledRun(6000.0, 0.6)], 4, at_once=3) == [ScheduledRun(2000.0, 0.6)] * 3
    assert divided([ScheduledRun(6000.0, 0.6)], 4, at_once=99) == [ScheduledRun(1500.0, 0.6)] * 4
