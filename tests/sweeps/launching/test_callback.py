"""Messages for phases in which a user sees nothing happen."""

from types import SimpleNamespace

import pytest

from lvae_core.command import Interrupt
from sweeps.cluster.own_ray import OWN_RAY
from sweeps.cluster.replaced import environment
from sweeps.launching.callback import LaunchCallback
from sweeps.launching.progress.board import Board
from sweeps.planning.resources import Resources
from sweeps.planning.times.durations import Speed


class Said(list):
    """A display that collects its lines."""

    def __init__(self, board: Board) -> None:
        self.board = board

    def say(self, line: str) -> None:
        self.append(line)

    def refresh(self) -> None:
        pass


def callback(display: Said, resources: Resources | None = None) -> LaunchCallback:
    return LaunchCallback(
        display,
        Interrupt(),
        SimpleNamespace(look=lambda: None),
        {},
        set(),
        {"a": resources},
        SimpleNamespace(check=lambda: None),
        SimpleNamespace(check=lambda: None),
    )


@pytest.fixture
def now(monkeypatch) -> list[float]:
    """The time in seconds, which a test changes."""
    time = [100.0]
    monkeypatch.setattr("sweeps.launching.callback.time.monotonic", lambda: time[0])
    return time


@pytest.mark.parametrize(
    ("resources", "wanted"),
    [
        (Resources(cpus=1), "1 CPU"),
        (Resources(cpus=4, gpus=1), "4 CPUs and 1 GPU"),
        (Resources(cpus=2, gpus=0.25), "2 CPUs and 0.25 of a GPU"),
        (Resources(cpus=2, gpus=2), "2 CPUs and 2 GPUs"),
    ],
)
def test_a_launch_that_cannot_start_a_run_says_what_it_waits_for(resources, wanted, now):
    display = Said(Board(Speed(), done=0, failed=0, waiting={"a": "toy__lstm-vae__standard__L1"}))
    watch = callback(display, resources)
    watch.on_step_end(0, [])
    assert display == []
    now[0] += 61
    watch.on_step_end(0, [])
    assert display == [f"waiting for {wanted} free on one machine; see `ray status`"]


def test_a_launch_on_its_own_ray_says_that_processes_are_starting(now):
    display = Said(Board(Speed(), done=0, failed=0, waiting={"a": "toy__lstm-vae__standard__L1"}))
    with environment(OWN_RAY):
        watch = callback(display, Resources(cpus=1))
        for _ in range(2):
            now[0] += 61
            watch.on_step_end(0, [])
    assert display == [
        f"still starting processes after {waited}; each loads torch and the data"
        for waited in ("1 min 01 s", "2 min 02 s")
    ]


def test_while_runs_save_their_states_there_is_a_line_every_ten_seconds(now):
    board = Board(Speed(), done=0, failed=0, waiting={"a": "toy__lstm-vae__standard__L1"})
    display = Said(board)
    watch = callback(display)
    board.start("a")
    watch._interrupt.requested = True
    for _ in range(25):
        watch.on_step_end(0, [])
        now[0] += 1
    first, *others = display
    assert first.startswith("stopping: every run saves its state")
    assert others == ["stopping: 1 run still to save"] * 2
    board.report("a", {"phase": "stopped"})
    now[0] += 20
    watch.on_step_end(0, [])
    assert len([line for line in display if "stopping" in line]) == 3
