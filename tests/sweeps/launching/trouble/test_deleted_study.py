"""A deleted study ends a launch; an unmounted disk and an object store do not."""

from __future__ import annotations

from pathlib import Path

import pytest

from lvae_core.errors import InputError
from sweeps.launching.trouble.deleted_study import DeletedStudy


class Clock:
    seconds = 0.0

    def __call__(self) -> float:
        self.seconds += 10.0
        return self.seconds


def test_a_deleted_folder_ends_the_launch_at_the_second_look(tmp_path: Path) -> None:
    study = tmp_path / "runs" / "s"
    study.mkdir(parents=True)
    watch = DeletedStudy(str(study), Clock())
    for _ in range(3):
        watch.check()
    study.rmdir()
    watch.check()
    study.mkdir()  # it was only being replaced
    for _ in range(3):
        watch.check()
    study.rmdir()
    (tmp_path / "runs").rmdir()
    watch.check()
    with pytest.raises(InputError, match="was deleted while its runs were under way"):
        watch.check()


def test_an_unmounted_disk_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = tmp_path / "s"
    study.mkdir()
    watch = DeletedStudy(str(study), Clock())
    monkeypatch.setattr(watch, "_device", -2)  # the folder above is on another device than the study was
    study.rmdir()
    for _ in range(5):
        watch.check()


def test_an_object_store_is_not_watched() -> None:
    watch = DeletedStudy("s3://bucket/s", Clock())
    for _ in range(3):
        watch.check()
