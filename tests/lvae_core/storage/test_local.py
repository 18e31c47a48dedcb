"""The local store: complete files after any kill, and exclusive creation on every file system."""

import errno
import os
import resource
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lvae_core.storage.local import LocalStore, unwritable
from lvae_core.storage.retrying import RetryingStore


def test_a_failed_write_leaves_the_old_content_and_nothing_else(tmp_path):
    store = LocalStore(tmp_path)
    store.write("a", b"old")
    # The system refuses files of more than 1000 bytes, like a full disk.
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(OSError, match="too large"):
            store.write("a", b"new" * 1000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert store.read("a") == b"old"
    assert os.listdir(tmp_path) == ["a"]


def test_written_files_have_the_permissions_of_the_umask(tmp_path):
    before = os.umask(0o022)
    try:
        LocalStore(tmp_path).write("a", b"1")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o644
    assert os.umask(before) == before


def test_a_file_in_place_of_a_folder_is_an_os_error(tmp_path):
    (tmp_path / "run").write_bytes(b"a file")
    with pytest.raises(OSError, match="run"):
        LocalStore(tmp_path).write("run/a", b"1")


WRITER = """
import sys
from lvae_core.storage.local import LocalStore
store = LocalStore(sys.argv[1])
print("ready", flush=True)
k = 0
while True:
    k = (k + 1) % 250
    store.write("file", bytes([k]) * (100_000 + 10_000 * k))
"""


def test_a_writer_killed_at_any_moment_leaves_a_complete_file(tmp_path):
    store = LocalStore(tmp_path)
    seen = set()
    for attempt in range(8):
        store.delete("file")
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True
        ) as process:
            try:
                assert process.stdout is not None
                assert process.stdout.readline() == "ready\n"
                # Concurrent readers never see half a file, either.
                k, end = 0, time.monotonic() + 20
                while k < 2 + attempt and time.monotonic() < end:
                    if store.exists("file"):
                        k = assert_whole(store.read("file"))
                time.sleep(0.001 * attempt)
            finally:
                process.send_signal(signal.SIGKILL)
        assert process.returncode == -signal.SIGKILL
        assert store.names() == ["file"], "half-written files are not listed"
        seen.add(assert_whole(store.read("file")))
    assert len(seen) > 1, "the writer was killed at more than one point"


def assert_whole(data: bytes) -> int:
    """Return the number in a file of the writer, after checking that the file is complete."""
    k = data[0]
    assert data == bytes([k]) * (100_000 + 10_000 * k)
    return k


@pytest.mark.parametrize("calls", ["write", "create"])
def test_leftovers_of_a_killed_writer_are_listed_renamed_and_deleted(tmp_path, calls):
    store = LocalStore(tmp_path)
    script = f"""
import os, signal, sys
from lvae_core.storage.local import LocalStore
os.fsync = lambda handle: os.kill(os.getpid(), signal.SIGKILL)  # killed after the write, before the rename
LocalStore(sys.argv[1]).{calls}("run/file.pt", b"half")
"""
    store.write("run/other", b"1")
    for _ in range(2):
        killed = subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False)
        assert killed.returncode == -signal.SIGKILL
    assert store.names("run") == ["other"]
    left = store.leftovers("run")
    assert left == sorted(set(os.listdir(tmp_path / "run")) - {"other"})
    assert len(left) == 2
    assert all(name.startswith(".file.pt.") for name in left)
    store.rename(f"run/{left[0]}", "run/file.pt.partial-1")
    store.delete(f"run/{left[1]}")
    assert store.leftovers("run") == []
    assert store.names("run") == ["file.pt.partial-1", "other"]
    assert store.read("run/file.pt.partial-1") == b"half"


def test_hidden_files_of_other_programs_are_not_leftovers(tmp_path):
    store = LocalStore(tmp_path)
    for name in (".probe-0123456789abcdef", ".nfs000000000123456700000001", ".a.b", ".DS_Store"):
        (tmp_path / name).write_bytes(b"")
    assert store.leftovers("") == []
    assert store.names() == []


def test_a_repeated_link_request_over_nfs_still_counts_as_created(tmp_path, monkeypatch):
    """Over NFS, link(2) may succeed, lose its response, be repeated and then be refused."""
    store, link = LocalStore(tmp_path), os.link

    def twice(source: str, target: str) -> None:
        link(source, target)
        link(source, target)

    monkeypatch.setattr(os, "link", twice)
    assert store.create("a", b"mine") is True
    assert store.create("a", b"more") is False
    monkeypatch.setattr(os.path, "lexists", lambda _: False)
    assert store.create("a", b"more") is False, "another call created it"
    assert store.read("a") == b"mine"
    assert os.listdir(tmp_path) == ["a"]


@pytest.mark.parametrize("code", [errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS])
def test_creation_is_exclusive_on_file_systems_without_hard_links(tmp_path, monkeypatch, code):
    store = LocalStore(tmp_path)

    def refuse(source: str, target: str) -> None:
        raise OSError(code, os.strerror(code), source)

    monkeypatch.setattr(os, "link", refuse)
    assert store.create("a", b"mine") is True
    monkeypatch.setattr(os.path, "lexists", lambda _: False)
    assert store.create("a", b"more") is False
    assert store.read("a") == b"mine"
    assert os.listdir(tmp_path) == ["a"]


def test_any_other_error_of_a_link_is_raised(tmp_path, monkeypatch):
    store = LocalStore(tmp_path)

    def refuse(source: str, target: str) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO), source)

    monkeypatch.setattr(os, "link", refuse)
    with pytest.raises(OSError, match="Input/output error"):
        store.create("a", b"mine")
    assert os.listdir(tmp_path) == []


def test_a_place_that_takes_no_folders_is_refused_at_once(monkeypatch):
    """As in /proc, where mkdir says that the new folder does not exist."""

    def refuse(*args, **kwargs):
        raise FileNotFoundError(errno.ENOENT, "No such file or directory")

    monkeypatch.setattr("os.mkdir", refuse)
    slept = []
    for place in ("/proc/x/study", "/proc"):
        store = RetryingStore(LocalStore(place), sleep=slept.append)
        with pytest.raises(OSError, match="no folder can be made in /proc"):
            store.write("run/file", b"")
    assert slept == []


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="no /proc")
def test_a_place_that_takes_no_folders_is_named_before_anything_is_written():
    assert unwritable(Path("/proc/x/study")) == (Path("/proc"), "no folder can be made in /proc")


@pytest.mark.parametrize("below", ["", "study"])
def test_a_link_to_a_folder_that_does_not_exist_is_named(tmp_path, below):
    """As to a disk that is not mounted."""
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "unplugged")
    with pytest.raises(OSError, match=r"a link to .*/unplugged, which does not exist") as caught:
        LocalStore(link / below).write("run/file", b"")
    assert caught.value.filename == str(link)
