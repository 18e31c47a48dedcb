"""Notice that the study's folder has been deleted while its runs are under way."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path

from lvae_core.errors import InputError

_LOOK_SECONDS = 5.0


class DeletedStudy:
    """Watch the folder of a study; one in an object store is not watched.

    A disk that is unmounted also takes the folder away, but comes back: then the folder above is on another
    device than the study was.

    Args:
        url: of the study, whose folder exists.
        now: a clock in seconds.
    """

    def __init__(self, url: str, now: Callable[[], float] = time.monotonic) -> None:
        self._root = None if "://" in url else Path(url).absolute()
        self._device = -1
        with contextlib.suppress(OSError):
            self._device = self._root.stat().st_dev if self._root else -1
        self._now = now
        self._looked_at = now()
        self._missing = 0

    def check(self) -> None:
        """Raise InputError if the folder has been missing for several seconds; looks only now and then."""
        if self._root is None or self._now() - self._looked_at < _LOOK_SECONDS:
            return
        self._looked_at = self._now()
        self._missing = self._missing + 1 if self._is_deleted(self._root) else 0
        if self._missing > 1:
            raise InputError(
                f"storage {self._root}: was deleted while its runs were under way, and they cannot be "
                "saved; the same command starts them anew"
            )

    def _is_deleted(self, root: Path) -> bool:
        try:
            if root.exists():
                return False
            above = next(folder for folder in root.parents if folder.exists())
            return above.stat().st_dev == self._device
        except OSError:  # the disk itself is in trouble
            return False
