"""A store that outlasts a short outage: it tries again what fails in a way that may pass."""

from __future__ import annotations

import contextlib
import errno
import logging
import threading
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from lvae_core.storage.store import Store

T = TypeVar("T")

_log = logging.getLogger("lvae.storage")

RETRY_SECONDS = 60.0
"""Seconds for which a store that fails is tried again, by commands and by runs."""

# What waiting does not mend: an answer about what is stored, or a request that can never be met. All else
# may pass: a full disk, a device's error, a server that is away, a folder that is not mounted.
_FINAL_CLASSES = (
    FileNotFoundError,
    FileExistsError,
    NotADirectoryError,
    IsADirectoryError,
    PermissionError,
)
_FINAL_CODES = {
    errno.EROFS,
    errno.ENAMETOOLONG,
    errno.ELOOP,
    errno.EINVAL,
    errno.EFBIG,
    errno.ENOTEMPTY,
    errno.EXDEV,
    errno.EMLINK,
    errno.ENOSYS,
    errno.EOPNOTSUPP,
}


class RetryingStore:
    """Any :class:`Store`, asked again with growing pauses while it fails in a way that may pass.

    An outage is one warning to the logger ``lvae.storage``, from one of the threads that meet it.
    A store that was waited for in vain is not waited for again until it has given an answer.

    Args:
        store: what does the work.
        seconds: how long an operation is tried again, from its first failure; 0 for not at all.
        pause: seconds before it is tried for the second time; each pause is twice the one before.
        longest_pause: seconds that no pause exceeds.
        clock, sleep: what tells and passes the time, in seconds.

    Raises (every method):
        OSError: the last error, after ``seconds``, its message telling how long was tried; at once where
            waiting does not mend it.
    """

    def __init__(
        self,
        store: Store,
        seconds: float = RETRY_SECONDS,
        *,
        pause: float = 0.1,
        longest_pause: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.store = store
        self.url = store.url
        self.seconds = seconds
        self._pause = pause
        self._longest_pause = longest_pause
        self._clock = clock
        self._sleep = sleep
        self._lock = threading.Lock()
        self._failing = 0
        """Operations that are being tried again."""
        self._in_vain = False

    def read(self, path: str) -> bytes:
        return self._try(path, lambda: self.store.read(path))

    def write(self, path: str, data: bytes) -> None:
        self._try(path, lambda: self.store.write(path, data))

    def create(self, path: str, data: bytes) -> bool:
        """As :meth:`Store.create`; what several may create must differ, as by a name that each puts in.

        An attempt that failed may have written all the same, its answer lost. So where a later attempt
        finds the very same content, that counts as written by this call.
        """
        unsure = False

        def attempt() -> bool:
            nonlocal unsure
            try:
                return self.store.create(path, data) or (unsure and self._holds(path, data))
            except OSError:
                unsure = True
                raise

        return self._try(path, attempt)

    def exists(self, path: str) -> bool:
        return self._try(path, lambda: self.store.exists(path))

    def names(self, path: str = "") -> list[str]:
        return self._try(path, lambda: self.store.names(path))

    def leftovers(self, folder: str) -> list[str]:
        return self._try(folder, lambda: self.store.leftovers(folder))

    def rename(self, source: str, target: str) -> None:
        """As :meth:`Store.rename`; what a failed attempt has done already counts as done."""
        unsure = False

        def attempt() -> None:
            nonlocal unsure
            try:
                self.store.rename(source, target)
            except FileNotFoundError:
                if not (unsure and self.store.exists(target)):
                    raise
            except OSError:
                unsure = True
                raise

        self._try(source, attempt)

    def delete(self, path: str) -> None:
        self._try(path, lambda: self.store.delete(path))

    def _holds(self, path: str, data: bytes) -> bool:
        try:
            return self.store.read(path) == data
        except FileNotFoundError:
            return False

    def _try(self, path: str, attempt: Callable[[], T]) -> T:
        try:
            answer = attempt()
        except OSError as error:
            if not is_transient(error):
                self._in_vain = False
                raise
            if self._in_vain or self.seconds <= 0:
                raise
            failure = error
        else:
            self._in_vain = False
            return answer
        with self._trouble(path, failure):
            return self._try_again(attempt, failure)

    def _try_again(self, attempt: Callable[[], T], failure: OSError) -> T:
        began, pause, attempts = self._clock(), self._pause, 1
        while (left := began + self.seconds - self._clock()) > 0:
            self._sleep(min(pause, left))
            pause = min(2 * pause, self._longest_pause)
            attempts += 1
            try:
                answer = attempt()
            except OSError as error:
                if not is_transient(error):
                    raise
                failure = error
                _log.debug("%s: attempt %d failed: %s", self.url, attempts, _reason(error))
            else:
                seconds = self._clock() - began
                _log.info("%s: answers again, at attempt %d after %.3g s", self.url, attempts, seconds)
                return answer
        self._in_vain = True
        raise _tried(failure, self._clock() - began) from failure

    @contextlib.contextmanager
    def _trouble(self, path: str, failure: OSError) -> Iterator[None]:
        with self._lock:
            self._failing += 1
            first = self._failing == 1
        if first:
            self._tell(path, failure)
        try:
            yield
        finally:
            with self._lock:
                self._failing -= 1

    def _tell(self, path: str, error: OSError) -> None:
        where = f"{self.url}/{path}" if path else self.url
        # The record names the line that asked the store, six calls up.
        message = f"{where}: {_reason(error)}; trying again for up to {self.seconds:g} s"
        _log.warning(message, stacklevel=6)


def is_transient(error: OSError) -> bool:
    """Whether an operation that failed so may succeed later, all else being the same."""
    return not isinstance(error, _FINAL_CLASSES) and error.errno not in _FINAL_CODES


def _reason(error: OSError) -> str:
    return error.strerror or str(error) or type(error).__name__


def _tried(error: OSError, seconds: float) -> OSError:
    message = f"{_reason(error)}; tried again for {seconds:.3g} s"
    return OSError(message) if error.errno is None else OSError(error.errno, message, error.filename)
