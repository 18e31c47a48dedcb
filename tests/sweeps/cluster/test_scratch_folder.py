"""Folders that outlive a killed owner: real processes, a real SIGKILL."""

import contextlib
import errno
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest
from filelock import FileLock, Timeout

from sweeps.cluster import scratch_folder
from sweeps.cluster.scratch_folder import own_folder, remove_abandoned

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]

OWNER = """
import signal, sys
from sweeps.cluster.scratch_folder import own_folder
with own_folder("ray") as folder:
    print(folder, flush=True)
    sys.stdin.read()
"""

# A launch with a writer and a reader, a worker that has overwritten its environment, as Ray's do, and one
# that such a worker has started.
FAMILY = """
import os, subprocess, sys
from sweeps.cluster.scratch_folder import own_folder
with own_folder("ray") as folder:
    (folder / "log").touch()
    sleep = [sys.executable, "-c", "import time; time.sleep(60)"]
    titled = "env -i " + sys.executable + " -c 'import time; time.sleep(60)'"
    with (folder / "log").open("a") as log, (folder / "log").open() as source:
        family = [
            subprocess.Popen(sleep, stdout=log),
            subprocess.Popen(["/bin/sh", "-c", titled + " & wait"], stdout=log),
            subprocess.Popen(["/usr/bin/env", "-i", *sleep], stdout=log),
            subprocess.Popen(sleep, stdin=source, stdout=subprocess.DEVNULL),
        ]
    print(folder, *[process.pid for process in family], flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    return tmp_path


def start(script: str, *arguments: str) -> tuple[subprocess.Popen[str], list[str]]:
    owner = subprocess.Popen(
        [sys.executable, "-c", script, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert owner.stdout is not None
    return owner, owner.stdout.readline().split()


def start_owner() -> tuple[subprocess.Popen[str], Path]:
    owner, (folder,) = start(OWNER)
    return owner, Path(folder)


def end(process: subprocess.Popen[str]) -> int:
    """Let an owner come to its end, or kill it."""
    process.communicate()
    return process.returncode


def kill(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGKILL)
    assert end(process) == -signal.SIGKILL


def lives(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def test_a_folder_exists_only_within_its_block(root):
    with own_folder("ray") as folder:
        assert folder.parent == root
        (folder / "session").mkdir()
        (folder / "session" / "log").touch()
    assert list(root.iterdir()) == []
    assert scratch_folder._MARK not in os.environ


def test_an_interrupt_waits_until_the_folder_is_gone(root, monkeypatch):
    clear = scratch_folder._clear

    def interrupted(folder: Path) -> None:
        signal.raise_signal(signal.SIGINT)
        clear(folder)

    monkeypatch.setattr(scratch_folder, "_clear", interrupted)
    with pytest.raises(KeyboardInterrupt), own_folder("ray"):
        pass
    assert list(root.iterdir()) == []


def test_a_folder_in_use_stays_and_one_of_a_dead_owner_is_removed(root):
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


@pytest.mark.parametrize("dies", [True, False])
def test_processes_that_write_there_are_killed_and_readers_are_not(dies, root):
    owner, (name, *pids) = start(FAMILY)
    writer, shell, titled, reader = (psutil.Process(int(pid)) for pid in pids)
    while not (family := shell.children()):
        time.sleep(0.01)  # the shell has not started it yet
    (grandchild,) = family
    writers = [writer, shell, grandchild, titled]
    try:
        if dies:
            kill(owner)
            assert all(map(lives, writers))
            with own_folder("ray"):
                pass
        else:
            assert end(owner) == 0
        assert not Path(name).exists()
        assert list(map(lives, writers)) == [False] * 4
        assert lives(reader)
    finally:
        for process in (*writers, reader):
            with contextlib.suppress(psutil.Error):
                process.kill()


# A launch with a process, given as code, that makes folders there one after the other with no file open.
MAKER = """
import os, subprocess, sys
from sweeps.cluster.scratch_folder import own_folder
with own_folder("ray") as folder:
    code, *words = (word.replace("FOLDER", str(folder)) for word in sys.argv[1:])
    subprocess.Popen([sys.executable, "-c", code, *words], cwd=folder, stderr=subprocess.DEVNULL)
    while not any(path.is_dir() for path in folder.iterdir()):
        pass
    print(folder, flush=True)
    sys.stdin.read()
"""
MAKING = """
import os, sys, time
end = time.monotonic() + 2.0
while time.monotonic() < end:
    os.makedirs(os.path.join(sys.argv[1], str(time.monotonic_ns())))
"""


@pytest.mark.parametrize("place", ["FOLDER", pytest.param(".", marks=pytest.mark.slow)])
def test_what_is_made_while_the_folder_is_removed_is_removed_too(place, root):
    """A process that names the folder is killed; what any other makes leaves the folder with its owner."""
    owner, (folder,) = start(MAKER, MAKING, place)
    assert Path(folder).is_dir()
    assert end(owner) == 0
    assert list(root.iterdir()) == []


def test_a_process_that_has_just_started_does_not_make_the_folder_again(root, monkeypatch):
    rmdir, started = Path.rmdir, []

    def remove_and_make(path: Path) -> None:
        rmdir(path)
        if not started:
            making = "import pathlib, sys, time; pathlib.Path(sys.argv[1], 'log').mkdir(parents=True); "
            making += "time.sleep(600)"
            started.append(subprocess.Popen([sys.executable, "-c", making, str(path)], text=True))
            while not (path / "log").exists():
                time.sleep(0.01)

    with own_folder("ray"):
        monkeypatch.setattr(Path, "rmdir", remove_and_make)
    assert list(root.iterdir()) == []
    assert not psutil.pid_exists(started[0].pid)
    end(started[0])


def test_what_cannot_be_removed_at_the_beginning_is_removed_at_the_end(root, monkeypatch):
    dead, abandoned = start_owner()
    kill(dead)
    clear = scratch_folder._clear

    def failing(folder: Path) -> None:
        monkeypatch.setattr(scratch_folder, "_clear", clear)
        raise OSError(f"{folder}: something is still written there")

    monkeypatch.setattr(scratch_folder, "_clear", failing)
    with own_folder("ray") as mine:
        assert set(root.iterdir()) == {abandoned, mine}
    assert list(root.iterdir()) == []


def test_a_folder_whose_owner_could_not_write_its_name_does_not_stay(root, monkeypatch):
    def full(path: Path, text: str) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OSError, match="No space"), own_folder("tune"):
        pass
    assert list(root.iterdir()) == []


def test_a_folder_without_an_owner_is_removed_once_it_is_old_and_nobody_holds_it(root):
    old, held, young, users = (root / f"lvae-ray-{name}" for name in ("old", "held", "young", "mine"))
    for folder in (old, held, young, users):
        folder.mkdir()
        (folder / (".owner" if folder != users else "results")).touch()
    for folder in (old, held, users):
        os.utime(folder, (0, 0))
    with FileLock(held / ".owner"):
        remove_abandoned(root)
    assert set(root.iterdir()) == {held, young, users}


@pytest.mark.parametrize("environment", [os.environ, {}])
def test_a_writer_of_another_launch_is_not_killed(environment, root):
    """An open file alone is no reason, nor is an empty environment in one that is older than the launch."""
    with (root / "file").open("w") as out:
        older = subprocess.Popen(SLEEP, stdout=out, text=True, env=dict(environment))
    dead, abandoned = start_owner()
    with (abandoned / "log").open("w") as out:
        stranger = subprocess.Popen(SLEEP, stdout=out, text=True)
    (root / "file").rename(abandoned / "file")
    kill(dead)
    with own_folder("ray"):
        assert not abandoned.exists()
        assert (older.poll(), stranger.poll()) == (None, None)
    kill(older)
    kill(stranger)


def test_a_launch_that_ends_keeps_the_lock_until_its_folder_is_gone(root, monkeypatch):
    """One that begins meanwhile neither removes the folder, too, nor is killed for looking at it."""
    found = []
    clear = scratch_folder._clear

    def look_and_clear(folder: Path) -> None:
        with pytest.raises(Timeout):
            FileLock(folder / "owner", timeout=0).acquire()
        # As far as a launch that begins comes: it has the owner's file open for writing.
        with (folder / "owner").open("r+"):
            beginner, its_folder = start_owner()
            found.append((folder.exists(), its_folder.exists()))
            clear(folder)
        assert end(beginner) == 0

    monkeypatch.setattr(scratch_folder, "_clear", look_and_clear)
    with own_folder("ray"):
        pass
    assert found == [(True, True)]
    assert list(root.iterdir()) == []


# Begins and ends again and again, each time with a child that writes into the folder and must be killed at
# the end, and only then.
BEGINS_AND_ENDS = """
import subprocess, sys
from sweeps.cluster.scratch_folder import own_folder
for _ in range(int(sys.argv[1])):
    with own_folder("ray") as folder, (folder / "log").open("w") as log:
        child = subprocess.Popen(["/bin/sleep", "600"], stdout=log)
        log.write("begun")
        alive = child.poll() is None
    assert alive, "killed before its end"
    child.wait(30)  # its status is unknown here, because psutil has waited for it
"""


@pytest.mark.parametrize("times", [40, pytest.param(500, marks=pytest.mark.slow)])
def test_launches_that_begin_and_end_at_the_same_time_never_kill_each_other(times, root):
    """Each opens the owner's file of the others again and again while these clear away."""
    launches = [
        subprocess.Popen([sys.executable, "-c", BEGINS_AND_ENDS, str(times // 4)], stderr=subprocess.PIPE)
        for _ in range(4)
    ]
    for launch in launches:
        _, errors = launch.communicate()
        assert (launch.returncode, errors) == (0, b"")
    assert list(root.iterdir()) == []


def test_a_folder_that_two_launches_find_abandoned_is_removed_once(root):
    dead, abandoned = start_owner()
    kill(dead)
    threads = [threading.Thread(target=scratch_folder.remove_abandoned, args=(root,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not abandoned.exists()
    assert list(root.iterdir()) == []


def test_folders_that_are_not_ours_are_left_alone(root):
    (root / "lvae-ray-being-made").mkdir()
    (root / "lvae-notes.txt").touch()
    elsewhere = root / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "owner").touch()
    (root / "lvae-ray-link").symlink_to(elsewhere)
    (root / "lvae-ray-linked-owner").mkdir()
    (root / "lvae-ray-linked-owner" / "owner").symlink_to(elsewhere / "owner")
    if os.getuid() == 0:
        (root / "lvae-ray-other").mkdir()
        (root / "lvae-ray-other" / "owner").touch()
        os.chown(root / "lvae-ray-other", 65534, 65534)
    before = set(root.rglob("*"))
    with own_folder("ray"):
        pass
    assert set(root.rglob("*")) == before


@pytest.mark.parametrize(
    "content", [b"", b"Ada Lovelace", b"\xff\xfe", b"ab12 5.0", b"0" * 32 + b" 5.0 and more"]
)
def test_a_folder_whose_owner_file_is_of_another_program_is_left_alone(content, root):
    (root / "lvae-results").mkdir()
    (root / "lvae-results" / "owner").write_bytes(content)
    (root / "lvae-results" / "table").touch()
    before = set(root.rglob("*"))
    with own_folder("ray"):
        pass
    assert set(root.rglob("*")) == before
    assert (root / "lvae-results" / "owner").read_bytes() == content
