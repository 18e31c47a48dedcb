"""Retries of a store: which errors, when, how often and with which messages, on a simulated clock."""

import contextlib
import errno
import logging
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from lvae_core.messages import printed
from lvae_core.storage.local import LocalStore
from lvae_core.storage.retrying import RetryingStore
from lvae_core.storage.store import Store

from ...logs import expect_log


class Clock:
    """A clock on which only sleeping passes time."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.pauses: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds


class Flaky:
    """A store whose operations call ``before`` first and ``after`` last; either may raise."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.url = store.url
        self.calls: list[str] = []
        self.before: Callable[[], None] = lambda: None
        self.after: Callable[[], None] = lambda: None

    def __getattr__(self, name: str) -> Callable[..., object]:
        def call(*arguments: object) -> object:
            self.calls.append(name)
            self.before()
            result = getattr(self.store, name)(*arguments)
            self.after()
            return result

        return call


def failing(error: OSError, times: int) -> Callable[[], None]:
    left = [times]

    def fail() -> None:
        if left[0]:
            left[0] -= 1
            raise error

    return fail


def os_error(code: int) -> OSError:
    return OSError(code, os.strerror(code), "somewhere")


def error_of(operation: Callable[[], object]) -> OSError:
    try:
        operation()
    except OSError as error:
        return error
    return pytest.fail("nothing was raised")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def flaky(tmp_path) -> Flaky:
    store = LocalStore(tmp_path)
    store.write("run/a", b"content")
    return Flaky(store)


@pytest.fixture
def patient(flaky, clock) -> RetryingStore:
    return RetryingStore(flaky, clock=clock, sleep=clock.sleep)


OPERATIONS: dict[str, Callable[[RetryingStore], object]] = {
    "read": lambda store: store.read("run/a"),
    "write": lambda store: store.write("run/a", b"new"),
    "create": lambda store: store.create("run/b", b"new"),
    "exists": lambda store: store.exists("run/a"),
    "names": lambda store: store.names("run"),
    "leftovers": lambda store: store.leftovers("run"),
    "rename": lambda store: store.rename("run/a", "run/c"),
    "delete": lambda store: store.delete("run/a"),
}
ANSWERS = {"read": b"content", "create": True, "exists": True, "names": ["a"], "leftovers": []}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_an_operation_succeeds_after_a_temporary_failure(patient, flaky, clock, operation):
    flaky.before = failing(os_error(errno.ENOSPC), 9)
    with expect_log("lvae.storage") as warnings:
        assert OPERATIONS[operation](patient) == ANSWERS.get(operation)
    assert flaky.calls == [operation] * 10
    assert clock.pauses == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0, 5.0])
    path = "run" if operation in ("names", "leftovers") else "run/b" if operation == "create" else "run/a"
    assert [record.getMessage() for record in warnings] == [
        f"{flaky.url}/{path}: No space left on device; trying again for up to 60 s"
    ], "an outage is reported once"
    assert warnings[0].pathname == __file__, "the warning points to the line that called the store"


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_lasting_failure_is_raised_after_a_minute(patient, flaky, clock, operation):
    flaky.before = failing(os_error(errno.EIO), 1000)
    with expect_log("lvae.storage"):
        error = error_of(lambda: OPERATIONS[operation](patient))
    assert str(error) == "[Errno 5] Input/output error; tried again for 60 s: 'somewhere'"
    assert error.errno == errno.EIO
    assert sum(clock.pauses) == pytest.approx(60.0), "the whole time is used and not exceeded"
    # 0.1 + 0.2 + ... + 3.2 = 6.3; then ten pauses of 5 s up to 56.3; then the rest.
    assert clock.pauses[6:] == pytest.approx([5.0] * 10 + [3.7])


def test_an_error_without_an_errno_keeps_its_message(patient, flaky, clock):
    flaky.before = failing(OSError("storage folder x is gone"), 1000)
    with expect_log("lvae.storage", ": storage folder x is gone; trying again for up to 60 s$"):
        error = error_of(lambda: patient.read("run/a"))
    assert str(error) == "storage folder x is gone; tried again for 60 s"


def test_a_warning_about_the_root_names_the_address_of_the_store(patient, flaky):
    flaky.before = failing(OSError("away"), 1)
    with expect_log("lvae.storage") as warnings:
        patient.names()
    assert warnings[0].getMessage() == f"{flaky.url}: away; trying again for up to 60 s"


FINAL = ["ENOENT", "EEXIST", "ENOTDIR", "EISDIR", "EACCES", "EPERM", "EROFS", "EINVAL", "EFBIG", "ELOOP"]
FINAL += ["ENAMETOOLONG"]
PASSING = ["ENOSPC", "EDQUOT", "EIO", "ESTALE", "EBUSY", "EAGAIN", "EMFILE", "ENOMEM", "EINTR", "ENODEV"]
PASSING += ["ENXIO", "ETIMEDOUT", "ECONNRESET", "ECONNREFUSED", "ENOTCONN", "EHOSTDOWN", "ENETUNREACH"]


@pytest.mark.parametrize("name", FINAL)
def test_permanent_errors_are_raised_at_once(patient, flaky, clock, name):
    error = os_error(getattr(errno, name))
    flaky.before = failing(error, 1)
    assert error_of(lambda: patient.read("run/a")) is error
    assert clock.pauses == []


@pytest.mark.parametrize("name", PASSING)
def test_transient_errors_are_retried(patient, flaky, clock, name):
    code = getattr(errno, name)
    flaky.before = failing(os_error(code), 1)
    with expect_log("lvae.storage", os.strerror(code)):
        assert patient.read("run/a") == b"content"
    assert clock.pauses == [0.1]


def test_other_exceptions_are_not_retried(patient, flaky, clock):
    def interrupt() -> None:
        raise KeyboardInterrupt

    flaky.before = interrupt
    with pytest.raises(KeyboardInterrupt):
        patient.read("run/a")
    assert clock.pauses == []


def test_a_permanent_error_ends_the_retries(patient, flaky, clock):
    errors = [os_error(errno.ESTALE), os_error(errno.ESTALE), os_error(errno.EROFS)]

    def fail() -> None:
        raise errors[len(flaky.calls) - 1]

    flaky.before = fail
    with expect_log("lvae.storage"), pytest.raises(OSError, match="Read-only"):
        patient.write("run/a", b"new")
    assert clock.pauses == [0.1, 0.2]


def test_with_zero_seconds_nothing_is_retried(flaky, clock):
    error = os_error(errno.EIO)
    flaky.before = failing(error, 1)
    hasty = RetryingStore(flaky, 0.0, clock=clock, sleep=clock.sleep)
    assert error_of(lambda: hasty.read("run/a")) is error


def test_the_duration_of_attempts_counts_towards_the_limit(flaky, clock):
    """Every attempt takes 40 seconds until its client gives up."""

    def slow() -> None:
        clock.now += 40.0
        raise TimeoutError("no answer")

    flaky.before = slow
    patient = RetryingStore(flaky, clock=clock, sleep=clock.sleep)
    with expect_log("lvae.storage"):
        assert str(error_of(lambda: patient.read("run/a"))) == "no answer; tried again for 80.3 s"
    # Attempts fail at 40, 80.1 and 120.3 seconds; only after the last have 60 seconds of retries passed.
    assert len(flaky.calls) == 3


def test_a_creation_whose_response_was_lost_counts_as_created(patient, flaky):
    flaky.after = failing(os_error(errno.ETIMEDOUT), 1)
    with expect_log("lvae.storage"):
        assert patient.create("run/b", b"mine") is True
    assert flaky.store.read("run/b") == b"mine"
    assert patient.create("run/b", b"mine") is False, "this time no response was lost: the file existed"


def test_a_file_created_by_another_during_the_outage_is_not_ours(patient, flaky):
    def fail() -> None:
        flaky.before = lambda: None
        flaky.store.create("run/b", b"theirs")
        raise os_error(errno.ETIMEDOUT)

    flaky.before = fail
    with expect_log("lvae.storage"):
        assert patient.create("run/b", b"mine") is False
    assert flaky.store.read("run/b") == b"theirs"


def test_a_file_created_and_deleted_by_another_during_the_outage_is_not_ours(patient, flaky):
    """The other file is deleted before it can be compared; it must not count as created by this call."""

    def vanish() -> None:
        if flaky.calls[-1] == "read":
            flaky.store.delete("run/b")

    def fail() -> None:
        flaky.before = vanish
        flaky.store.create("run/b", b"theirs")
        raise os_error(errno.ETIMEDOUT)

    flaky.before = fail
    with expect_log("lvae.storage"):
        assert patient.create("run/b", b"mine") is False


def test_errors_while_comparing_the_content_are_retried(patient, flaky):
    flaky.after = failing(os_error(errno.ETIMEDOUT), 1)
    fail_read = failing(os_error(errno.ETIMEDOUT), 2)
    flaky.before = lambda: fail_read() if flaky.calls[-1] == "read" else None
    with expect_log("lvae.storage") as warnings:
        assert patient.create("run/b", b"mine") is True
    assert flaky.calls == ["create", "create", "read", "create", "read", "create", "read"]
    assert len(warnings) == 1


def test_a_rename_whose_response_was_lost_counts_as_done(patient, flaky):
    flaky.after = failing(os_error(errno.ETIMEDOUT), 1)
    with expect_log("lvae.storage"):
        patient.rename("run/a", "run/c")
    assert flaky.store.names("run") == ["c"]
    with pytest.raises(FileNotFoundError):
        patient.rename("run/a", "run/c")


def test_renaming_a_missing_file_is_an_error_even_after_a_retry(patient, flaky):
    flaky.before = failing(os_error(errno.ETIMEDOUT), 1)
    with expect_log("lvae.storage"), pytest.raises(FileNotFoundError):
        patient.rename("run/none", "run/c")


def test_retries_wait_in_real_time_by_default(flaky):
    flaky.before = failing(os_error(errno.EIO), 1000)
    before = time.monotonic()
    with expect_log("lvae.storage", "trying again for up to 0.3 s"):
        error = error_of(lambda: RetryingStore(flaky, 0.3).read("run/a"))
    assert "; tried again for " in str(error)
    assert time.monotonic() - before >= 0.3
    assert 2 <= len(flaky.calls) <= 3, "at 0, after 0.1, and after 0.2 more unless the machine is busy"


def test_programs_can_silence_the_warning(patient, flaky):
    flaky.before = failing(os_error(errno.EIO), 1)
    logger = logging.getLogger("lvae.storage")
    logger.setLevel(logging.ERROR)
    try:
        assert patient.read("run/a") == b"content"  # any warning would fail the test
    finally:
        logger.setLevel(logging.NOTSET)


def test_after_a_timeout_the_store_is_tried_once_per_call(patient, flaky, clock):
    flaky.before = failing(os_error(errno.EIO), 1000)
    with expect_log("lvae.storage"):
        error_of(lambda: patient.read("run/a"))
    waited, asked = sum(clock.pauses), len(flaky.calls)
    for operation in OPERATIONS.values():  # and without a warning
        assert error_of(lambda operation=operation: operation(patient)).errno == errno.EIO
    assert (sum(clock.pauses), len(flaky.calls)) == (waited, asked + len(OPERATIONS))
    flaky.before = failing(FileNotFoundError(), 1)  # this is an answer of the store
    error_of(lambda: patient.read("run/a"))
    flaky.before = failing(os_error(errno.EIO), 3)
    with expect_log("lvae.storage"):
        assert patient.read("run/a") == b"content"


def test_only_one_of_several_threads_reports_an_outage(flaky):
    patient, all_here = RetryingStore(flaky, pause=0.01), threading.Barrier(8)
    away = threading.Event()
    away.set()

    def fail() -> None:
        if away.is_set():
            with contextlib.suppress(threading.BrokenBarrierError):
                all_here.wait(10)  # every thread fails once before any may continue
            raise os_error(errno.EIO)

    def read_by_all() -> None:
        with ThreadPoolExecutor(8) as pool:
            found = [pool.submit(patient.read, "run/a") for _ in range(8)]
            while len(flaky.calls) < 16:
                time.sleep(0.01)
            away.clear()
            all_here.abort()
            assert [future.result() for future in found] == [b"content"] * 8

    flaky.before = fail
    with expect_log("lvae.storage") as warnings:
        read_by_all()
    assert len(warnings) == 1


def test_every_outage_is_printed_as_one_line(patient, flaky, capsys):
    with printed(), expect_log("lvae.storage"):
        for _ in range(2):
            flaky.before = failing(os_error(errno.ENOSPC), 1)
            patient.read("run/a")
    line = f"warning: {flaky.url}/run/a: No space left on device; trying again for up to 60 s"
    assert capsys.readouterr().err.splitlines() == [line, line]
