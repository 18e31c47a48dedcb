"""The fsspec store: translated library errors, and exclusive creation without atomic requests."""

import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from unittest.mock import Mock

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from lvae_core.errors import InputError, describe
from lvae_core.storage.fsspec_store import FsspecStore

OPERATIONS: list[Callable[[FsspecStore], object]] = [
    lambda store: store.read("run/a"),
    lambda store: store.write("run/b", b"new"),
    lambda store: store.create("run/b", b"new"),
    lambda store: store.exists("run/a"),
    lambda store: store.names("run"),
    lambda store: store.rename("run/a", "run/b"),
    lambda store: store.delete("run/a"),
]


def test_only_one_thread_creates_a_file_in_memory_although_the_library_checks_first(monkeypatch):
    store, exists = FsspecStore("memory://race/root"), MemoryFileSystem.exists

    def look_slowly(self: MemoryFileSystem, path: str, **options: object) -> bool:
        answer = exists(self, path, **options)
        time.sleep(0.01)
        return answer

    monkeypatch.setattr(MemoryFileSystem, "exists", look_slowly)
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda me: store.create("a", bytes([me])), range(4)))
    assert sorted(answers) == [False, False, False, True]
    assert store.read("a") == bytes([answers.index(True)])
    store.delete("a")


class HttpError(Exception):
    """An error like that of gcsfs, which is not installed here."""

    def __init__(self, code: int) -> None:
        super().__init__(f"words of the server,\n{code}")
        self.code = code


@pytest.mark.parametrize(
    ("url", "raised", "message"),
    [
        (
            "s3://b/x",
            ImportError("Install s3fs"),
            "Install s3fs; pip install -c constraints.txt -e '.[s3]'",
        ),
        (
            "gs://b/x",
            ImportError("Install gcsfs"),
            "Install gcsfs; pip install -c constraints.txt -e '.[gcs]'",
        ),
        ("sftp://h/x", ImportError("needs paramiko"), "needs paramiko"),
        ("github://x/y", TypeError("2 arguments\n are missing"), "not a storage address (2 arguments are"),
        ("nope://x/y", ValueError("Protocol not known: nope"), "not a storage address (Protocol not"),
    ],
)
def test_an_address_that_cannot_be_opened_is_one_line_with_what_to_do(monkeypatch, url, raised, message):
    monkeypatch.setattr("fsspec.core.url_to_fs", Mock(side_effect=raised))
    with pytest.raises(InputError, match=f"^{re.escape(f'{url}: {message}')}") as caught:
        FsspecStore(url)
    assert ("pip install" in str(caught.value)) == ("pip install" in message)


@pytest.mark.parametrize(
    "raised", [ConnectionRefusedError(111, "Connection refused"), RuntimeError("no banner")]
)
def test_a_server_that_cannot_be_reached_is_named(monkeypatch, raised):
    monkeypatch.setattr("fsspec.core.url_to_fs", Mock(side_effect=raised))
    words = getattr(raised, "strerror", None) or str(raised)
    with pytest.raises(OSError, match=words) as caught:
        FsspecStore("ftp://host/x")
    assert describe(caught.value) == f"ftp://host/x: {words}"


class NoCredentialsError(Exception):
    pass


LIBRARY_ERRORS = [
    (HttpError(401), PermissionError, "HttpError: words of the server, 401"),
    (HttpError(403), PermissionError, "HttpError: words of the server, 403"),
    (HttpError(503), OSError, "HttpError: words of the server, 503"),
    (OSError("Forbidden: b/x/o/y\nNo access"), PermissionError, "Forbidden: b/x/o/y No access"),
    (
        NoCredentialsError("none"),
        PermissionError,
        "NoCredentialsError: none; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE",
    ),
    (RuntimeError("odd\n  words"), OSError, "RuntimeError: odd words"),
    (ValueError("Bad Request"), OSError, "[Errno 22] ValueError: Bad Request"),
    (TimeoutError("late"), TimeoutError, "late"),
]


@pytest.mark.parametrize(("raised", "kind", "text"), LIBRARY_ERRORS, ids=lambda value: str(value)[:20])
def test_library_errors_become_os_errors_of_one_line(monkeypatch, raised, kind, text):
    store = FsspecStore("memory://somewhere/root")

    def fail(*_: object, **__: object) -> None:
        raise raised

    for name in ("cat_file", "pipe_file", "info", "ls", "cp_file", "rm_file"):
        monkeypatch.setattr(MemoryFileSystem, name, fail)
    for operation in OPERATIONS:
        with pytest.raises(kind) as caught:
            operation(store)
        assert type(caught.value) is kind
        assert str(caught.value) == text


def test_memory_errors_are_not_translated(monkeypatch):
    def fail(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr(MemoryFileSystem, "cat_file", fail)
    with pytest.raises(MemoryError):
        FsspecStore("memory://somewhere/root").read("a")
