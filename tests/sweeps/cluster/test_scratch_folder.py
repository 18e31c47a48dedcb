"""Folders that outlive a killed owner: real processes, a real SIGKILL."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from sweeps.cluster.scratch_folder import own_folder

OWNER = """
import signal, sys
from sweeps.cluster.scratch_folder import own_folder
with own_folder("ray") as folder:
    print(folder, flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    return tmp_path


def start_owner() -> tuple[subprocess.Popen[str], Path]:
    command = [sys.executable, "-c", OWNER]
    owner = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    return owner, Path(owner.stdout.readline().strip())


def end(process: subprocess.Popen[str]) -> int:
    """Let an owner come to its end, or kill it."""
    process.communicate()
    return process.returncode


def kill(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGKILL)
    assert end(process) == -signal.SIGKILL


def test_it_lives_as_long_as_the_block(root):
    with own_folder("ray") as folder:
        assert folder.parent == root
        (folder / "session").mkdir()
        (folder / "session" / "log").touch()
    assert list(root.iterdir()) == []


def test_a_folder_in_use_stays_and_that_of_a_dead_owner_goes(root):
    alive, its_folder = start_owner()
    dead, abandoned = start_owner()
    (abandoned / "session").mkdir()
    (abandoned / "session_latest").symlink_to(abandoned / "session")
    kill(dead)
    assert abandoned.exists()
    with own_folder("tune") as mine:
        assert set(root.iterdir()) == {its_folder, mine}
    assert end(alive) == 0
    assert list(root.iterdir()) == []


def test_what_still_writes_there_is_ended_and_what_reads_is_not(root):
    dead, abandoned = start_owner()
    log = abandoned / "log"
    log.touch()
    sleep = [sys.executable, "-c", "import time; time.sleep(60)"]
    with log.open("w") as out, log.open() as source:
        writer = subprocess.Popen(sleep, stdout=out, text=True)
        reader = subprocess.Popen(sleep, stdin=source, text=True)
    kill(dead)
    with own_folder("ray"):
        assert writer.wait(timeout=20) == -signal.SIGKILL
        assert reader.poll() is None
        assert not abandoned.exists()
    kill(reader)


def test_what_is_not_ours_is_left_alone(root):
    (root / "lvae-ray-being-made").mkdir()
    (root / "lvae-notes.txt").touch()
    elsewhere = root / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "owner").touch()
    (root / "lvae-ray-link").symlink_to(elsewhere)
    if os.getuid() == 0:
        (root / "lvae-ray-other").mkdir()
        (root / "lvae-ray-other" / "owner").touch()
        os.chown(root / "lvae-ray-other", 65534, 65534)
    before = set(root.rglob("*"))
    with own_folder("ray"):
        pass
    assert set(root.rglob("*")) == before
