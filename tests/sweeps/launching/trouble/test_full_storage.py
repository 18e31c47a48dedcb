"""A storage that is full: said at once, waited for some minutes, and then the end of the launch."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from lvae_core.errors import InputError
from sweeps.launching.trouble.full_storage import GIVE_UP_SECONDS, FullStorage

LEAST = 10**7


class Disk:
    """A disk on a simulated clock that only the test moves."""

    def __init__(self, url: str = "/data/runs/s") -> None:
        self.seconds, self.free, self.lines = 0.0, 10**9, []
        self.watch = FullStorage(url, LEAST, self.lines.append, lambda: self.seconds, self.free_in)

    def free_in(self, folder: Path) -> int:
        assert folder.is_absolute(), "an object store has no free space to ask for"
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


def train(epoch: int | None) -> dict[str, object]:
    return {"phase": "train", "metrics": None if epoch is None else {"epoch": epoch}}


@pytest.mark.parametrize("url", ["/home/me/runs/s", "s3://bucket/s"])
def test_a_quota_that_stays_used_up_ends_the_launch_although_the_disk_has_space(url, monkeypatch) -> None:
    monkeypatch.setattr(sys, "argv", ["sweeps/paper_grid.py"])
    disk = Disk(url)
    disk.watch.add_report("a", train(3))
    for _ in range(4):
        disk.watch.add_failure()
        disk.watch.add_report("b", train(None))  # it trains, and has not written yet
        disk.watch.add_report("a", train(3))
        disk.wait(70)
    assert set(disk.lines) == {
        f"storage {url}: has no space left for this user; free some space on its disk or raise the quota, "
        "and the runs continue"
    }
    disk.wait(3600)  # no further write, so nobody knows
    disk.watch.add_failure()
    with pytest.raises(InputError) as caught:
        disk.wait(10)
    assert str(caught.value).startswith(f"storage {url}: was full for 1 h")
    assert "raise the quota, then resume from the last checkpoints with: python" in str(caught.value)


@pytest.mark.parametrize("report", [train(4), {"phase": "done", "metrics": None}])
def test_a_run_that_could_write_shows_that_a_quota_has_space_again(report) -> None:
    disk = Disk()
    disk.watch.add_report("a", train(3))
    disk.watch.add_failure()
    disk.wait(GIVE_UP_SECONDS - 10)
    disk.watch.add_report("a", report)
    disk.watch.add_failure()
    disk.wait(GIVE_UP_SECONDS - 10)
    disk.watch.add_failure()
    disk.wait(10)
    disk.wait(20)
    disk.watch.add_failure()
    with pytest.raises(InputError):
        disk.wait(10)


def test_the_space_of_an_object_store_and_of_a_disk_in_other_trouble_is_unknown() -> None:
    def broken(folder: Path) -> int:
        raise OSError("stale file handle")

    store, damaged = Disk("s3://bucket/s"), Disk()
    damaged.watch._free = broken
    for disk in (store, damaged):
        disk.free = 0
        disk.wait(2 * GIVE_UP_SECONDS)
        assert disk.lines == []
