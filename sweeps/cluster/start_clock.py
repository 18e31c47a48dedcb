"""A clock for Ray's start-up limit that stands still while Ray's processes make progress."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import psutil
import ray._private.node

from sweeps.cluster.replaced import replaced

LONGEST = 300.0
"""Seconds for which the clock stands still at most."""

_END = 1e6
"""Seconds by which the clock jumps when the start has failed, beyond every limit."""

_LOOK_SECONDS = 0.5

_LEAST_SHARE = 0.02
"""The share of a core from which processes make progress; a Ray that hangs takes less."""


class StartClock:
    """A clock of one attempt to start Ray, which counts only seconds in which Ray's processes did nothing.

    Ray gives its processes 30 seconds to start. On a loaded machine they need more.

    Args:
        work: CPU seconds that they have taken so far.
        now: a clock in seconds.
    """

    def __init__(
        self,
        work: Callable[[], float] | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._work, self._now = work or _work_of_children, now
        self._looked_at, self._last_work = now(), self._work()
        self._left_out, self._is_expired = 0.0, False

    def __call__(self) -> float:
        """The time in seconds."""
        now = self._now()
        passed = now - self._looked_at
        if passed >= _LOOK_SECONDS:
            work = self._work()
            # It falls if a process has ended, which is progress as well.
            progressed = abs(work - self._last_work) >= _LEAST_SHARE * passed
            if progressed and 0.0 <= self._left_out < LONGEST:
                self._left_out += passed
            self._looked_at, self._last_work = now, work
        if self._is_expired:
            self._left_out -= _END  # also of a wait that begins now
        return now - self._left_out

    def expire(self) -> None:
        """Jump beyond every limit from now on: the attempt has failed."""
        self._is_expired = True


def patient_start(clock: Callable[[], float]) -> AbstractContextManager[None]:
    """Let a Ray that is started in the ``with`` block measure its start-up limit by ``clock``."""
    return replaced(ray._private.node, time=_Time(clock))


class _Time:
    """The module ``time`` with another monotonic clock."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.monotonic = clock

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)


def _work_of_children() -> float:
    seconds = 0.0
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            times = process.cpu_times()
            seconds += times.user + times.system
    return seconds
