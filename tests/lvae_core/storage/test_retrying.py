"""What is tried again, when, how often and with what words: on a clock that the test turns."""

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

from ...told import tells


class Clock:
    """Time that passes by sleeping alone."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.pauses: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds


class Flaky:
    """A store whose operations do ``before`` first and ``after`` last; either may raise."""

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
def test_what_fails_for_a_while_is_done_in_the_end(patient, flaky, clock, operation):
    flaky.before = failing(os_error(errno.ENOSPC), 9)
    with tells("lvae.storage") as told:
        assert OPERATIONS[operation](patient) == ANSWERS.get(operation)
    assert flaky.calls == [operation] * 10
    assert clock.pauses == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0, 5.0])
    path = "run" if operation in ("names", "leftovers") else "run/b" if operation == "create" else "run/a"
    assert [record.getMessage() for record in told] == [
        f"{flaky.url}/{path}: No space left on device; trying again for up to 60 s"
    ], "an outage is told once"
    assert told[0].pathname == __file__, "the warning points to who asked"


@pytest.mark.parametrize("operation", OPERATIONS)
def test_what_never_ends_is_raised_after_a_minute(patient, flaky, clock, operation):
    flaky.before = failing(os_error(errno.EIO), 1000)
    with tells("lvae.storage"):
        error = error_of(lambda: OPERATIONS[operation](patient))
    assert str(error) == "[Errno 5] Input/output error; tried again for 60 s: 'somewhere'"
    assert error.errno == errno.EIO
    assert sum(clock.pauses) == pytest.approx(60.0), "to the end, and not beyond"
    # 0.1 + 0.2 + ... + 3.2 = 6.3; then by fives up to 56.3; then the rest.
    assert clock.pauses[6:] == pytest.approx([5.0] * 10 + [3.7])


def test_an_error_without_a_number_keeps_its_words(patient, flaky, clock):
    flaky.before = failing(OSError("storage folder x is gone"), 1000)
    with tells("lvae.storage", ": storage folder x is gone; trying again for up to 60 s$"):
        error = error_of(lambda: patient.read("run/a"))
    assert str(error) == "storage folder x is gone; tried again for 60 s"


def test_the_root_is_told_by_its_address(patient, flaky):
    flaky.before = failing(OSError("away"), 1)
    with tells("lvae.storage") as told:
        patient.names()
    assert told[0].getMessage() == f"{flaky.url}: away; trying again for up to 60 s"


FINAL = ["ENOENT", "EEXIST", "ENOTDIR", "EISDIR", "EACCES", "EPERM", "EROFS", "EINVAL", "EFBIG", "ELOOP"]
FINAL += ["ENAMETOOLONG"]
PASSING = ["ENOSPC", "EDQUOT", "EIO", "ESTALE", "EBUSY", "EAGAIN", "EMFILE", "ENOMEM", "EINTR", "ENODEV"]
PASSING += ["ENXIO", "ETIMEDOUT", "ECONNRESET", "ECONNREFUSED", "ENOTCONN", "EHOSTDOWN", "ENETUNREACH"]


@pytest.mark.parametrize("name", FINAL)
def test_what_waiting_does_not_mend_is_raised_at_once(patient, flaky, clock, name):
    error = os_error(getattr(errno, name))
    flaky.before = failing(error, 1)
    assert error_of(lambda: patient.read("run/a")) is error
    assert clock.pauses == []


@pytest.mark.parametrize("name", PASSING)
def test_what_may_pass_is_tried_again(patient, flaky, clock, name):
    code = getattr(errno, name)
    flaky.before = failing(os_error(code), 1)
    with tells("lvae.storage", os.strerror(code)):
        assert patient.read("run/a") == b"content"
    assert clock.pauses == [0.1]


def test_what_is_no_error_of_the_store_is_not_touched(patient, flaky, clock):
    def interrupt() -> None:
        raise KeyboardInterrupt

    flaky.before = interrupt
    with pytest.raises(KeyboardInterrupt):
        patient.read("run/a")
    assert clock.pauses == []


def test_an_error_that_comes_to_be_final_ends_the_waiting(patient, flaky, clock):
    errors = [os_error(errno.ESTALE), os_error(errno.ESTALE), os_error(errno.EROFS)]

    def fail() -> None:
        raise errors[len(flaky.calls) - 1]

    flaky.before = fail
    with tells("lvae.storage"), pytest.raises(OSError, match="Read-only"):
        patient.write("run/a", b"new")
    assert clock.pauses == [0.1, 0.2]


def test_without_patience_nothing_is_tried_again(flaky, clock):
    error = os_error(errno.EIO)
    flaky.before = failing(error, 1)
    hasty = RetryingStore(flaky, 0.0, clock=clock, sleep=clock.sleep)
    assert error_of(lambda: hasty.read("run/a")) is error


def test_attempts_that_take_long_count(flaky, clock):
    """A client that gives up after 40 seconds."""

    def slow() -> None:
        clock.now += 40.0
        raise TimeoutError("no answer")

    flaky.before = slow
    patient = RetryingStore(flaky, clock=clock, sleep=clock.sleep)
    with tells("lvae.storage"):
        assert str(error_of(lambda: patient.read("run/a"))) == "no answer; tried again for 80.3 s"
    # Failed at 40, 80.1 and 120.3 seconds; only with the last were the 60 seconds over.
    assert len(flaky.calls) == 3


def test_a_creation_whose_answer_was_lost_is_found_again(patient, flaky):
    flaky.after = failing(os_error(errno.ETIMEDOUT), 1)
    with tells("lvae.storage"):
        assert patient.create("run/b", b"mine") is True
    assert flaky.store.read("run/b") == b"mine"
    assert patient.create("run/b", b"mine") is False, "this time nothing was lost: it was there"


def test_a_creation_that_another_won_meanwhile_is_lost(patient, flaky):
    def fail() -> None:
        flaky.before = lambda: None
        flaky.store.create("run/b", b"theirs")
        raise os_error(errno.ETIMEDOUT)

    flaky.before = fail
    with tells("lvae.storage"):
        assert patient.create("run/b", b"mine") is False
    assert flaky.store.read("run/b") == b"theirs"


def test_a_creation_that_another_won_and_released_meanwhile_is_lost(patient, flaky):
    """What was there is gone again when it is to be compared: it was somebody's, so not created here."""

    def vanish() -> None:
        if flaky.calls[-1] == "read":
            flaky.store.delete("run/b")

    def fail() -> None:
        flaky.before = vanish
        flaky.store.create("run/b", b"theirs")
        raise os_error(errno.ETIMEDOUT)

    flaky.before = fail
    with tells("lvae.storage"):
        assert patient.create("run/b", b"mine") is False


def test_an_error_of_the_comparison_is_tried_again_too(patient, flaky):
    flaky.after = failing(os_error(errno.ETIMEDOUT), 1)
    fail_read = failing(os_error(errno.ETIMEDOUT), 2)
    flaky.before = lambda: fail_read() if flaky.calls[-1] == "read" else None
    with tells("lvae.storage") as told:
        assert patient.create("run/b", b"mine") is True
    assert flaky.calls == ["create", "create", "read", "create", "read", "create", "read"]
    assert len(told) == 1


def test_a_renaming_whose_answer_was_lost_is_done(patient, flaky):
    flaky.after = failing(os_error(errno.ETIMEDOUT), 1)
    with tells("lvae.storage"):
        patient.rename("run/a", "run/c")
    assert flaky.store.names("run") == ["c"]
    with pytest.raises(FileNotFoundError):
        patient.rename("run/a", "run/c")


def test_a_renaming_of_nothing_is_told_though_the_store_failed_first(patient, flaky):
    flaky.before = failing(os_error(errno.ETIMEDOUT), 1)
    with tells("lvae.storage"), pytest.raises(FileNotFoundError):
        patient.rename("run/none", "run/c")


def test_it_waits_in_real_time(flaky):
    flaky.before = failing(os_error(errno.EIO), 1000)
    before = time.monotonic()
    with tells("lvae.storage", "trying again for up to 0.3 s"):
        error = error_of(lambda: RetryingStore(flaky, 0.3).read("run/a"))
    assert "; tried again for " in str(error)
    assert time.monotonic() - before >= 0.3
    assert 2 <= len(flaky.calls) <= 3, "at 0, after 0.1, and after 0.2 more unless the machine is busy"


def test_the_warning_is_one_that_programs_can_turn_off(patient, flaky):
    flaky.before = failing(os_error(errno.EIO), 1)
    logger = logging.getLogger("lvae.storage")
    logger.setLevel(logging.ERROR)
    try:
        assert patient.read("run/a") == b"content"  # any message would fail the test
    finally:
        logger.setLevel(logging.NOTSET)


def test_who_was_waited_for_in_vain_is_asked_once_until_there_is_an_answer(patient, flaky, clock):
    flaky.before = failing(os_error(errno.EIO), 1000)
    with tells("lvae.storage"):
        error_of(lambda: patient.read("run/a"))
    waited, asked = sum(clock.pauses), len(flaky.calls)
    for operation in OPERATIONS.values():  # without a warning, too
        assert error_of(lambda operation=operation: operation(patient)).errno == errno.EIO
    assert (sum(clock.pauses), len(flaky.calls)) == (waited, asked + len(OPERATIONS))
    flaky.before = failing(FileNotFoundError(), 1)  # which is an answer
    error_of(lambda: patient.read("run/a"))
    flaky.before = failing(os_error(errno.EIO), 3)
    with tells("lvae.storage"):
        assert patient.read("run/a") == b"content"


def test_of_many_that_meet_an_outage_at_the_same_time_one_tells_it(flaky):
    patient, all_here = RetryingStore(flaky, pause=0.01), threading.Barrier(8)
    away = threading.Event()
    away.set()

    def fail() -> None:
        if away.is_set():
            with contextlib.suppress(threading.BrokenBarrierError):
                all_here.wait(10)  # each has failed once before any is told that it can go on
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
    with tells("lvae.storage") as told:
        read_by_all()
    assert len(told) == 1


def test_outages_are_lines_for_people_each_time(patient, flaky, capsys):
    with printed(), tells("lvae.storage"):
        for _ in range(2):
            flaky.before = failing(os_error(errno.ENOSPC), 1)
            patient.read("run/a")
    line = f"warning: {flaky.url}/run/a: No space left on device; trying again for up to 60 s"
    assert capsys.readouterr().err.splitlines() == [line, line]
