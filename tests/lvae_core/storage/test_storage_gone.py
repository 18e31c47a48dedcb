"""A local store whose root folder goes away, for good or for a moment, is never taken for an empty one."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from lvae_core.storage.local import LocalStore
from lvae_core.storage.store import open_store

OPERATIONS: dict[str, Callable[[LocalStore], object]] = {
    "read": lambda store: store.read("run/a"),
    "write": lambda store: store.write("run/b", b"new"),
    "create": lambda store: store.create("run/b", b"new"),
    "create what is there": lambda store: store.create("run/a", b"new"),
    "exists": lambda store: store.exists("run/a"),
    "exists not": lambda store: store.exists("run/none"),
    "root exists": lambda store: store.exists(""),
    "names": lambda store: store.names("run"),
    "root names": lambda store: store.names(),
    "leftovers": lambda store: store.leftovers("run"),
    "rename": lambda store: store.rename("run/a", "run/b"),
    "delete": lambda store: store.delete("run/a"),
    "delete nothing": lambda store: store.delete("run/none"),
}


def fill(root: Path) -> None:
    (root / "run").mkdir(parents=True)
    (root / "run" / "a").write_bytes(b"old")


def assert_gone(operation: str, store: LocalStore) -> None:
    with pytest.raises(OSError, match=f"^storage folder {store.root} is gone$") as caught:
        OPERATIONS[operation](store)
    assert not isinstance(caught.value, FileNotFoundError), "it says nothing of what the store holds"
    assert not store.root.exists()


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("seen_by", [o for o in OPERATIONS if not o.startswith("rename")])
def test_a_root_that_was_seen_and_is_gone_is_not_empty(tmp_path, seen_by, operation):
    root, away = tmp_path / "root", tmp_path / "away"
    store = open_store(root)
    fill(root)
    OPERATIONS[seen_by](store)
    root.rename(away)
    assert_gone(operation, store)
    shutil.rmtree(away)
    fill(root)
    OPERATIONS[operation](store)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_root_that_was_there_when_the_store_was_opened_is_not_empty(tmp_path, operation):
    fill(tmp_path / "root")
    store = open_store(tmp_path / "root")
    (tmp_path / "root").rename(tmp_path / "away")
    assert_gone(operation, store)


def test_a_root_that_was_made_by_the_first_write_is_not_made_again(tmp_path):
    store = open_store(tmp_path / "deep" / "root")
    store.write("run/a", b"1")
    (tmp_path / "deep").rename(tmp_path / "away")
    for operation in OPERATIONS:
        assert_gone(operation, store)
    assert not (tmp_path / "deep").exists()


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_root_that_must_be_there_is_not_made(tmp_path, operation):
    store = open_store(tmp_path / "deep" / "root", create=False)
    assert_gone(operation, store)
    assert list(tmp_path.iterdir()) == []
    fill(tmp_path / "deep" / "root")
    OPERATIONS[operation](store)
    assert open_store(f"file://{tmp_path}/deep/root", create=False).names() == ["run"]


def test_folders_below_the_root_are_made_where_it_must_be_there(tmp_path):
    store = open_store(tmp_path, create=False)
    store.write("a/b/c", b"1")
    assert store.create("d/e/f", b"2")
    assert (store.read("a/b/c"), store.read("d/e/f")) == (b"1", b"2")


def test_a_root_that_comes_back_between_two_looks_was_never_empty(tmp_path, monkeypatch):
    """The worst moment: the first look found nothing, and the second finds the root."""
    root, away = tmp_path / "root", tmp_path / "away"
    fill(root)
    store = open_store(root)
    is_dir = Path.is_dir

    def come_back(path: Path) -> bool:
        if path == root and away.exists():
            away.rename(root)
        return is_dir(path)

    monkeypatch.setattr(Path, "is_dir", come_back)

    def away_for_a_moment(operation: Callable[[], object]) -> object:
        root.rename(away)
        result = operation()
        assert root.exists()
        return result

    assert away_for_a_moment(lambda: store.read("run/a")) == b"old"
    assert away_for_a_moment(lambda: store.exists("run/a")) is True
    assert away_for_a_moment(lambda: store.names("run")) == ["a"]
    assert away_for_a_moment(lambda: store.names()) == ["run"]
    away_for_a_moment(lambda: store.write("run/b", b"new"))
    assert away_for_a_moment(lambda: store.create("run/b", b"newer")) is False
    away_for_a_moment(lambda: store.rename("run/a", "run/c"))
    away_for_a_moment(lambda: store.delete("run/b"))
    assert os.listdir(root / "run") == ["c"]


def test_a_root_that_goes_during_a_write_keeps_what_it_holds(tmp_path, monkeypatch):
    root, away = tmp_path / "root", tmp_path / "away"
    fill(root)
    store, fsync = open_store(root), os.fsync

    def go(handle: int) -> None:
        fsync(handle)
        if root.exists():
            root.rename(away)

    monkeypatch.setattr(os, "fsync", go)
    for write in (store.write, store.create):
        name = "run/a" if write == store.write else "run/b"
        with pytest.raises(OSError, match="is gone") as caught:
            write(name, b"new")
        assert not isinstance(caught.value, FileNotFoundError)
        assert not root.exists()
        away.rename(root)
    assert store.read("run/a") == b"old"
    assert store.names("run") == ["a"]
    assert len(store.leftovers("run")) == 2, "there was no way to take them back"


def test_a_folder_that_goes_again_and_again_during_a_write_is_told(tmp_path, monkeypatch):
    store, replace = open_store(tmp_path), os.replace

    def go(source: str, target: str) -> None:
        shutil.rmtree(tmp_path / "run")
        replace(source, target)

    monkeypatch.setattr(os, "replace", go)
    with pytest.raises(OSError, match="run: removed while a was being written") as caught:
        store.write("run/a", b"new")
    assert not isinstance(caught.value, FileNotFoundError)


def test_a_root_that_goes_at_the_second_attempt_is_told(tmp_path, monkeypatch):
    root, away = tmp_path / "root", tmp_path / "away"
    fill(root)
    store, replace = open_store(root), os.replace

    def go(source: str, target: str) -> None:
        if (root / "run" / "a").exists():
            shutil.rmtree(root / "run")
        else:
            root.rename(away)
        replace(source, target)

    monkeypatch.setattr(os, "replace", go)
    with pytest.raises(OSError, match=f"^storage folder {root} is gone$") as caught:
        store.write("run/a", b"new")
    assert not isinstance(caught.value, FileNotFoundError)
    assert not root.exists()


def test_a_root_that_goes_while_folders_are_made_is_not_made_anew(tmp_path, monkeypatch):
    root, away = tmp_path / "root", tmp_path / "away"
    fill(root)
    store, is_dir = open_store(root), Path.is_dir

    def go(path: Path) -> bool:
        answer = is_dir(path)
        if path == root and answer:
            root.rename(away)
        return answer

    monkeypatch.setattr(Path, "is_dir", go)
    with pytest.raises(OSError, match=f"^storage folder {root} is gone$"):
        store.write("new/a", b"new")
    assert os.listdir(tmp_path) == ["away"]


def test_a_root_that_another_thread_makes_during_the_look_is_not_thought_gone(tmp_path, monkeypatch):
    root = tmp_path / "root"
    store, is_dir = open_store(root), Path.is_dir

    def look_away(path: Path) -> bool:
        answer = is_dir(path)
        if path == root and not answer:
            monkeypatch.undo()
            store.write("run/b", b"of the other thread")
        return answer

    monkeypatch.setattr(Path, "is_dir", look_away)
    assert store.create("run/a", b"new")
    assert store.names("run") == ["a", "b"]
