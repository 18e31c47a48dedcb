"""The object store against a real S3 server: OSErrors, few requests, complete objects."""

import errno
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable

import fsspec
import pytest

from lvae_core.errors import describe
from lvae_core.storage.retrying import is_transient
from lvae_core.storage.store import Store, open_store


@pytest.fixture
def store(s3) -> Store:
    """A store with ``run/a`` as the only object of its bucket, and an empty log of requests."""
    store = open_store(f"{s3.url}/root")
    store.write("run/a", b"old")
    s3.proxy.forget()
    return store


@pytest.fixture
def impatient(monkeypatch) -> None:
    """Make the client time out after 0.3 seconds; it tries twice."""
    monkeypatch.setitem(fsspec.config.conf, "s3", {"config_kwargs": {"read_timeout": 0.3}})


OPERATIONS: dict[str, Callable[[Store], object]] = {
    "read": lambda store: store.read("run/a"),
    "write": lambda store: store.write("run/b", b"new"),
    "create": lambda store: store.create("run/b", b"new"),
    "exists": lambda store: store.exists("run/a"),
    "names": lambda store: store.names("run"),
    "rename": lambda store: store.rename("run/a", "run/b"),
    "delete": lambda store: store.delete("run/a"),
}


def error_of(operation: Callable[[], object]) -> OSError:
    try:
        operation()
    except OSError as error:
        return error
    return pytest.fail("nothing was raised")


@pytest.mark.parametrize(
    ("operation", "requests"),
    [
        ("read", ["GET"]),
        ("write", ["PUT"]),
        ("create", ["PUT"]),
        ("exists", ["HEAD"]),
        ("names", ["LIST"]),
        ("rename", ["HEAD", "COPY", "DELETE"]),
        ("delete", ["DELETE"]),
    ],
)
def test_an_operation_takes_few_requests(store, s3, operation, requests):
    OPERATIONS[operation](store)
    assert [request.kind for request in s3.proxy.requests()] == requests


def test_listing_an_empty_folder_lists_no_other_folder(store, s3):
    assert store.names("new") == []
    assert [(request.kind, request.key) for request in s3.proxy.requests()] == [("LIST", "root/new/")]
    s3.proxy.forget()
    assert open_store(f"{s3.url}/other").names() == []
    assert [(request.kind, request.key) for request in s3.proxy.requests()] == [("LIST", "other/")]


def test_all_objects_are_below_the_prefix(store, s3):
    for operation in OPERATIONS.values():
        operation(store)
    assert s3.proxy.requests("PUT")
    for request in s3.proxy.requests():
        assert f"s3://{request.bucket}" == s3.url
        assert request.key.startswith("root/run/")


def test_a_large_object_is_read_by_one_request(store, s3):
    """Parts read separately could come from two versions."""
    data = bytes(range(256)) * 240_000  # 61 MB; s3fs reads more than 50 MiB in parts
    store.write("large", data)
    s3.proxy.forget()
    assert store.read("large") == data
    assert [request.kind for request in s3.proxy.requests()] == ["GET"]


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_missing_bucket_is_an_error_and_is_not_made(s3, operation):
    missing = f"{s3.url}-not"
    error = error_of(lambda: OPERATIONS[operation](open_store(f"{missing}/root")))
    assert not isinstance(error, FileNotFoundError), "FileNotFoundError would mean that a file is missing"
    assert error.strerror == "there is no such bucket"
    assert open_store(f"{s3.url}/root").names() == []
    assert error_of(lambda: open_store(f"{missing}/root").names())


def test_an_invalid_bucket_name_is_an_error(s3):
    error = error_of(lambda: open_store("s3://No_Bucket!/x").names())
    assert "Invalid bucket name" in str(error)
    assert "\n" not in str(error)


REFUSALS = [
    (403, "AccessDenied", PermissionError),
    (403, "InvalidAccessKeyId", PermissionError),
    (403, "SignatureDoesNotMatch", PermissionError),
    (400, "ExpiredToken", PermissionError),
    (500, "InternalError", OSError),
    (503, "SlowDown", OSError),
    (503, "ServiceUnavailable", OSError),
    (400, "BadDigest", OSError),
    (409, "ConditionalRequestConflict", OSError),
    (418, "WhoKnows", OSError),
]


NO_SPACE = [
    (507, "XMinioStorageFull", errno.ENOSPC),
    (400, "XMinioAdminBucketQuotaExceeded", errno.EDQUOT),
    (403, "QuotaExceeded", errno.EDQUOT),
]


@pytest.mark.parametrize(("status", "code", "number"), NO_SPACE, ids=lambda value: str(value))
@pytest.mark.parametrize("operation", ["write", "create"])
def test_a_full_server_or_quota_is_a_full_disk(store, s3, operation, status, code, number):
    s3.proxy.fault("refuse", status=status, code=code)
    error = error_of(lambda: OPERATIONS[operation](store))
    assert error.errno == number
    assert is_transient(error), "there may be space again"
    assert "\n" not in describe(error)
    assert "; free some space" in describe(error)


@pytest.mark.parametrize(("status", "code", "kind"), REFUSALS, ids=lambda value: str(value))
def test_refused_requests_raise_the_matching_class_of_error(store, s3, status, code, kind):
    s3.proxy.fault("refuse", status=status, code=code)
    for operation in ("create", "names"):
        error = error_of(lambda operation=operation: OPERATIONS[operation](store))
        assert isinstance(error, kind), operation
        assert not isinstance(error, FileNotFoundError), operation
        assert isinstance(error, PermissionError) == (kind is PermissionError)
        assert error.errno != errno.EINVAL, "it may be transient"
        assert "\n" not in str(error)
        assert error.__cause__ is not None


@pytest.mark.parametrize("operation", ["read", "write", "names"])
@pytest.mark.parametrize("fault", ["drop", "lose"])
def test_the_error_for_a_broken_connection_is_one_line(store, s3, operation, fault):
    s3.proxy.fault(fault)
    error = error_of(lambda: OPERATIONS[operation](store))
    assert str(error).startswith("ConnectionClosedError: ")
    assert "\n" not in str(error)
    assert type(error.__cause__).__name__ == "ConnectionClosedError"


@pytest.mark.parametrize("operation", ["read", "create"])
def test_the_error_for_a_timeout_is_one_line(impatient, s3, operation):
    store = open_store(f"{s3.url}/root")
    store.write("run/a", b"old")
    fault = s3.proxy.fault("delay", seconds=0.8)
    error = error_of(lambda: OPERATIONS[operation](store))
    assert str(error).startswith("Read timeout on endpoint URL: ")
    assert "\n" not in str(error)
    assert fault.hits == 2, "few attempts, so that the caller soon learns of the failure"


def test_a_truncated_response_is_an_error(store, s3):
    store.write("large", b"x" * 1_000_000)
    s3.proxy.fault("cut", "GET")
    assert str(error_of(lambda: store.read("large"))).startswith("ClientPayloadError: ")


def test_the_error_for_an_unreachable_server_is_one_line(s3, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setitem(fsspec.config.conf, "s3", {"config_kwargs": {"connect_timeout": 1}})
    error = error_of(lambda: open_store(f"{s3.url}/root").read("a"))
    assert str(error) == (
        "EndpointConnectionError: Could not connect to the endpoint URL: "
        f'"http://127.0.0.1:1/{s3.url.removeprefix("s3://")}/root/a"'
    )


def test_missing_credentials_are_a_permission_error(s3, monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setitem(fsspec.config.conf, "s3", {"config_kwargs": {"connect_timeout": 2}})
    error = error_of(lambda: open_store(f"{s3.url}/root").write("a", b""))
    assert isinstance(error, PermissionError)
    assert str(error) == (
        "NoCredentialsError: Unable to locate credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        ", or AWS_PROFILE"
    )


def test_a_creation_whose_response_was_lost_counts_as_created(store, s3):
    """The library repeats the request by itself, which then fails on its own first one."""
    s3.proxy.fault("lose", "PUT", times=1)
    assert store.create("run/b", b"mine") is True
    assert s3.proxy.counts()["PUT"] == 2
    s3.proxy.fault("lose", "PUT", times=1)
    assert store.create("run/b", b"mine") is False, "the same content, but written by another call"
    assert store.read("run/b") == b"mine"


def test_a_file_deleted_before_its_writer_is_checked_is_not_ours(store, s3):
    """The request is refused for a file that is deleted before its writer is checked."""
    s3.proxy.fault("refuse", "PUT", times=1, status=412, code="PreconditionFailed")
    assert store.create("run/b", b"mine") is False


def test_other_wordings_of_a_failed_condition_are_understood(store, s3):
    """Not every S3 server names the failed condition, as s3fs expects."""
    s3.proxy.fault("refuse", "PUT", status=412, code="PreconditionFailed")
    assert store.create("run/a", b"new") is False
    assert store.read("run/a") == b"old"


def test_concurrent_readers_see_complete_objects(store):
    over = threading.Event()

    def write() -> None:
        k = 0
        while not over.is_set():
            k += 1
            store.write("file", bytes([k % 250]) * (100_000 + k % 250))

    writer = threading.Thread(target=write)
    store.write("file", b"\x00" * 100_000)
    writer.start()
    try:
        seen = {assert_whole(store.read("file")) for _ in range(30)}
    finally:
        over.set()
        writer.join()
    assert len(seen) > 1


def assert_whole(data: bytes) -> int:
    assert data == bytes([data[0]]) * (100_000 + data[0])
    return data[0]


WRITER = """
import sys
from lvae_core.storage.store import open_store
store, k = open_store(sys.argv[1]), 0
while True:
    k += 1
    store.write(sys.argv[2], bytes([k % 250]) * (100_000 + k % 250))
    print(k, flush=True)
"""


def test_the_server_of_these_tests_survives_a_client_that_died_within_a_request(store, s3):
    address = s3.proxy.url.removeprefix("http://").split(":")
    with socket.create_connection((address[0], int(address[1]))) as connection:
        connection.sendall(b"PUT /bucket/file HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nhalf")
    store.write("run/b", b"new")
    assert store.read("run/b") == b"new"


def test_a_writer_killed_at_any_moment_leaves_a_complete_object(store):
    names = []
    for attempt in range(3):
        # A server may carry out the last request of a killed writer late: the next one writes another file.
        names.append(f"file-{attempt}")
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, store.url, names[-1]], stdout=subprocess.PIPE, text=True
        ) as process:
            try:
                assert process.stdout is not None
                for _ in range(attempt + 1):
                    process.stdout.readline()
                time.sleep(0.004 * attempt)
            finally:
                process.send_signal(signal.SIGKILL)
        assert assert_whole(store.read(names[-1])) > attempt
        assert store.names() == [*names, "run"]
        assert store.leftovers("") == []
