"""A sweep's driver is killed, or stopped by Ctrl-C, and started again, with real signals."""

import os
import re
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from .small_run import SEED
from .sweep_command import (
    STEPS,
    Launch,
    Runs,
    closing,
    modification_times,
    processes_writing_below,
    wait_until,
)

STOPS_WITHIN = 30.0
"""Seconds, as the project promises."""


def wait_for_work(launch: Launch, runs: Runs, done: int) -> None:
    """Wait until this many runs are done and another one has trained for several epochs."""

    def has_work_to_lose() -> bool:
        finished = runs.done()
        return len(finished) >= done and any(runs.rows(name) >= 3 for name in runs.claims())

    wait_until(has_work_to_lose, launch)


def assert_nothing_is_left(scratch: Path) -> None:
    """Check that the launch left no process of Ray and no file."""
    assert processes_writing_below(scratch) == []
    assert list(scratch.iterdir()) == []


def assert_stopped_by(stop: Callable[[Launch], None], tmp_path, scratch, undisturbed_table) -> None:
    """Stop a launch, which saves every run, and let the same command end with the table of a quiet one."""
    # With these intervals only the stop makes a run save before its end.
    rarely = ["--checkpoint-epochs", "100000", "--checkpoint-minutes", "1000"]
    runs = Runs(tmp_path)
    first = Launch(tmp_path, scratch, *rarely)
    with closing(first):
        wait_for_work(first, runs, done=0)
        rows = {name: runs.rows(name) for name in runs.claims()}
        stop(first)
        assert first.wait(STOPS_WITHIN) == 130, first.output
        assert "interrupted; resume with:" in first.output
        assert "Traceback" not in first.output
        assert_nothing_is_left(scratch)
        assert runs.claims() == {}
        attempts = {name: len(runs.attempts(name)) for name in rows}
        second = Launch(tmp_path, scratch, *rarely)
        with closing(second):
            assert second.wait() == 0, second.output
    assert runs.table() == undisturbed_table
    for name in rows:
        if later := runs.attempts(name)[attempts[name] :]:
            assert later[0]["from_step"] >= rows[name] * STEPS


@pytest.mark.slow  # tests/integration/test_evaluate_run.py kills a driver
def test_after_a_killed_driver_the_same_command_resumes_and_cleans_up(tmp_path, scratch, undisturbed_table):
    runs = Runs(tmp_path)
    first = Launch(tmp_path, scratch)
    with closing(first):
        wait_for_work(first, runs, done=1)
        first.kill()
        finished = runs.done()
        before = modification_times(tmp_path / "s", finished)
        left = list(scratch.iterdir())
        assert left, "the killed driver left files to clean up"
        assert not any(folder.stat().st_mode & 0o077 for folder in left), (
            "the files are closed to other users"
        )
        assert processes_writing_below(scratch), "Ray runs for a minute after its driver's death"
        second = Launch(tmp_path, scratch)
        with closing(second):
            assert second.wait() == 0, second.output
            # An actor may have finished its run before it noticed that the driver had died.
            to_do = re.search(r"(\d) of 4 runs to do", second.output)
            assert to_do, second.output
            assert int(to_do[1]) <= 4 - len(finished)
    assert modification_times(tmp_path / "s", finished) == before, "no finished run is repeated"
    assert runs.table() == undisturbed_table
    assert_nothing_is_left(scratch)


@pytest.mark.slow  # tests/integration/test_sweep_run.py has a fast test of this
def test_ctrl_c_once_saves_everything_and_stops(tmp_path, scratch, undisturbed_table):
    assert_stopped_by(Launch.press_ctrl_c, tmp_path, scratch, undisturbed_table)


@pytest.mark.slow
def test_ctrl_c_twice_stops_at_once(tmp_path, scratch):
    runs = Runs(tmp_path)
    launch = Launch(tmp_path, scratch)
    with closing(launch):
        wait_for_work(launch, runs, done=0)
        launch.press_ctrl_c()
        wait_until(lambda: "stopping: every run saves" in launch.output, launch)
        launch.press_ctrl_c()
        assert launch.wait(STOPS_WITHIN) == 130, launch.output
        assert "stopped at once; run the same command again" in launch.output
        assert "Traceback" not in launch.output
        assert_nothing_is_left(scratch)


@pytest.mark.slow
def test_the_end_of_the_terminal_saves_everything_and_stops(tmp_path, scratch, undisturbed_table):
    def hang_up(launch: Launch) -> None:
        os.killpg(launch.process.pid, signal.SIGHUP)  # to every process of the group, as the kernel does

    assert_stopped_by(hang_up, tmp_path, scratch, undisturbed_table)


@pytest.mark.slow
def test_a_study_that_is_deleted_ends_the_launch_with_one_line(tmp_path, scratch):
    runs = Runs(tmp_path)
    launch = Launch(tmp_path, scratch)
    with closing(launch):
        wait_for_work(launch, runs, done=0)
        shutil.rmtree(tmp_path / "s", ignore_errors=True)
        shutil.rmtree(tmp_path / "s", ignore_errors=True)  # what was written meanwhile
        assert launch.wait(2 * STOPS_WITHIN) == 2, launch.output
        line = launch.output.splitlines()[-1]
        assert line.startswith(
            f"error: storage {tmp_path / 's'}: was deleted while its runs were under way"
        )
        assert "Traceback" not in launch.output
        assert_nothing_is_left(scratch)
        assert not (tmp_path / "s").exists()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_a_sweep_finishes_although_its_driver_is_killed_repeatedly(
    seed, tmp_path, scratch, undisturbed_table
):
    """Kill the driver at random moments, even while it imports its modules."""
    import random
    import time

    moment, runs, kills = random.Random(SEED + seed), Runs(tmp_path), 0
    while True:
        launch = Launch(tmp_path, scratch)
        with closing(launch):
            # Later and later, so that even a slow machine makes progress.
            time.sleep(moment.uniform(1.0, 20.0 + 2 * kills))
            if launch.process.poll() is None:
                launch.process.send_signal(signal.SIGKILL)
            if launch.wait() == 0:
                break
        kills += 1
        assert kills < 50, "it makes no progress"
    print("seed", SEED + seed, "kills", kills)
    assert runs.table() == undisturbed_table
    assert_nothing_is_left(scratch)
