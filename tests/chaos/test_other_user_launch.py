"""A launch in a study of another user: refused in one line, or it does the missing run beside theirs."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from .short_grid import ARGUMENTS
from .sweep_command import Launch, Runs, closing, modification_times, processes_writing_below
from .users import AS_ORDINARY_USER


@pytest.fixture(autouse=True)
def setpriv() -> None:
    if shutil.which(AS_ORDINARY_USER[0]) is None:
        pytest.skip("setpriv is not installed")


@pytest.fixture
def study(tmp_path, undisturbed_storage) -> Path:
    """A study of finished runs in which one is missing; a test gives it to the other user."""
    study = tmp_path / "s"
    shutil.copytree(undisturbed_storage / "s", study)
    shutil.rmtree(study / Runs(tmp_path).names()[-1])
    return study


def contents(study: Path) -> dict[Path, tuple[int, int]]:
    """Return owner and modification time of every file and folder."""
    return {path: (path.stat().st_uid, path.stat().st_mtime_ns) for path in (study, *study.rglob("*"))}


def test_a_command_that_is_started_as_an_ordinary_user_cannot_write_into_their_folder(theirs, tmp_path):
    theirs.take(tmp_path)
    write = ["touch", str(tmp_path / "file")]
    done = subprocess.run([*AS_ORDINARY_USER, *write], capture_output=True, text=True, check=False)
    assert "Permission denied" in done.stderr
    assert not (tmp_path / "file").exists()


@pytest.mark.slow
def test_a_launch_in_a_closed_study_of_another_user_ends_with_one_line(study, theirs, tmp_path, scratch):
    theirs.take(study)
    before = contents(study)
    launch = Launch(tmp_path, scratch, "--quiet", grid=ARGUMENTS, before=AS_ORDINARY_USER)
    with closing(launch):
        assert launch.wait() == 2, launch.output
        (line,) = launch.output.splitlines()
    assert line.startswith(f"error: storage {study}: ")
    assert "Permission denied" in line
    assert contents(study) == before
    assert list(scratch.iterdir()) == []


@pytest.mark.slow
def test_a_launch_in_a_sticky_study_of_another_user_does_what_is_missing_and_leaves_theirs_as_it_was(
    study, theirs, tmp_path, scratch, undisturbed_storage
):
    runs = Runs(tmp_path)
    names = runs.names()
    theirs.take(study, 0o755)
    study.chmod(0o1777)
    before = modification_times(study, names)
    launch = Launch(tmp_path, scratch, grid=ARGUMENTS, before=AS_ORDINARY_USER)
    with closing(launch):
        assert launch.wait() == 0, launch.output
        assert "1 of 4 runs to do" in launch.output
        assert "Traceback" not in launch.output
    assert modification_times(study, names) == before
    assert runs.table() == Runs(undisturbed_storage).table()
    (new,) = set(runs.names()) - set(names)
    assert (study / new).stat().st_uid == os.getuid()
    assert list(scratch.iterdir()) == []
    assert processes_writing_below(scratch) == []
