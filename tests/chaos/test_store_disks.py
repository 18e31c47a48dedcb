"""A store that retries, on real disks that are full, read-only, unmounted, moved away or broken."""

import errno
import itertools
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lvae_core.storage.retrying import RetryingStore
from lvae_core.storage.store import open_store

from ..logs import expect_log

OLD, NEW = b"old" * 1000, b"new" * 100_000


def error_of(operation: Callable[[], object]) -> OSError:
    try:
        operation()
    except OSError as error:
        return error
    return pytest.fail("nothing was raised")


@contextmanager
def meanwhile(*steps: Callable[[], object], pause: float = 0.4) -> Iterator[None]:
    """Take steps in another thread, each after a pause, and wait for the last at the end of the block."""

    def take() -> None:
        for step in steps:
            time.sleep(pause)
            step()

    thread = threading.Thread(target=take)
    thread.start()
    try:
        yield
    finally:
        thread.join()


def fill(folder: Path) -> Path:
    """Fill a disk to its last page and return the file that fills it."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file:
        page = bytes(4096)
        assert error_of(lambda: [file.write(page) for _ in range(10_000)]).errno == errno.ENOSPC
    return ballast


@pytest.mark.parametrize("operation", ["write", "create"])
def test_a_write_to_a_disk_that_is_full_for_a_while_is_retried(disk, operation):
    patient = RetryingStore(open_store(disk.folder / "study"), 60.0)
    patient.write("run/a", OLD)
    ballast = fill(disk.folder)
    path = "run/a" if operation == "write" else "run/b"
    with expect_log("lvae.storage") as messages, meanwhile(ballast.unlink):
        getattr(patient, operation)(path, NEW)
    assert [record.getMessage() for record in messages] == [
        f"{patient.url}/{path}: No space left on device; trying again for up to 60 s"
    ]
    assert patient.read(path) == NEW
    assert patient.leftovers("run") == []


def test_a_disk_that_stays_full_keeps_its_files(disk):
    store = open_store(disk.folder / "study")
    store.write("run/a", OLD)
    fill(disk.folder)
    with expect_log("lvae.storage"):
        error = error_of(lambda: RetryingStore(store, 0.3).write("run/a", NEW))
    assert error.errno == errno.ENOSPC
    assert "No space left on device; tried again for 0." in str(error)
    assert error_of(lambda: store.create("run/b", NEW)).errno == errno.ENOSPC
    assert store.read("run/a") == OLD
    assert os.listdir(disk.folder / "study" / "run") == ["a"]


def test_a_read_only_disk_is_reported_without_a_retry(disk):
    patient = RetryingStore(open_store(disk.folder / "study"), 60.0)
    patient.write("run/a", OLD)
    disk.lock()
    for operation in (
        lambda: patient.write("run/a", NEW),
        lambda: patient.create("run/b", NEW),
        lambda: patient.write("run2/a", NEW),
        lambda: patient.rename("run/a", "run/b"),
        lambda: patient.delete("run/a"),
    ):
        assert error_of(operation).errno == errno.EROFS
    assert patient.create("run/a", NEW) is False
    assert patient.read("run/a") == OLD
    assert patient.names("run") == ["a"]
    disk.unlock()
    patient.write("run/a", NEW)
    assert patient.read("run/a") == NEW


def test_operations_on_an_unmounted_disk_are_retried_until_it_is_mounted_again(disk):
    patient = RetryingStore(open_store(disk.folder / "study"), 60.0)
    patient.write("run/a", OLD)
    disk.pull()
    for operation, answer in {
        lambda: patient.read("run/a"): OLD,
        lambda: patient.names("run"): ["a"],
        lambda: patient.exists("run/a"): True,
        lambda: patient.create("run/b", NEW): True,
        lambda: patient.write("run/a", NEW): None,
    }.items():
        with expect_log("lvae.storage", "study is gone; trying again"), meanwhile(disk.plug):
            assert operation() == answer
        disk.pull()
    assert os.listdir(disk.folder) == [], "nothing was written to the empty mount point"
    disk.plug()
    assert (patient.read("run/a"), patient.read("run/b")) == (NEW, NEW)


def test_a_disk_that_stays_unmounted_is_reported(disk):
    store = open_store(disk.folder / "study")
    store.write("run/a", OLD)
    disk.pull()
    with expect_log("lvae.storage"):
        error = error_of(lambda: RetryingStore(store, 0.3).write("run/a", NEW))
    assert str(error).startswith(f"storage folder {disk.folder}/study is gone; tried again for 0.")
    assert os.listdir(disk.folder) == []


def test_a_folder_that_disappears_repeatedly_loses_nothing(tmp_path):
    """Another thread moves the folder away and back during writes, creations, reads and listings."""
    root, away = tmp_path / "root", tmp_path / "away"
    patient = RetryingStore(open_store(root), 60.0, pause=0.001, longest_pause=0.002)
    patient.write("run/a", OLD)
    over = threading.Event()
    moves = 0

    def move() -> None:
        nonlocal moves
        while not over.is_set():
            root.rename(away)
            time.sleep(0.003)
            away.rename(root)
            time.sleep(0.003)
            moves += 1

    mover = threading.Thread(target=move)
    with expect_log("lvae.storage") as messages:
        mover.start()
        try:
            for k in itertools.count(1):
                if k > 80 and moves > 20:  # on a busy machine the other thread is slow
                    break
                patient.write("run/a", b"%d" % k)
                assert patient.read("run/a") == b"%d" % k
                assert patient.create(f"run{k}/b", b"%d" % k) is True
                assert patient.create(f"run{k}/b", b"other") is False
                assert patient.exists(f"run{k}/b")
                patient.rename(f"run{k}/b", f"run{k}/c")
                assert patient.names(f"run{k}") == ["c"]
                patient.delete(f"run{k}/c")
                assert not patient.exists(f"run{k}/c")
                assert len(patient.names()) == k + 1
        finally:
            over.set()
            mover.join()
    print("moves", moves, "reported outages", len(messages))
    assert sorted(os.listdir(tmp_path)) == ["root"]


SCRIPT = """
import sys
from lvae_core.storage.retrying import RetryingStore
from lvae_core.storage.store import open_store
url, seconds, operation, path = sys.argv[1:]
store = RetryingStore(open_store(url), float(seconds))
try:
    if operation == "read":
        print(len(store.read(path)))
    else:
        print(getattr(store, operation)(path, b"new" * 100_000))
except OSError as error:
    print(error)
"""


def run_with_faults(
    environment: dict[str, str], root: Path, seconds: float, *arguments: str
) -> tuple[str, str]:
    """Run an operation in a process with this environment and return its output and its messages."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(root), str(seconds), *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip(), done.stderr


@pytest.mark.parametrize("calls", ["write", "fsync"])
@pytest.mark.parametrize(("operation", "path"), [("write", "run/a"), ("create", "run/b")])
def test_a_write_is_retried_when_a_disk_fails_three_times(tmp_path, eio, calls, operation, path):
    store = open_store(tmp_path / "study")
    store.write("run/a", OLD)
    answer, messages = run_with_faults(
        eio(tmp_path / "study", calls, times=3), tmp_path / "study", 60.0, operation, path
    )
    assert answer == ("None" if operation == "write" else "True")
    assert messages.count("Input/output error; trying again for up to 60 s") == 1
    assert store.read(path) == NEW
    assert store.leftovers("run") == []


@pytest.mark.parametrize("calls", ["write", "fsync"])
def test_a_disk_that_keeps_failing_keeps_its_files(tmp_path, eio, calls):
    store = open_store(tmp_path / "study")
    store.write("run/a", OLD)
    for operation, path in (("write", "run/a"), ("create", "run/b")):
        answer, _ = run_with_faults(
            eio(tmp_path / "study", calls), tmp_path / "study", 0.3, operation, path
        )
        assert answer.startswith("[Errno 5] Input/output error; tried again for 0.")
    assert store.read("run/a") == OLD
    assert os.listdir(tmp_path / "study" / "run") == ["a"]


def test_a_read_is_retried_when_a_disk_fails_twice(tmp_path, eio):
    store = open_store(tmp_path / "study")
    store.write("run/a", OLD)
    answer, messages = run_with_faults(
        eio(tmp_path / "study", "read", times=2), tmp_path / "study", 60.0, "read", "run/a"
    )
    assert (answer, messages.count("Input/output error; trying again")) == (str(len(OLD)), 1)


def test_injected_errors_affect_one_folder_while_the_switch_file_exists(tmp_path, eio):
    """Tests the fixture ``eio`` itself."""
    root, switch = tmp_path / "study", tmp_path / "switch"
    open_store(root).write("run/a", OLD)
    environment = eio(root, "write", only_while=switch)
    assert run_with_faults(environment, root, 0.0, "write", "run/a")[0] == "None"
    switch.touch()
    assert "Input/output error" in run_with_faults(environment, root, 0.0, "write", "run/a")[0]
    assert run_with_faults(environment, tmp_path / "study2", 0.0, "write", "run/a")[0] == "None"
    with meanwhile(switch.unlink, pause=2.0):
        assert run_with_faults(environment, root, 60.0, "write", "run/a")[0] == "None"
