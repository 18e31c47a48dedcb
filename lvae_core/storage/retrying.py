"""A store that survives a short outage: it retries operations after transient errors."""

from __future__ import annotations

import contextlib
import errno
import logging
import threading
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from lvae_core.errors import reason
from lvae_core.storage.store import Store

T = TypeVar("T")

_log = logging.getLogger("lvae.storage")

RETRY_SECONDS = 60.0
"""Seconds for which commands and runs retry an operation on a store."""

WEB_RETRY_SECONDS = 5.0
"""The same for ``http://`` and ``https://``, which are mistakes: a web server holds no study."""

# Errors that a retry cannot resolve: an answer about the stored files, or a request that can never succeed.
# All others may be transient: a full disk, a device error, a server that is down, an unmounted folder.
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
    """A wrapper of any :class:`Store` that retries operations after transient errors, with growing pauses.

    Of all threads that meet an outage, one logs one warning to ``lvae.storage``. After one time-out, later
    calls fail at once until the store answers again.

    Args:
        store: the wrapped store.
        seconds: how long an operation is retried after its first failure; 0: no retries.
        pause: seconds before the first retry; each later pause is twice the one before.
        longest_pause: upper limit of a pause, in seconds.
        clock: returns the time in seconds.
        sleep: waits for a number of seconds.

    Raises (every method):
        OSError: a permanent error, at once; or the last transient one after ``seconds``, with the time
            spent on retries in its message.
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
        """Number of operations that are being retried now."""
        self._timed_out = False

    def read(self, path: str) -> bytes:
        return self._with_retries(path, lambda: self.store.read(path))

    def write(self, path: str, data: bytes) -> None:
        self._with_retries(path, lambda: self.store.write(path, data))

    def create(self, path: str, data: bytes) -> bool:
        """Create a file as :meth:`Store.create` does.

        A failed attempt may have written the file even though its response was lost. So if a retry finds
        exactly the same content, the file counts as created by this call. Callers that compete for a path
        must therefore write different content, for example their own name.
        """
        may_be_done = False

        def attempt() -> bool:
            nonlocal may_be_done
            try:
                return self.store.create(path, data) or (may_be_done and self._has_content(path, data))
            except OSError:
                may_be_done = True
                raise

        return self._with_retries(path, attempt)

    def exists(self, path: str) -> bool:
        return self._with_retries(path, lambda: self.store.exists(path))

    def names(self, path: str = "") -> list[str]:
        return self._with_retries(path, lambda: self.store.names(path))

    def leftovers(self, folder: str) -> list[str]:
        return self._with_retries(folder, lambda: self.store.leftovers(folder))

    def rename(self, source: str, target: str) -> None:
        """Rename as :meth:`Store.rename` does; a rename whose response was lost counts as done."""
        may_be_done = False

        def attempt() -> None:
            nonlocal may_be_done
            try:
                self.store.rename(source, target)
            except FileNotFoundError:
                if not (may_be_done and self.store.exists(target)):
                    raise
            except OSError:
                may_be_done = True
                raise

        self._with_retries(source, attempt)

    def delete(self, path: str) -> None:
        self._with_retries(path, lambda: self.store.delete(path))

    def _has_content(self, path: str, data: bytes) -> bool:
        try:
            return self.store.read(path) == data
        except FileNotFoundError:
            return False

    def _with_retries(self, path: str, attempt: Callable[[], T]) -> T:
        try:
            answer = attempt()
        except OSError as error:
            if not is_transient(error):
                self._timed_out = False
                raise
            if self._timed_out or self.seconds <= 0:
                raise
            failure = error
        else:
            self._timed_out = False
            return answer
        with self._outage(path, failure):
            return self._retry(path, attempt, failure)

    def _retry(self, path: str, attempt: Callable[[], T], failure: OSError) -> T:
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
                _log.debug("%s: attempt %d failed: %s", self.url, attempts, reason(error))
            else:
                seconds = self._clock() - began
                _log.info("%s: answered again, at attempt %d after %.3g s", self.url, attempts, seconds)
                return answer
        self._timed_out = True
        raise _timeout_error(failure, self._where(path), self._clock() - began) from failure

    @contextlib.contextmanager
    def _outage(self, path: str, failure: OSError) -> Iterator[None]:
        with self._lock:
            self._failing += 1
            first = self._failing == 1
        if first:
            self._warn(path, failure)
        try:
            yield
        finally:
            with self._lock:
                self._failing -= 1

    def _warn(self, path: str, error: OSError) -> None:
        # The record should name the line that called the store, six frames up.
        message = f"{self._where(path)}: {reason(error)}; trying again for up to {self.seconds:g} s"
        _log.warning(message, stacklevel=6)

    def _where(self, path: str) -> str:
        return f"{self.url}/{path}" if path else self.url


def is_transient(error: OSError) -> bool:
    """Whether an operation that failed with ``error`` may succeed when repeated."""
    return not isinstance(error, _FINAL_CLASSES) and error.errno not in _FINAL_CODES


def _timeout_error(error: OSError, where: str, seconds: float) -> OSError:
    message = f"{reason(error)}; tried again for {seconds:.3g} s"
    if error.errno is None:
        return OSError(message)
    return OSError(error.errno, message, error.filename or where)
