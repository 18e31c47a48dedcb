"""Two launches of one study at the same time repeat no run, and one takes over from the other."""

import contextlib
import os
import signal
from pathlib import Path

import pytest

from .sweep_command import EPOCHS, Launch, Runs, closing, processes_writing_below, wait_until


@pytest.fixture(params=["folder", pytest.param("s3", marks=pytest.mark.slow)])
def storage(request, tmp_path) -> str:
    return str(tmp_path) if request.param == "folder" else request.getfixturevalue("s3").url


def start_two(storage: str, scratch: Path) -> tuple[Launch, Launch]:
    """Start two launches that do one run at a time, so that there is work for both."""
    (scratch / "a").mkdir()
    (scratch / "b").mkdir()
    one = ("--max-concurrent", "1")
    return Launch(storage, scratch / "a", *one), Launch(storage, scratch / "b", *one)


def runs_claimed_by(processes: list[int], runs: Runs) -> set[str]:
    return {name for name, pid in runs.claims().items() if pid in processes}


@pytest.mark.slow
def test_two_launches_finish_the_study_and_repeat_no_run(storage, scratch, undisturbed_table):
    runs = Runs(storage)
    both = start_two(storage, scratch)
    with closing(*both):
        assert [launch.wait() for launch in both] == [0, 0], [launch.output for launch in both]
        assert all("left to another launch" in launch.output for launch in both)
    assert runs.table() == undisturbed_table
    assert {name: len(runs.attempts(name)) for name in runs.names()} == dict.fromkeys(undisturbed_table, 1)


@pytest.mark.slow
def test_a_launch_takes_over_the_runs_of_one_that_dies_with_its_machine(
    storage, scratch, undisturbed_table
):
    runs = Runs(storage)
    first, second = start_two(storage, scratch)

    def both_have_begun() -> bool:
        held = [
            runs_claimed_by(processes_writing_below(launch.scratch), runs) for launch in (first, second)
        ]
        return all(held) and all(runs.rows(name) < EPOCHS // 2 for name in held[0])

    with closing(first, second):
        wait_until(both_have_begun, first)
        # Stop its processes, so that their claims cannot change while they are recorded.
        processes = [first.process.pid, *processes_writing_below(first.scratch)]
        send_signal(processes, signal.SIGSTOP)
        lost = {
            name: len(runs.attempts(name)) for name in runs_claimed_by(processes, runs) - set(runs.done())
        }
        assert lost
        send_signal(processes, signal.SIGKILL)
        assert second.wait() == 0, second.output
    assert runs.table() == undisturbed_table
    attempts = {name: len(runs.attempts(name)) for name in runs.names()}
    assert attempts == {name: lost.get(name, 0) + 1 for name in undisturbed_table}


def send_signal(processes: list[int], number: signal.Signals) -> None:
    for pid in processes:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
