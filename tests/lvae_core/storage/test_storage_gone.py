"""A local store whose root folder disappears, for good or briefly, is never treated as empty."""

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
    assert not isinstance(caught.value, FileNotFoundError), (
        "FileNotFoundError would mean that a file is missing"
    )
    assert not store.root.exists()


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("seen_by", [o for o in OPERATIONS if not o.startswith("rename")])
def test_a_root_that_disappears_after_use_is_an_error_not_an_empty_store(tmp_path, seen_by, operation):
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
def test_a_root_that_disappears_after_opening_is_an_error_not_an_empty_store(tmp_path, operation):
    fill(tmp_path / "root")
    store = open_store(tmp_path / "root")
    (tmp_path / "root").rename(tmp_path / "away")
    assert_gone(operation, store)


def test_a_root_made_by_the_first_write_is_not_made_again(tmp_path):
    store = open_store(tmp_path / "deep" / "root")
    store.write("run/a", b"1")
    (tmp_path / "deep").rename(tmp_path / "away")
    for operation in OPERATIONS:
        assert_gone(operation, store)
    assert not (tmp_path / "deep").exists()


@pytest.mark.parametrize("operation", OPERATIONS)
def test_without_create_a_missing_root_is_not_made(tmp_path, operation):
    store = open_store(tmp_path / "deep" / "root", create=False)
    assert_gone(operation, store)
    assert list(tmp_path.iterdir()) == []
    fill(tmp_path / "deep" / "root")
    OPERATIONS[operation](store)
    assert open_store(f"file://{tmp_path}/deep/root", create=False).names() == ["run"]


def test_without_create_folders_below_an_existing_root_are_made(tmp_path):
    store = open_store(tmp_path, create=False)
    store.write("a/b/c", b"1")
    assert store.create("d/e/f", b"2")
    assert (store.read("a/b/c"), store.read("d/e/f")) == (b"1", b"2")


def test_a_root_that_reappears_before_the_check_is_used(tmp_path, monkeypatch):
    """The root reappears between the failed access and the check whether it exists."""
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


def test_a_root_that_disappears_during_a_write_keeps_its_content(tmp_path, monkeypatch):
    root, away = tmp_path / "root", tmp_path / "away"
    fill(root)
    store, fsync = open_store(root), os.fsync

    def disappear(handle: int) -> None:
        fsync(handle)
        if root.exists():
            root.rename(away)

    monkeypatch.setattr(os, "fsync", disappear)
    for write in (store.write, store.create):
        name = "run/a" if write == store.write else "run/b"
        with pytest.raises(OSError, match="is gone") as caught:
            write(name, b"new")
        assert not isinstance(caught.value, FileNotFoundError)
        assert not root.exists()
        away.rename(root)
    assert store.read("run/a") == b"old"
    assert store.names("run") == ["a"]
    assert len(store.leftovers("run")) == 2, "with the root missing they could not be deleted"


def test_a_folder_that_keeps_disappearing_during_a_write_is_an_error(tmp_path, monkeypatch):
    store, replace = open_store(tmp_path), os.replace

    def disappear(source: str, target: str) -> None:
        shutil.rmtree(tmp_path / "run")
        replace(source, target)

    monkeypatch.setattr(os, "replace", disappear)
    with pytest.raises(OSError, match="run: removed while a was being written") as caught:
        store.write("run/a", b"new")
    assert not isinstance(caught.value, FileNotFoundError)


def test_a_root_that_disappears_at_the_second_attempt_is_an_error(tmp_path, monkeypatch):
    root, away = tmp_path / "root", tmp_path / "away"
    fill(root)
    store, replace = open_store(root), os.replace

    def disappear(source: str, target: str) -> None:
        if (root / "run" / "a").exists():
            shutil.rmtree(root / "run")
        else:
            root.rename(away)
        replace(source, target)

    monkeypatch.setattr(os, "replace", disappear)
    with pytest.raises(OSError, match=f"^storage folder {root} is gone$") as caught:
        store.write("run/a", b"new")
    assert not isinstance(caught.value, FileNotFoundError)
    assert not root.exists()


def test_a_root_that_disappears_while_folders_are_made_is_not_made_again(tmp_path, monkeypatch):
    root, away = tmp_path / "root", tmp_path / "away"
    fill(root)
    store, is_dir = open_store(root), Path.is_dir

    def disappear(path: Path) -> bool:
        answer = is_dir(path)
        if path == root and answer:
            root.rename(away)
        return answer

    monkeypatch.setattr(Path, "is_dir", disappear)
    with pytest.raises(OSError, match=f"^storage folder {root} is gone$"):
        store.write("new/a", b"new")
    assert os.listdir(tmp_path) == ["away"]


def test_a_root_made_by_another_thread_during_the_check_counts_as_present(tmp_path, monkeypatch):
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
