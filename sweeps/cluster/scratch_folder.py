"""Folders of a launch's own: removed at its end or, if it dies, by the next launch on this machine."""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import shutil
import signal
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

_PREFIX = "lvae-"
_OWNER = "owner"
_END_SECONDS = 10.0


@contextlib.contextmanager
def own_folder(kind: str) -> Iterator[Path]:
    """A fresh folder for the ``with`` block, below ``$RAY_TMPDIR`` or ``/tmp``.

    At the end it is removed, and processes that still write into it are ended. Its file ``owner`` is locked
    for as long as this process lives, however it ends: folders of this user whose owner is gone are cleared
    away first, in the same manner.

    Args:
        kind: part of its name; short, as the paths of Ray's sockets may have 107 characters at most.
    """
    root = Path(os.environ.get("RAY_TMPDIR", "/tmp"))
    remove_abandoned(root)
    folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{kind}-", dir=root))
    try:
        with (folder / f".{_OWNER}").open("w") as owner:
            # Named when it is locked: who sees the file unlocked sees that of a dead process.
            fcntl.flock(owner, fcntl.LOCK_EX)
            (folder / f".{_OWNER}").rename(folder / _OWNER)
            yield folder
    finally:
        with contextlib.suppress(OSError):  # the next launch tries again
            _clear(folder)


def remove_abandoned(root: Path) -> None:
    """Remove what launches of this user that are gone have left below ``root``."""
    for folder in root.glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):  # held by its owner, or gone by now
            if _is_ours(folder):
                _remove_if_abandoned(folder)


def _is_ours(folder: Path) -> bool:
    status = folder.lstat()
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid()


def _remove_if_abandoned(folder: Path) -> None:
    """Raise OSError unless the folder has an owner and that owner is gone."""
    descriptor = os.open(folder / _OWNER, os.O_RDWR | os.O_NOFOLLOW)
    with open(descriptor, "w") as owner:
        fcntl.flock(owner, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _clear(folder)


def _clear(folder: Path) -> None:
    """End what writes there and remove it, the owner's file last: what is left is known for abandoned."""
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            _end_if_writing(int(path.name), folder)
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.name != _OWNER:
            path.unlink()
    shutil.rmtree(folder)


def _end_if_writing(pid: int, folder: Path) -> None:
    """Kill a process that has a file below ``folder`` open for writing, and see it end.

    Ray's processes are known by their logs: the command line of many is just a title. Who only reads
    there, such as a pager, is left alone.
    """
    process = os.pidfd_open(pid)  # stands for the same process even where its number is given anew
    try:
        if pid != os.getpid() and _writes_below(pid, folder):
            signal.pidfd_send_signal(process, signal.SIGKILL)
            select.select([process], [], [], _END_SECONDS)
    finally:
        os.close(process)


def _writes_below(pid: int, folder: Path) -> bool:
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            if link.lstat().st_mode & stat.S_IWUSR and link.readlink().is_relative_to(folder):
                return True
    return False
