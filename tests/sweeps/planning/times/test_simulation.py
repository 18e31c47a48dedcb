"""Simulated launches against schedules drawn by hand."""

from __future__ import annotations

import dataclasses

import pytest

from lvae_core.data.corpus import load
from lvae_core.model.counts import operations
from lvae_core.parents import parent_of
from lvae_core.run_folder.study import Study
from lvae_core.systems import recipe
from sweeps.paper_grid import main
from sweeps.planning.plan import Plan, PlannedRun
from sweeps.planning.resources import Resources
from sweeps.planning.times.durations import Speed, format_duration
from sweeps.planning.times.list_scheduling import ScheduledRun
from sweeps.planning.times.simulation import SimulatedLaunch, simulated_launch
from sweeps.planning.workload import Workload

from .test_cost import row

TOY = load("toy")
SECONDS = {"P": 13.0, "Q": 8.0, "c": 21.0, "d": 5.0, "long": 30.0}
"""Seconds of the kinds of runs in these tests; a run is called by its kind and a number."""


def workload_of(waits_for: dict[str, str], resources: Resources | None = None, **epochs: int) -> Workload:
    """Runs with the times of ``SECONDS``, a tenth of which is the evaluation.

    Args:
        waits_for: name of a run -> the run that it waits for, or "".
        resources: of each run.
        epochs: name -> finished epochs of 30.
    """
    speed, runs = Speed(), []
    for seed, (name, parent) in enumerate(waits_for.items()):
        kind = name.rstrip("0123456789")
        sizes = {"seed": seed, "hidden_size": 1 + list(SECONDS).index(kind), "max_epochs": 30}
        run = PlannedRun(
            config=dataclasses.replace(recipe("lstm-lm", dataset="toy"), **sizes),
            name=name,
            status="left",
            waits_for=parent,
            epochs=epochs.get(name, 0),
        )
        speed.add_probe(run.variant, 0.9 * SECONDS[kind], 0.1 * SECONDS[kind])
        runs.append(run)
    return Workload(
        plan=Plan(runs, speed), corpora={}, study=Study("unread"), resources=resources or Resources()
    )


def simulated(workload: Workload) -> SimulatedLaunch:
    launch = simulated_launch(workload)
    assert launch is not None
    return launch


def seconds_of(launch: SimulatedLaunch) -> list[list[float]]:
    return [[pytest.approx(work.seconds) for work in wave] for wave in launch.waves]


FAMILIES = {"c0": "P0", "c1": "P1", "P0": "", "P1": ""}


def test_children_start_when_all_runs_that_need_not_wait_have_ended():
    launch = simulated(workload_of(FAMILIES))
    assert seconds_of(launch) == [[13.0, 13.0], [21.0, 21.0]]
    assert launch.on(8) == pytest.approx((13 + 21, 13 + 21, 2 * (13 + 21)))
    assert launch.on(1) == pytest.approx((68, 68, 68))
    # The children also wait for a run that is no parent.
    with_another = simulated(workload_of({**FAMILIES, "long": ""}))
    assert with_another.on(8) == pytest.approx((30 + 21, 30 + 21, 13 + 13 + 30 + 2 * 21))


def test_parents_start_before_longer_runs():
    """As in a launch. With one long run, the other order would end sooner: 30 | 13 8."""
    launch = simulated(workload_of({"long": "", "d": "Q", "c": "P", "Q": "", "P": ""}))
    assert seconds_of(launch) == [[13.0, 8.0, 30.0], [21.0, 5.0]]
    # The long run starts when the shorter parent ends.
    assert launch.on(2) == pytest.approx((8 + 30 + 21, 30 + 21, 13 + 38 + 21 + 5))


def test_a_child_of_a_child_waits_for_both():
    launch = simulated(workload_of({"d": "c", "c": "P", "P": ""}))
    assert seconds_of(launch) == [[13.0], [21.0], [5.0]]


def test_a_child_whose_parent_the_launch_does_not_start_waits_for_nothing():
    assert seconds_of(simulated(workload_of({"c": "P", "d": ""}))) == [[21.0, 5.0]]


def test_the_limit_on_runs_at_once_holds_on_any_number_of_devices():
    launch = simulated(workload_of(FAMILIES, Resources(max_concurrent=1)))
    assert launch.on(8) == launch.on(1) == pytest.approx((68, 68, 68))
    shares = simulated(workload_of(FAMILIES, Resources(gpus=0.25, max_concurrent=1)))
    assert shares.on(1) == pytest.approx((68, 68, 68))
    of_evaluations = SimulatedLaunch([[ScheduledRun(3600.0)]], at_once=4, divides=True)
    assert of_evaluations.on(8) == (900.0, 900.0, 3600.0)  # not six parts of 600 s in two rounds


def test_a_run_takes_what_an_earlier_launch_has_left_of_it():
    """c0 has its last two epochs of training to do, and its evaluation; it starts after the fresh runs."""
    launch = simulated(workload_of({"c0": "", "c1": "", "d": ""}, c0=28))
    assert seconds_of(launch) == [[21.0, 5.0, 21 * (0.9 * 2 / 30 + 0.1)]]


def test_devices_that_one_run_does_not_fit_on_are_too_few():
    launch = simulated(workload_of({"c": "", "d": ""}, Resources(cpus=4)))
    assert launch.on(3) is None
    assert launch.on(4) == pytest.approx((26, 26, 4 * 26))


def test_without_a_time_of_every_run_there_is_no_simulation():
    workload = workload_of({"c": "", "d": ""})
    speed = Speed()
    speed.add_probe(workload.runs[0].variant, 1.0, 1.0)
    assert simulated_launch(dataclasses.replace(workload, plan=Plan(workload.runs, speed))) is None


@pytest.mark.usefixtures("elsewhere")
def test_a_dry_run_of_families_counts_both_waves_and_the_limit(monkeypatch, capsys):
    rate = 1e7
    monkeypatch.setattr("sweeps.planning.times.calibration.measure_rate", lambda *shape: rate)
    child = recipe("lstm-vae-ae-fb", dataset="toy")
    parent = parent_of(child)
    assert parent is not None
    first, then = operations(parent, TOY) / rate, operations(child, TOY) / rate
    words = "--datasets toy --systems lstm-vae-ae-fb --settings standard --seeds 2 --dry-run --devices 1 8"
    for more, wall in (("", first + then), ("--max-concurrent 1", 2 * (first + then))):
        assert main([*words.split(), *more.split()]) == 0
        printed = capsys.readouterr().out.partition("longest runs first")[2].replace("│", " ")
        assert row(printed, "1") == [*format_duration(2 * (first + then)).split()] * 2
        assert row(printed, "8") == [*format_duration(wall).split()] * 2
