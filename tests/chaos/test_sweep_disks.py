"""A disk fails during a sweep: the sweep waits or reports it in a line, and the same command resumes."""

import errno
import io
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sweeps.launching.trouble.full_storage import GIVE_UP_SECONDS

from .faults import Disk
from .short_grid import ARGUMENTS
from .sweep_command import Launch, Runs, closing, wait_until

RETRY_SECONDS = 60
"""Seconds for which a sweep retries its storage."""

OUTAGE = 8
"""Seconds in which a run writes at least one file, even on a busy machine."""


@pytest.fixture
def disk(tmp_path) -> Iterator[Disk]:
    """A disk with room for the study; a launch checks for room before it starts."""
    disk = Disk(tmp_path, "256m")
    yield disk
    disk.close()


def start(disk: Disk, scratch: Path, *arguments: str, **options: object) -> Launch:
    return Launch(disk.folder / "runs", scratch, *arguments, grid=ARGUMENTS, **options)  # type: ignore[arg-type]


def wait_for_rows(disk: Disk, launch: Launch, rows: int = 2) -> None:
    """Wait until an unfinished run has this many rows of metrics."""
    runs = Runs(disk.folder / "runs")
    wait_until(lambda: any(runs.rows(n) >= rows for n in set(runs.names()) - set(runs.done())), launch)


def fill(disk: Disk) -> Path:
    """Fill the disk to its last page and return the file that fills it."""
    ballast = disk.folder / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (2**20, 4096):
            with pytest.raises(OSError, match="No space left on device"):
                write_forever(file, bytes(size))
    return ballast


def write_forever(file: io.FileIO, data: bytes) -> None:
    while True:
        file.write(data)


def lines_with(launch: Launch, words: str) -> list[str]:
    return [line for line in launch.output.splitlines() if words in line]


@pytest.mark.slow
@pytest.mark.parametrize("trouble", ["full", "unmounted"])
def test_a_sweep_waits_for_a_disk_that_is_full_or_unmounted(disk, scratch, undisturbed_storage, trouble):
    with closing(launch := start(disk, scratch)):
        wait_for_rows(disk, launch)
        # A run reports a storage failure with its next report, which comes when the storage is back.
        if trouble == "full":
            ballast = fill(disk)
            time.sleep(OUTAGE)
            ballast.unlink()
        else:
            disk.pull()
            time.sleep(OUTAGE)
            disk.plug()
        assert launch.wait() == 0, launch.output
        words = {"full": "No space left on device", "unmounted": "runs/s is gone"}[trouble]
        assert lines_with(launch, f"{words}; trying again for up to {RETRY_SECONDS} s"), launch.output
        assert "Traceback" not in launch.output
    assert Runs(disk.folder / "runs").table() == Runs(undisturbed_storage).table()


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_sweep_on_a_disk_that_stays_full_ends_in_minutes_and_the_same_command_resumes(
    disk, scratch, undisturbed_storage
):
    with closing(launch := start(disk, scratch)):
        wait_for_rows(disk, launch)
        ballast = fill(disk)
        began = time.monotonic()
        wait_until(lambda: lines_with(launch, "is full; free some space on its disk"), launch)
        assert launch.wait(GIVE_UP_SECONDS + 120) == 2, launch.output
        assert time.monotonic() - began >= GIVE_UP_SECONDS
        (line,) = lines_with(launch, "error: ")
        assert "was full for 5 min" in line
        assert "resume from the last checkpoints with: python" in line
        assert "Traceback" not in launch.output
    ballast.unlink()
    with closing(launch := start(disk, scratch)):
        assert launch.wait() == 0, launch.output
    assert Runs(disk.folder / "runs").table() == Runs(undisturbed_storage).table()


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_sweep_under_a_quota_that_stays_used_up_ends_in_minutes_and_the_same_command_resumes(
    disk, scratch, undisturbed_storage, eio, tmp_path
):
    used_up = tmp_path / "used-up"
    runs = disk.folder / "runs"
    runs.mkdir()
    refusing = eio(runs, only_while=used_up, number=errno.EDQUOT)
    with closing(launch := start(disk, scratch, environment=refusing)):
        wait_for_rows(disk, launch)
        used_up.touch()
        wait_until(lambda: lines_with(launch, "has no space left for this user"), launch)
        assert launch.wait(2 * GIVE_UP_SECONDS) == 2, launch.output
        (line,) = lines_with(launch, "error: ")
        assert "raise the quota, then resume from the last checkpoints with: python" in line
        assert "Traceback" not in launch.output
    used_up.unlink()
    with closing(launch := start(disk, scratch)):
        assert launch.wait() == 0, launch.output
    assert Runs(runs).table() == Runs(undisturbed_storage).table()


@pytest.mark.slow
def test_a_read_only_disk_fails_each_run_with_one_line_and_the_next_launch_resumes(
    disk, scratch, undisturbed_storage
):
    runs = Runs(disk.folder / "runs")
    with closing(launch := start(disk, scratch)):
        wait_for_rows(disk, launch)
        disk.lock()
        done = runs.done()
        assert launch.wait() == 1, launch.output
        failed = lines_with(launch, "failed, infrastructure: OSError: [Errno 30] Read-only file system")
        assert len(failed) == 4 - len(done), launch.output
        assert "Traceback" not in launch.output
    disk.unlock()
    assert runs.done() == done
    with closing(launch := start(disk, scratch)):
        assert launch.wait() == 0, launch.output
        assert f"{4 - len(done)} of 4 runs to do" in launch.output
    assert runs.table() == Runs(undisturbed_storage).table()


@pytest.mark.slow
@pytest.mark.parametrize("calls", ["write", "fsync", "read"])
def test_a_sweep_waits_for_a_disk_with_errors_for_a_while(
    disk, scratch, undisturbed_storage, eio, tmp_path, calls
):
    switch = tmp_path / "switch"
    environment = eio(disk.folder / "runs", calls, only_while=switch)
    with closing(launch := start(disk, scratch, environment=environment)):
        wait_for_rows(disk, launch)
        switch.touch()
        time.sleep(OUTAGE)
        switch.unlink()
        assert launch.wait() == 0, launch.output
        if calls != "read":  # a run that is training reads little
            assert lines_with(launch, f"Input/output error; trying again for up to {RETRY_SECONDS} s")
        assert "Traceback" not in launch.output
    assert Runs(disk.folder / "runs").table() == Runs(undisturbed_storage).table()


@pytest.mark.slow
def test_a_long_outage_loses_neither_a_finished_run_nor_a_checkpoint(disk, scratch, undisturbed_storage):
    runs = Runs(disk.folder / "runs")
    with closing(launch := start(disk, scratch)):
        wait_for_rows(disk, launch)
        done = runs.done()
        disk.pull()
        wait_until(
            lambda: len(lines_with(launch, "its storage failed: ")) >= 2, launch, seconds=3 * RETRY_SECONDS
        )
        disk.plug()
        assert launch.wait(400) == 0, launch.output
        assert "Traceback" not in launch.output
    assert set(done) <= set(runs.done())
    assert runs.table() == Runs(undisturbed_storage).table()


@pytest.mark.slow
def test_a_launch_killed_during_an_outage_is_resumed_by_the_next(disk, scratch, undisturbed_storage):
    runs = Runs(disk.folder / "runs")
    with closing(launch := start(disk, scratch)):
        wait_for_rows(disk, launch)
        disk.pull()
        time.sleep(OUTAGE)
        launch.kill()
        disk.plug()
        done = runs.done()
        with closing(again := start(disk, scratch)):
            assert again.wait() == 0, again.output
            assert f"{4 - len(done)} of 4 runs to do" in again.output
    assert runs.table() == Runs(undisturbed_storage).table()
