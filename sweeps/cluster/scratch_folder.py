"""Temporary folders of a launch, removed at its end or, if it dies, by the next launch on this machine."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import secrets
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
from filelock import BaseFileLock, FileLock, Timeout

from lvae_core.errors import InputError
from lvae_core.run_folder.claims import start_ticks
from sweeps.cluster.replaced import environment
from sweeps.cluster.signals import signals_deferred

_log = logging.getLogger("lvae.cluster")

_PREFIX = "lvae-"
_OWNER = "owner"
_UNNAMED = ".owner"
"""The owner's file before it is locked and written."""

_ABOUT = re.compile(r"[0-9a-f]{32} [0-9]+\.[0-9]+")
"""Content of the owner's file: the launch, and when its process began."""

_END_SECONDS = 10.0

_LOOKS, _BETWEEN_SECONDS = 20, 0.5
"""The number of looks for abandoned folders, and the seconds between two of them."""

_LONGEST_START = 60.0
"""Seconds after which a folder without an owner's file is abandoned; an owner takes milliseconds."""

_SOCKET = f"/{_PREFIX}ray-12345678/r1/session_2026-01-31_23-59-59_123456_/sockets/plasma_store"
"""Path of Ray's longest socket below the root, without the number of the process."""

_LONGEST_SOCKET = 107

_LEAST_FREE = 20 * 10**6
"""Bytes that a Ray needs for its logs in the first minutes; in a full folder it hangs when it starts."""

_MARK = "LVAE_LAUNCH"
"""Environment variable that marks the processes of a launch; each inherits it from its parent."""

_LAUNCH = secrets.token_hex(16)
"""Its value for the processes that this process starts."""


@contextlib.contextmanager
def own_folder(kind: str) -> Iterator[Path]:
    """Make a fresh folder for the ``with`` block, below ``$RAY_TMPDIR`` or ``/tmp``.

    At the end it is removed, and processes of this launch that still write into it are ended. Its file
    ``owner`` is locked until the folder is gone or this process has ended, however it ends: folders of this
    user whose owner has ended are removed first, in the same way.

    Args:
        kind: part of its name; short, because the paths of Ray's sockets may have 107 characters at most.
    """
    root = _root()
    remove_abandoned(root)
    with contextlib.ExitStack() as ours:
        # An interrupt would leave a folder that no launch recognises, here and at the end.
        with signals_deferred():
            folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{kind}-", dir=root))
            try:
                unnamed = folder / _UNNAMED
                ours.enter_context(_lock(unnamed))
                unnamed.write_text(f"{_LAUNCH} {start_of(psutil.Process())}")
                # It gets its name once it is locked: an unlocked file of that name is of a dead process.
                unnamed.rename(folder / _OWNER)
            except BaseException:
                shutil.rmtree(folder, ignore_errors=True)
                raise
        with environment({_MARK: _LAUNCH}):
            try:
                yield folder
            finally:
                with signals_deferred():
                    with contextlib.suppress(OSError):  # the next launch tries again
                        _clear(folder)
                    remove_abandoned(root)  # what could not be removed at the beginning


def remove_soon() -> None:
    """Remove the folders of a launch that has just ended, or ends in the next seconds."""
    for _ in range(_LOOKS):
        remove_abandoned(_root())
        time.sleep(_BETWEEN_SECONDS)


def _root() -> Path:
    return Path(os.environ.get("RAY_TMPDIR") or "/tmp").absolute()


def check_root(*, for_sockets: bool) -> None:
    """Raise InputError unless folders can be made below ``$RAY_TMPDIR`` or ``/tmp``.

    Args:
        for_sockets: whether a Ray is to be started there, whose sockets need a short path.
    """
    root = _root()
    remedy = "set RAY_TMPDIR to a folder with a short path, or unset it to use /tmp"
    if not root.is_dir() or not os.access(root, os.W_OK | os.X_OK):
        raise InputError(f"RAY_TMPDIR {root}: not a folder that can be written; {remedy}")
    if for_sockets and len(os.fsencode(f"{root}{_SOCKET}{os.getpid()}")) > _LONGEST_SOCKET:
        raise InputError(f"RAY_TMPDIR {root}: too long for the paths of sockets; {remedy}")
    if for_sockets:
        check_space(root)


def check_space(folder: Path) -> None:
    """Raise InputError unless the disk of a folder has space for Ray's logs."""
    free = shutil.disk_usage(folder).free
    if free < _LEAST_FREE:
        raise InputError(
            f"{folder}: {free / 1e6:.1f} MB free, and Ray needs {_LEAST_FREE / 1e6:g} MB for its logs; "
            "free some space there, or set RAY_TMPDIR to another folder with a short path"
        )


def remove_abandoned(root: Path) -> None:
    """Remove the folders that dead launches of this user have left below ``root``."""
    for folder in root.glob(f"{_PREFIX}*"):
        # Held by its owner, gone by now, locked by another launch that removes it, or of another program.
        with contextlib.suppress(OSError, Timeout):
            status = folder.lstat()
            if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid():
                continue
            if (folder / _OWNER).is_file():  # locking would create it
                owned = (folder / _OWNER).stat()
                with _lock(folder / _OWNER):
                    if (folder / _OWNER).stat().st_ino != owned.st_ino:
                        # Its launch removed it just before, and locking made both anew.
                        (folder / _OWNER).unlink()
                        folder.rmdir()
                    else:
                        _clear(folder)
            elif os.listdir(folder) == [_UNNAMED] and time.time() - status.st_mtime > _LONGEST_START:
                with _lock(folder / _UNNAMED):
                    shutil.rmtree(folder)
            else:
                continue
            _log.info("%s: removed, its launch has ended", folder)


def _lock(path: Path) -> BaseFileLock:
    """A lock that is acquired at once or raises Timeout, and is released when its process ends."""
    return FileLock(path, timeout=0, fallback_to_soft=False)


def _clear(folder: Path) -> None:
    """Kill the launch's processes that use the folder, and remove it.

    Its owner's file goes last, and comes back if something has been written meanwhile: whatever is left
    counts as abandoned.

    Raises:
        OSError: something is still written there after ten seconds, or cannot be removed; or the owner's
            file is not of a launch, and nothing has been touched.
    """
    owner = folder / _OWNER
    about = owner.read_text(errors="replace")
    if not _ABOUT.fullmatch(about):
        raise OSError(f"{owner}: not written by a launch")
    end = time.monotonic() + _END_SECONDS
    while True:
        _end_users(folder, about)
        for path in folder.iterdir():
            if path != owner:
                _remove(path)
        owner.unlink()
        with contextlib.suppress(OSError):
            folder.rmdir()
        _end_users(folder, about)  # one that has just started would make the folder again
        if not folder.exists():
            return
        owner.write_text(about)
        if time.monotonic() > end:
            raise OSError(f"{folder}: something is still written there")
        time.sleep(0.05)


def _remove(path: Path) -> None:
    """Remove a file or folder; processes that end may remove theirs at the same time."""
    with contextlib.suppress(FileNotFoundError):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink()


def _end_users(folder: Path, about: str) -> None:
    """Kill the processes of the folder's launch that use it, and wait for them.

    They have a file there open for writing, or name a path there in their command line, as a process of
    Ray does that has just started; later the command line of many is just a title. That alone is not
    enough: another launch opens a file briefly to check whether the owner is alive.

    Args:
        folder: of a launch that has ended or is this one's.
        about: the content of its owner's file.
    """
    launch, began = about.split()
    users = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.pid == os.getpid():
                continue
            uses = _names(process, folder) or _writes_below(process, folder)
            if uses and _is_of(process, launch, float(began)):
                users.append(process)
    for process in users:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
            _log.info("%s: ended process %d, which still used it", folder, process.pid)
    psutil.wait_procs(users, timeout=_END_SECONDS)


def _names(process: psutil.Process, folder: Path) -> bool:
    return any(f"{folder}{os.sep}" in word or word.endswith(str(folder)) for word in process.cmdline())


def _writes_below(process: psutil.Process, folder: Path) -> bool:
    files = process.open_files()
    return any(file.mode != "r" and Path(file.path).is_relative_to(folder) for file in files)


def _is_of(process: psutil.Process, launch: str, began: float) -> bool:
    """Whether a launch started a process, directly or through other processes.

    A worker of Ray overwrites its environment with a title; its parent, if that still lives, has the mark.
    A process without a parent counts as the launch's unless it is older.
    """
    for relative in (process, *process.parents()):
        if relative.pid == 1:
            break
        if relative.pid == os.getpid():  # its own mark came later than what environ() shows
            return launch == _LAUNCH
        environment = relative.environ()
        if environment:
            return bool(environment.get(_MARK) == launch)
    return start_of(process) >= began


def start_of(process: psutil.Process) -> float:
    """The start of a process, on a clock that nobody sets; ``create_time()`` changes when one is set."""
    ticks = start_ticks(process.pid)
    return float(ticks) if ticks else float(process.create_time())
