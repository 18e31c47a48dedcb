"""Notice that the study's storage is full, say what to do, and end the launch if it stays full."""

from __future__ import annotations

import errno
import os
import shlex
import sys
import time
from collections.abc import Callable
from pathlib import Path

from lvae_core.errors import InputError
from sweeps.planning.times.durations import format_duration

GIVE_UP_SECONDS = 300.0
"""Seconds after which the launch ends: enough to free some space by hand."""

_LOOK_SECONDS = 5.0

_NOTHING = 64 * 2**10
"""With fewer free bytes, not even the small files of a run can be written."""

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


def is_full(error: OSError) -> bool:
    """Whether a write failed because the disk is full, or the user's part of it."""
    return error.errno in _FULL


class FullStorage:
    """Watch the free space of a study's folder; one in an object store is not watched.

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
        self._root = None if "://" in url else Path(url).absolute()
        self._least, self._say, self._now = least, say, now
        self._free = free or _free_bytes
        self._looked_at = now() - _LOOK_SECONDS
        self._has_failed = False
        """Whether a run could not write, and there has been no space for a checkpoint since then."""
        self._since: float | None = None
        """When the storage was first found full."""

    def add_failure(self) -> None:
        """A run has been lost because the storage is full."""
        self._has_failed = True

    def check(self) -> None:
        """Look at the free space now and then.

        Raises:
            InputError: the storage has been full for :data:`GIVE_UP_SECONDS`.
        """
        now = self._now()
        if self._root is None or now - self._looked_at < _LOOK_SECONDS:
            return
        self._looked_at = now
        try:
            free = self._free(self._root)
        except OSError:  # another kind of trouble
            return
        # A run whose checkpoints are behind it needs little space, so little space alone is no failure.
        if free >= (self._least if self._has_failed else _NOTHING):
            if self._since is not None:
                self._say(f"storage {self._root}: has space again; the runs continue")
            self._has_failed, self._since = False, None
            return
        if self._since is None:
            self._since = now
            self._say(
                f"storage {self._root}: is full; free some space on its disk, and the runs continue; the "
                f"sweep ends if it is still full in {format_duration(GIVE_UP_SECONDS)}"
            )
        elif now - self._since >= GIVE_UP_SECONDS:
            raise InputError(
                f"storage {self._root}: was full for {format_duration(now - self._since)}; free some space "
                "on its disk, then resume from the last checkpoints with: "
                f"{shlex.join(['python', *sys.argv])}"
            )


def _free_bytes(folder: Path) -> int:
    found = os.statvfs(folder)
    blocks = found.f_bfree if os.geteuid() == 0 else found.f_bavail  # some are kept for root
    return blocks * found.f_frsize
