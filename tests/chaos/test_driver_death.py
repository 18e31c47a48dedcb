"""The command that drives a sweep is killed, or stopped by Ctrl-C, and started again: real signals."""

import re
import shutil
import signal
import tempfile
from pathlib import Path

import pytest

from .place import SEED
from .sweep_command import STEPS, Launch, Runs, closing, times_of, until, writers

pytestmark = pytest.mark.timeout(900)

STOPS_WITHIN = 30.0
"""Seconds, as promised."""


def at_work(launch: Launch, runs: Runs, done: int) -> None:
    """Wait until so many runs are done and others are under way with something to lose."""

    def holds() -> bool:
        finished = runs.done()
        return len(finished) >= done and any(runs.rows(name) >= 3 for name in runs.claims())

    until(holds, launch)


def assert_nothing_is_left(scratch: Path) -> None:
    """No process of its Ray, and no file of its own."""
    assert writers(scratch) == []
    assert list(scratch.iterdir()) == []


def test_killed_driver_the_same_command_goes_on_and_clears_up(tmp_path, scratch, undisturbed_table):
    runs = Runs(tmp_path)
    first = Launch(tmp_path, scratch)
    with closing(first):
        at_work(first, runs, done=1)
        first.kill()
        finished = runs.done()
        before = times_of(tmp_path / "s", finished)
        left = list(scratch.iterdir())
        assert left, "there is something to clear up"
        assert not any(folder.stat().st_mode & 0o077 for folder in left), "closed to other users"
        assert writers(scratch), "Ray outlives its driver by a minute"
        second = Launch(tmp_path, scratch)
        with closing(second):
            assert second.wait() == 0, second.output
            # An actor may have come to its run's end before it noticed that the driver was gone.
            told = re.search(r"(\d) of 4 runs to do", second.output)
            assert told, second.output
            assert int(told[1]) <= 4 - len(finished)
    assert times_of(tmp_path / "s", finished) == before, "nothing finished is run again"
    assert runs.table() == undisturbed_table
    assert_nothing_is_left(scratch)


@pytest.mark.slow  # tests/integration/test_sweep_run.py has a fast one
def test_ctrl_c_once_saves_everything_and_stops(tmp_path, scratch, undisturbed_table):
    # Nothing is saved but at the end: what is there afterwards, Ctrl-C has saved.
    rarely = ["--checkpoint-epochs", "100000", "--checkpoint-minutes", "1000"]
    runs = Runs(tmp_path)
    first = Launch(tmp_path, scratch, *rarely)
    with closing(first):
        at_work(first, runs, done=0)
        rows = {name: runs.rows(name) for name in runs.claims()}
        first.press_ctrl_c()
        assert first.wait(STOPS_WITHIN) == 130, first.output
        assert "interrupted; this goes on from here" in first.output
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


def test_ctrl_c_twice_stops_at_once(tmp_path, scratch):
    runs = Runs(tmp_path)
    launch = Launch(tmp_path, scratch)
    with closing(launch):
        at_work(launch, runs, done=0)
        launch.press_ctrl_c()
        until(lambda: "stopping: every run saves" in launch.output, launch)
        launch.press_ctrl_c()
        assert launch.wait(STOPS_WITHIN) == 130, launch.output
        assert "stopped at once; run the same command again" in launch.output
        assert "Traceback" not in launch.output
        assert_nothing_is_left(scratch)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_killed_drivers_again_and_again(seed, tmp_path, undisturbed_table):
    """At random moments, from the import of its first module on."""
    import random
    import time

    moment, runs, kills = random.Random(SEED + seed), Runs(tmp_path), 0
    scratch = Path(tempfile.mkdtemp(prefix="c-", dir="/tmp"))
    while True:
        launch = Launch(tmp_path, scratch)
        with closing(launch):
            # Later and later, so that a machine that starts slowly gets on.
            time.sleep(moment.uniform(1.0, 20.0 + 2 * kills))
            if launch.process.poll() is None:
                launch.process.send_signal(signal.SIGKILL)
            if launch.wait() == 0:
                break
        kills += 1
        assert kills < 50, "it does not get on"
    print("seed", SEED + seed, "kills", kills)
    assert runs.table() == undisturbed_table
    assert_nothing_is_left(scratch)
    shutil.rmtree(scratch)
