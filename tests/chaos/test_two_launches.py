"""Two launches of one study at the same time: no run is done twice, and one takes over from the other."""

import contextlib
import os
import signal
from pathlib import Path

import pytest

from .sweep_command import EPOCHS, Launch, Runs, closing, until, writers

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(params=["folder", pytest.param("s3", marks=pytest.mark.slow)])
def storage(request, tmp_path) -> str:
    return str(tmp_path) if request.param == "folder" else request.getfixturevalue("s3").url


def start_two(storage: str, scratch: Path) -> tuple[Launch, Launch]:
    """Two launches that do one run at a time, so that there is enough for both."""
    (scratch / "a").mkdir()
    (scratch / "b").mkdir()
    one = ("--max-concurrent", "1")
    return Launch(storage, scratch / "a", *one), Launch(storage, scratch / "b", *one)


def held_by(processes: list[int], runs: Runs) -> set[str]:
    return {name for name, pid in runs.claims().items() if pid in processes}


@pytest.mark.slow
def test_both_end_with_the_whole_study_and_no_run_twice(storage, scratch, undisturbed_table):
    runs = Runs(storage)
    both = start_two(storage, scratch)
    with closing(*both):
        assert [launch.wait() for launch in both] == [0, 0], [launch.output for launch in both]
        assert all("left to another launch" in launch.output for launch in both)
    assert runs.table() == undisturbed_table
    assert {name: len(runs.attempts(name)) for name in runs.names()} == dict.fromkeys(undisturbed_table, 1)


def test_one_dies_with_its_machine_and_the_other_takes_over(storage, scratch, undisturbed_table):
    runs = Runs(storage)
    first, second = start_two(storage, scratch)

    def both_have_begun() -> bool:
        held = [held_by(writers(launch.scratch), runs) for launch in (first, second)]
        return all(held) and all(runs.rows(name) < EPOCHS // 2 for name in held[0])

    with closing(first, second):
        until(both_have_begun, first)
        # Its processes stand still while it is written down what they hold.
        processes = [first.process.pid, *writers(first.scratch)]
        signalled(processes, signal.SIGSTOP)
        lost = {name: len(runs.attempts(name)) for name in held_by(processes, runs) - set(runs.done())}
        assert lost
        signalled(processes, signal.SIGKILL)
        assert second.wait() == 0, second.output
    assert runs.table() == undisturbed_table
    attempts = {name: len(runs.attempts(name)) for name in runs.names()}
    assert attempts == {name: lost.get(name, 0) + 1 for name in undisturbed_table}


def signalled(processes: list[int], number: signal.Signals) -> None:
    for pid in processes:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
