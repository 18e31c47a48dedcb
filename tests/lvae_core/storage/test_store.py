"""The conformance suite of every store: a folder, an S3 server, and memory."""

import subprocess
import threading
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lvae_core.errors import InputError
from lvae_core.storage.fsspec_store import FsspecStore
from lvae_core.storage.local import LocalStore
from lvae_core.storage.retrying import RetryingStore
from lvae_core.storage.store import Store, open_store

from ...commands import python

URLS: dict[str, Callable[[pytest.FixtureRequest, Path], str]] = {
    "local": lambda _, folder: str(folder / "deep" / "root"),
    "file": lambda _, folder: f"file://{folder}/deep/root",
    "memory": lambda _request, _folder: f"memory://{uuid.uuid4().hex}/root",
    "s3": lambda request, _: f"{request.getfixturevalue('s3').url}/deep/root",
}


@pytest.fixture(params=["local", "file", "memory", "s3", "patient local", "patient s3"])
def store(request, tmp_path) -> Store:
    """An empty store whose root does not exist yet."""
    kind = request.param.removeprefix("patient ")
    store = open_store(URLS[kind](request, tmp_path))
    return store if kind == request.param else RetryingStore(store, 60.0)


def test_reading_returns_what_was_written(store):
    for data in (b"", b"\x00\xff\n\r\n", b"x" * 3_000_000):
        store.write("run/file.bin", data)
        assert store.read("run/file.bin") == data


def test_a_write_replaces_the_whole_content(store):
    store.write("a", b"long content")
    store.write("a", b"short")
    assert store.read("a") == b"short"
    assert store.names() == ["a"]


def test_reading_a_missing_file_raises_file_not_found(store):
    with pytest.raises(FileNotFoundError):
        store.read("nothing")
    store.write("run/a", b"1")
    with pytest.raises(FileNotFoundError):
        store.read("run/b")


def test_files_and_folders_exist(store):
    assert not store.exists("run")
    assert not store.exists("run/a")
    store.write("run/a", b"1")
    assert store.exists("run")
    assert store.exists("run/a")
    assert not store.exists("run/b")
    assert not store.exists("ru")


def test_names_are_those_directly_in_the_folder_and_sorted(store):
    assert store.names() == []
    assert store.names("run") == []
    for path in ("run/b", "run/a", "run/deep/c", "run2/d", "top"):
        store.write(path, b"1")
    assert store.names() == ["run", "run2", "top"]
    assert store.names("run") == ["a", "b", "deep"]
    assert store.names("run/deep") == ["c"]
    assert store.names("run/a") == [], "a file is not a folder"


def test_rename_replaces_the_target(store):
    store.write("run/a", b"new")
    store.write("run/b", b"old")
    store.rename("run/a", "run/b")
    assert store.names("run") == ["b"]
    assert store.read("run/b") == b"new"


def test_renaming_a_missing_file_raises_file_not_found(store):
    store.write("run/a", b"1")
    with pytest.raises(FileNotFoundError):
        store.rename("run/none", "run/b")


def test_deleting_a_missing_file_does_nothing(store):
    store.delete("run/a")
    store.write("run/a", b"1")
    store.delete("run/a")
    store.delete("run/a")
    assert not store.exists("run/a")


def test_another_store_at_the_same_address_sees_the_files(store):
    store.write("run/a", b"1")
    again = open_store(store.url)
    assert again.read("run/a") == b"1"
    again.write("run/a", b"2")
    assert store.read("run/a") == b"2"
    assert store.names("run") == ["a"]


def test_only_the_first_creation_of_a_file_succeeds(store):
    assert store.create("run/a", b"first") is True
    assert store.create("run/a", b"second") is False
    assert store.create("run/a", b"first") is False, "the file existed, even with the same content"
    assert store.read("run/a") == b"first"
    assert store.names("run") == ["a"]
    store.delete("run/a")
    assert store.create("run/a", b"third") is True
    assert store.read("run/a") == b"third"


def test_creating_an_existing_file_changes_nothing(store):
    store.write("run/a", b"written")
    assert store.create("run/a", b"created") is False
    assert store.read("run/a") == b"written"
    store.create("run/b", b"created")
    store.write("run/b", b"written")
    assert store.read("run/b") == b"written"


def test_only_one_of_several_threads_creates_a_file(store):
    count, rounds = 8, 5
    barrier = threading.Barrier(count, timeout=240)  # if one thread fails, the others must not wait forever

    def compete(me: int) -> list[bool]:
        won = []
        for k in range(rounds):
            barrier.wait()
            won.append(store.create(f"run/{k}", bytes([me]) * 1000))
        return won

    with ThreadPoolExecutor(count) as pool:
        won = list(pool.map(compete, range(count)))
    for k in range(rounds):
        winners = [me for me in range(count) if won[me][k]]
        assert len(winners) == 1
        assert store.read(f"run/{k}") == bytes(winners) * 1000
    assert store.leftovers("run") == []


COMPETE = """
import sys
from lvae_core.storage.store import open_store
url, me, rounds = sys.argv[1], sys.argv[2].encode(), int(sys.argv[3])
store = open_store(url)
store.exists("run")  # opens the connection and loads the library
for k in range(rounds):
    print("ready", flush=True)
    sys.stdin.readline()
    print(store.create(f"run/{k}", me * 1000), flush=True)
"""


@pytest.mark.parametrize("kind", ["local", "s3"])
def test_only_one_of_several_processes_creates_a_file(kind, request, tmp_path):
    url, rounds, names = URLS[kind](request, tmp_path), 10, "abcd"
    processes = [
        subprocess.Popen(
            [*python(), "-c", COMPETE, url, me, str(rounds)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        for me in names
    ]
    store, winners = open_store(url), []
    try:
        for k in range(rounds):
            assert {process.stdout.readline() for process in processes} == {"ready\n"}
            for process in processes:
                process.stdin.write("go\n")
            answers = [process.stdout.readline() for process in processes]
            assert sorted(answers) == ["False\n", "False\n", "False\n", "True\n"]
            winners.append(names[answers.index("True\n")])
            assert store.read(f"run/{k}") == winners[-1].encode() * 1000
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    print("winners", winners)


def test_completed_writes_leave_no_leftovers(store):
    store.write("run/a", b"1")
    store.create("run/b", b"1")
    store.create("run/b", b"2")
    assert store.leftovers("run") == []
    assert store.leftovers("none") == []
    assert store.leftovers("run/a") == []


def test_file_names_may_contain_any_character(store):
    for name in ("[a]*?", "ü %41+&#", "a b"):
        assert store.create(f"run/{name}", name.encode())
        store.rename(f"run/{name}", f"run/{name}.damaged-1")
        assert store.read(f"run/{name}.damaged-1") == name.encode()
        assert store.names("run") == [f"{name}.damaged-1"]
        store.delete(f"run/{name}.damaged-1")


def test_a_trailing_slash_does_not_change_the_address(store):
    store.write("run/a", b"1")
    assert open_store(store.url + "/").read("run/a") == b"1"


def test_the_address_selects_the_class_of_store(tmp_path):
    assert isinstance(open_store(tmp_path), LocalStore)
    # fsspec would write in place, so a reader could see half a file.
    assert isinstance(open_store(f"file://{tmp_path}"), LocalStore)
    assert open_store(f"file://{tmp_path}").url == str(tmp_path)
    assert isinstance(open_store("memory://a"), FsspecStore)
    relative = open_store("some/place")
    assert relative.url == str(Path.cwd() / "some/place")
    assert open_store("~/x").url == str(Path.home() / "x")


@pytest.mark.parametrize("url", ["s3://", "s3:///prefix", "gs://", "memory://"])
def test_the_error_for_an_address_without_a_bucket_is_one_line(url):
    with pytest.raises(InputError, match=f"{url}: names no bucket; give an address such as "):
        open_store(url)


@pytest.mark.parametrize("url", ["nosuchscheme://bucket/x", "s4://bucket"])
def test_the_error_for_an_unknown_scheme_is_one_line(url):
    with pytest.raises(InputError) as caught:
        open_store(url)
    assert url in str(caught.value)
    assert "\n" not in str(caught.value)
