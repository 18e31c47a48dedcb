"""Notice that the study's storage is full, say what to do, and end the launch if it stays full."""

from __future__ import annotations

import errno
import math
import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from lvae_core.errors import InputError
from lvae_core.messages import command_here
from sweeps.planning.times.durations import format_duration

GIVE_UP_SECONDS = 300.0
"""Seconds after which the launch ends: enough to free some space by hand."""

_LOOK_SECONDS = 5.0

_NOTHING = 64 * 2**10
"""With fewer free bytes, not even the small files of a run can be written."""

_AGAIN_SECONDS = 30.0
"""Between refusals that are so far apart, a run has begun again: there was no space in between either."""

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


def is_full(error: OSError) -> bool:
    """Whether a write failed because the disk is full, or the user's part of it."""
    return error.errno in _FULL


class FullStorage:
    """Notice a storage that is full, by its free space or, under a quota or elsewhere, by refused writes.

    Without this, each run would be resumed and lost once a minute until it has been lost too often.

    Args:
        url: of the study, whose folder exists.
        least: bytes of the largest file that a run writes, its checkpoint.
        say: prints a line that stays.
        now: a clock in seconds.
        free: bytes that are free in a folder.
    """

    def __init__(
        self,
        url: str,
        least: int,
        say: Callable[[str], None],
        now: Callable[[], float] = time.monotonic,
        free: Callable[[Path], int] | None = None,
    ) -> None:
        self._url = url if "://" in url else str(Path(url).absolute())
        self._least, self._say, self._now = least, say, now
        self._free = free or _free_bytes
        self._looked_at = now() - _LOOK_SECONDS
        self._has_failed = False
        """Whether a run could not write, and there has been no space for a checkpoint since then."""
        self._since: float | None = None
        """When the storage was first found full."""
        self._refused_since: float | None = None
        """When a write was first refused since a run last saved its state."""
        self._refused_for = 0.0
        """Seconds from then to the last write that was refused."""
        self._epochs: dict[str, int] = {}
        """Run -> the last epoch of whose metrics it has reported."""

    def add_failure(self) -> None:
        """A run has been lost because the storage is full."""
        self._has_failed = True
        if self._refused_since is None:
            self._refused_since = self._now()
        self._refused_for = self._now() - self._refused_since

    def add_report(self, name: str, report: Mapping[str, Any]) -> None:
        """A run has reported; a result, or a new row of metrics, shows that it could write."""
        row = report.get("metrics") or {}
        if report["phase"] == "done" or (row and row["epoch"] != self._epochs.get(name)):
            self._forget_refusals()
        if row:
            self._epochs[name] = row["epoch"]

    def _forget_refusals(self) -> None:
        self._refused_since, self._refused_for = None, 0.0

    def check(self) -> None:
        """Look at the free space now and then.

        Raises:
            InputError: the storage has been full for :data:`GIVE_UP_SECONDS`.
        """
        now = self._now()
        if now - self._looked_at < _LOOK_SECONDS:
            return
        self._looked_at = now
        # Only a further refusal shows that a quota is used up still: runs may train for hours between
        # two writes.
        if self._refused_for >= GIVE_UP_SECONDS:
            raise self._error(self._refused_for, "free some space on its disk or raise the quota")
        free = self._free_space()
        if free is None:
            return
        # A run whose checkpoints are behind it needs little space, so little space alone is no failure.
        if free >= (self._least if self._has_failed else _NOTHING):
            if self._since is not None:
                self._say(f"storage {self._url}: has space again; the runs continue")
                self._forget_refusals()
            elif self._has_failed and self._refused_for >= _AGAIN_SECONDS:
                self._say(
                    f"storage {self._url}: has no space left for this user; free some space on its disk or "
                    "raise the quota, and the runs continue"
                )
            self._has_failed, self._since = False, None
            return
        if self._since is None:
            self._since = now
            self._say(
                f"storage {self._url}: is full; free some space on its disk, and the runs continue; the "
                f"sweep ends if it is still full in {format_duration(GIVE_UP_SECONDS)}"
            )
        elif now - self._since >= GIVE_UP_SECONDS:
            raise self._error(now - self._since, "free some space on its disk")

    def _free_space(self) -> float | None:
        """The free bytes, infinitely many in an object store; None if there is another kind of trouble."""
        if "://" in self._url:
            return math.inf
        try:
            return self._free(Path(self._url))
        except OSError:
            return None

    def _error(self, seconds: float, remedy: str) -> InputError:
        return InputError(
            f"storage {self._url}: was full for {format_duration(seconds)}; {remedy}, then resume from the "
            f"last checkpoints with: {command_here('python', *sys.argv)}"
        )


def _free_bytes(folder: Path) -> int:
    found = os.statvfs(folder)
    blocks = found.f_bfree if os.geteuid() == 0 else found.f_bavail  # some are kept for root
    return blocks * found.f_frsize
