"""A storage that is full: said at once, waited for some minutes, and then the end of the launch."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from lvae_core.errors import InputError
from sweeps.launching.full_storage import GIVE_UP_SECONDS, FullStorage

LEAST = 10**7


class Disk:
    """A disk on a simulated clock that only the test moves."""

    def __init__(self, url: str = "/data/runs/s") -> None:
        self.seconds, self.free, self.lines = 0.0, 10**9, []
        self.watch = FullStorage(url, LEAST, self.lines.append, lambda: self.seconds, self.free_in)

    def free_in(self, folder: Path) -> int:
        return self.free

    def wait(self, seconds: float) -> None:
        end = self.seconds + seconds
        while self.seconds < end:
            self.watch.check()
            self.seconds += 1.0


def test_a_full_storage_is_said_once_and_at_once_and_so_is_its_end() -> None:
    disk = Disk()
    disk.wait(10)
    assert disk.lines == []
    disk.free = 0
    disk.wait(6)
    assert disk.lines == [
        "storage /data/runs/s: is full; free some space on its disk, and the runs continue; the sweep ends "
        "if it is still full in 5 min"
    ]
    disk.wait(GIVE_UP_SECONDS - 20)
    disk.free = 10**9
    disk.wait(6)
    assert disk.lines[1:] == ["storage /data/runs/s: has space again; the runs continue"]
    disk.free = 0
    disk.wait(GIVE_UP_SECONDS - 20)  # counted anew
    assert len(disk.lines) == 3


def test_a_storage_that_stays_full_ends_the_launch_with_the_command_that_resumes(monkeypatch) -> None:
    monkeypatch.setattr(sys, "argv", ["sweeps/paper_grid.py", "--study", "my s"])
    disk = Disk()
    disk.free = 0
    with pytest.raises(InputError) as caught:
        disk.wait(2 * GIVE_UP_SECONDS)
    assert disk.seconds <= GIVE_UP_SECONDS + 6
    assert str(caught.value) == (
        "storage /data/runs/s: was full for 5 min; free some space on its disk, then resume from the last "
        "checkpoints with: python sweeps/paper_grid.py --study 'my s'"
    )


def test_too_little_space_for_a_checkpoint_counts_only_after_a_write_has_failed() -> None:
    disk = Disk()
    disk.free = LEAST - 1
    disk.wait(2 * GIVE_UP_SECONDS)
    assert disk.lines == []
    disk.watch.add_failure()
    with pytest.raises(InputError):
        disk.wait(2 * GIVE_UP_SECONDS)
    again = Disk()
    again.watch.add_failure()
    again.wait(6)  # there is space by now
    again.free = LEAST - 1
    again.wait(2 * GIVE_UP_SECONDS)
    assert again.lines == []


def test_an_object_store_and_a_disk_in_other_trouble_are_not_watched() -> None:
    for disk in (Disk("s3://bucket/s"), Disk()):
        disk.free = 0
        if disk.watch._root:

            def broken(folder: Path) -> int:
                raise OSError("stale file handle")

            disk.watch._free = broken
        disk.wait(2 * GIVE_UP_SECONDS)
        assert disk.lines == []
