"""One conformance suite for every store, and what only a local folder can be held to."""

import os
import resource
import signal
import stat
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest

from lvae_core.config import InputError
from lvae_core.storage import FsspecStore, LocalStore, Store, open_store


@pytest.fixture(params=["local", "file", "memory"])
def store(request, tmp_path) -> Store:
    """An empty store whose root does not exist yet."""
    url = {
        "local": str(tmp_path / "deep" / "root"),
        "file": f"file://{tmp_path}/deep/root",
        "memory": f"memory://{uuid.uuid4().hex}/root",
    }
    return open_store(url[request.param])


def test_what_is_written_is_read(store):
    for data in (b"", b"\x00\xff\n\r\n", b"x" * 3_000_000):
        store.write("run/file.bin", data)
        assert store.read("run/file.bin") == data


def test_a_write_replaces_all_of_what_was_there(store):
    store.write("a", b"long content")
    store.write("a", b"short")
    assert store.read("a") == b"short"
    assert store.names() == ["a"]


def test_reading_what_is_not_there_is_file_not_found(store):
    with pytest.raises(FileNotFoundError):
        store.read("nothing")
    store.write("run/a", b"1")
    with pytest.raises(FileNotFoundError):
        store.read("run/b")


def test_exists_knows_files_and_folders(store):
    assert not store.exists("run")
    assert not store.exists("run/a")
    store.write("run/a", b"1")
    assert store.exists("run")
    assert store.exists("run/a")
    assert not store.exists("run/b")
    assert not store.exists("ru")


def test_names_are_those_directly_inside_sorted(store):
    assert store.names() == []
    assert store.names("run") == []
    for path in ("run/b", "run/a", "run/deep/c", "run2/d", "top"):
        store.write(path, b"1")
    assert store.names() == ["run", "run2", "top"]
    assert store.names("run") == ["a", "b", "deep"]
    assert store.names("run/deep") == ["c"]
    assert store.names("run/a") == [], "a file is no folder"


def test_rename_replaces_the_target(store):
    store.write("run/a", b"new")
    store.write("run/b", b"old")
    store.rename("run/a", "run/b")
    assert store.names("run") == ["b"]
    assert store.read("run/b") == b"new"


def test_renaming_what_is_not_there_is_file_not_found(store):
    store.write("run/a", b"1")
    with pytest.raises(FileNotFoundError):
        store.rename("run/none", "run/b")


def test_delete_is_quiet_where_there_is_nothing(store):
    store.delete("run/a")
    store.write("run/a", b"1")
    store.delete("run/a")
    store.delete("run/a")
    assert not store.exists("run/a")


def test_another_store_at_the_same_address_sees_it(store):
    store.write("run/a", b"1")
    again = open_store(store.url)
    assert again.read("run/a") == b"1"
    again.write("run/a", b"2")
    assert store.read("run/a") == b"2"
    assert store.names("run") == ["a"]


def test_trailing_slash_is_the_same_place(store):
    store.write("run/a", b"1")
    assert open_store(store.url + "/").read("run/a") == b"1"


def test_addresses_choose_their_store(tmp_path):
    assert isinstance(open_store(tmp_path), LocalStore)
    # fsspec would write in place: half a file for a while.
    assert isinstance(open_store(f"file://{tmp_path}"), LocalStore)
    assert open_store(f"file://{tmp_path}").url == str(tmp_path)
    assert isinstance(open_store("memory://a"), FsspecStore)
    relative = open_store("some/place")
    assert relative.url == str(Path.cwd() / "some/place")
    assert open_store("~/x").url == str(Path.home() / "x")


@pytest.mark.parametrize("url", ["nosuchscheme://bucket/x", "s4://bucket"])
def test_an_unknown_scheme_is_one_line(url):
    with pytest.raises(InputError) as caught:
        open_store(url)
    assert url in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_failed_write_leaves_the_old_content_and_nothing_else(tmp_path):
    store = LocalStore(tmp_path)
    store.write("a", b"old")
    # The system refuses files of more than 1000 bytes, as a full disk would.
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(OSError, match="too large"):
            store.write("a", b"new" * 1000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert store.read("a") == b"old"
    assert os.listdir(tmp_path) == ["a"]


def test_others_may_read_what_is_written(tmp_path):
    before = os.umask(0o022)
    try:
        LocalStore(tmp_path).write("a", b"1")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o644
    assert os.umask(before) == before


def test_a_file_where_a_folder_should_be_is_an_os_error(tmp_path):
    (tmp_path / "run").write_bytes(b"a file")
    with pytest.raises(OSError, match="run"):
        LocalStore(tmp_path).write("run/a", b"1")


WRITER = """
import sys
from lvae_core.storage import LocalStore
store = LocalStore(sys.argv[1])
print("ready", flush=True)
k = 0
while True:
    k = (k + 1) % 250
    store.write("file", bytes([k]) * (100_000 + 10_000 * k))
"""


def test_a_writer_killed_at_any_moment_leaves_a_whole_file(tmp_path):
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
                # Readers beside the writer never see half a file, either.
                k, end = 0, time.monotonic() + 20
                while k < 2 + attempt and time.monotonic() < end:
                    if store.exists("file"):
                        k = assert_whole(store.read("file"))
                time.sleep(0.001 * attempt)
            finally:
                process.send_signal(signal.SIGKILL)
        assert process.returncode == -signal.SIGKILL
        assert store.names() == ["file"], "what is half written is not listed"
        seen.add(assert_whole(store.read("file")))
    assert len(seen) > 1, "the writer was killed at more than one point"


def assert_whole(data: bytes) -> int:
    """The number of a file that the writer wrote."""
    k = data[0]
    assert data == bytes([k]) * (100_000 + 10_000 * k)
    return k
