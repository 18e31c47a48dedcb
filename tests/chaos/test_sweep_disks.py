"""A disk that fails while a sweep runs: it waits or says so in a line, and the same command goes on."""

import io
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from .faults import Disk
from .short_grid import ARGUMENTS
from .sweep_command import Launch, Runs, closing, until

PATIENCE = 60
"""Seconds for which a sweep waits for its storage."""

OUTAGE = 8
"""Seconds within which a run writes something, on a busy machine as well."""


@pytest.fixture
def disk(tmp_path) -> Iterator[Disk]:
    """A disk with room for the study: a launch asks for some before it starts."""
    disk = Disk(tmp_path, "256m")
    yield disk
    disk.close()


def start(disk: Disk, scratch: Path, *arguments: str, **options: object) -> Launch:
    return Launch(disk.folder / "runs", scratch, *arguments, grid=ARGUMENTS, **options)  # type: ignore[arg-type]


def under_way(disk: Disk, launch: Launch, rows: int = 2) -> None:
    """Wait until some run has come so far and is not done."""
    runs = Runs(disk.folder / "runs")
    until(lambda: any(runs.rows(n) >= rows for n in set(runs.names()) - set(runs.done())), launch)


def fill(disk: Disk) -> Path:
    """Leave not a page free; the file that does."""
    ballast = disk.folder / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (2**20, 4096):
            with pytest.raises(OSError, match="No space left on device"):
                write_on(file, bytes(size))
    return ballast


def write_on(file: io.FileIO, data: bytes) -> None:
    while True:
        file.write(data)


def lines(launch: Launch, words: str) -> list[str]:
    return [line for line in launch.output.splitlines() if words in line]


@pytest.mark.slow
@pytest.mark.parametrize("trouble", ["full", "pulled out"])
def test_a_sweep_waits_for_a_disk_that_is_full_or_pulled_out(disk, scratch, undisturbed_storage, trouble):
    with closing(launch := start(disk, scratch)):
        under_way(disk, launch)
        # What a run meets is told with its next report, which comes when the store is back.
        if trouble == "full":
            ballast = fill(disk)
            time.sleep(OUTAGE)
            ballast.unlink()
        else:
            disk.pull()
            time.sleep(OUTAGE)
            disk.plug()
        assert launch.wait() == 0, launch.output
        words = {"full": "No space left on device", "pulled out": "runs/s is gone"}[trouble]
        assert lines(launch, f"{words}; trying again for up to {PATIENCE} s"), launch.output
        assert "Traceback" not in launch.output
    assert Runs(disk.folder / "runs").table() == Runs(undisturbed_storage).table()


@pytest.mark.slow
def test_a_disk_that_turns_read_only_fails_runs_in_a_line_each_and_the_command_goes_on(
    disk, scratch, undisturbed_storage
):
    runs = Runs(disk.folder / "runs")
    with closing(launch := start(disk, scratch)):
        under_way(disk, launch)
        disk.lock()
        done = runs.done()
        assert launch.wait() == 1, launch.output
        failed = lines(launch, "failed, infrastructure: OSError: [Errno 30] Read-only file system")
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
def test_a_disk_with_errors_for_a_while_is_waited_for(
    disk, scratch, undisturbed_storage, eio, tmp_path, calls
):
    switch = tmp_path / "switch"
    environment = eio(disk.folder / "runs", calls, only_while=switch)
    with closing(launch := start(disk, scratch, environment=environment)):
        under_way(disk, launch)
        switch.touch()
        time.sleep(OUTAGE)
        switch.unlink()
        assert launch.wait() == 0, launch.output
        if calls != "read":  # of a run that goes on little is read
            assert lines(launch, f"Input/output error; trying again for up to {PATIENCE} s")
        assert "Traceback" not in launch.output
    assert Runs(disk.folder / "runs").table() == Runs(undisturbed_storage).table()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_an_outage_longer_than_patience_costs_no_finished_run_and_none_its_state(
    disk, scratch, undisturbed_storage
):
    runs = Runs(disk.folder / "runs")
    with closing(launch := start(disk, scratch)):
        under_way(disk, launch)
        done = runs.done()
        disk.pull()
        until(lambda: len(lines(launch, "its storage failed: ")) >= 2, launch, seconds=3 * PATIENCE)
        disk.plug()
        assert launch.wait(400) == 0, launch.output
        assert "Traceback" not in launch.output
    assert set(done) <= set(runs.done())
    assert runs.table() == Runs(undisturbed_storage).table()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_launch_that_ends_while_the_disk_is_away_is_gone_on_with(disk, scratch, undisturbed_storage):
    runs = Runs(disk.folder / "runs")
    with closing(launch := start(disk, scratch)):
        under_way(disk, launch)
        disk.pull()
        time.sleep(OUTAGE)
        launch.kill()
        disk.plug()
        done = runs.done()
        with closing(again := start(disk, scratch)):
            assert again.wait() == 0, again.output
            assert f"{4 - len(done)} of 4 runs to do" in again.output
    assert runs.table() == Runs(undisturbed_storage).table()
