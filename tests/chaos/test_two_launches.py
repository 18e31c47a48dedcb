"""Launches at the same time: of one study, they repeat no run; of several, none hurts another."""

import contextlib
import os
import signal
from pathlib import Path

import pytest

from .short_grid import ARGUMENTS
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


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_launches_that_begin_and_end_beside_others_in_one_scratch_folder_hurt_none(
    tmp_path, scratch, undisturbed_table, undisturbed_storage
):
    """Two begin together; the shorter ends while a third begins; and the longer goes on beside both."""
    studies = {name: tmp_path / name for name in ("short", "long", "third")}
    short = Launch(studies["short"], scratch, grid=ARGUMENTS)
    with closing(short):
        wait_until(lambda: bool(list(scratch.glob("*/owner"))), short)
        long = Launch(studies["long"], scratch, "--max-concurrent", "1")
        with closing(long):
            wait_until(lambda: len(Runs(studies["short"]).done()) == len(undisturbed_table), short)
            third = Launch(studies["third"], scratch, grid=ARGUMENTS)
            with closing(third):
                assert short.wait(400) == 0, short.output
                assert long.process.poll() is None, "it is there while the third begins"
                wait_until(lambda: "Ray is ready" in third.output, third)
                assert long.process.poll() is None, "it is there while the third works"
                assert [third.wait(400), long.wait(400)] == [0, 0], [third.output, long.output]
                outputs = [launch.output for launch in (short, long, third)]
    assert not [output for output in outputs if "Traceback" in output or "error: " in output]
    expected = Runs(undisturbed_storage).table()
    tables = {name: Runs(place).table() for name, place in studies.items()}
    assert tables == {"short": expected, "long": undisturbed_table, "third": expected}
    for place in studies.values():
        runs = Runs(place)
        assert {name: len(runs.attempts(name)) for name in runs.names()} == dict.fromkeys(runs.names(), 1)
    assert list(scratch.iterdir()) == []
    assert processes_writing_below(scratch) == []


def send_signal(processes: list[int], number: signal.Signals) -> None:
    for pid in processes:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
