"""Folders for temporary files that are removed however their process ends, by the next one if it is killed.

wandb_push.py skips exit handlers, which would remove them: it calls :func:`remove_all` instead.
"""

from __future__ import annotations

import atexit
import hashlib
import os
import shutil
import sys
import tempfile
from pathlib import Path

import psutil

from lvae_core.run_folder.claims import Holder

_PREFIX = ".mirror-"

_made: set[Path] = set()


def make_scratch(parent: Path) -> Path:
    """Make a folder in ``parent``, and remove those of processes of this machine that were killed.

    Other machines and containers may share ``parent``. Their process ids mean nothing here, so a folder's
    name also has a digest of the machine.
    """
    prefix = f"{_PREFIX}{_machine_digest()}-"
    for leftover in parent.glob(f"{prefix}*-*"):
        pid = leftover.name.removeprefix(prefix).split("-")[0]
        if pid.isdecimal() and not psutil.pid_exists(int(pid)):
            shutil.rmtree(leftover, ignore_errors=True)
    path = Path(tempfile.mkdtemp(prefix=f"{prefix}{os.getpid()}-", dir=parent))
    _made.add(path)
    return path


def _machine_digest() -> str:
    """Short, because the library makes a socket below, whose path may have 107 characters."""
    # Without /proc, the host's name has to do.
    this = Holder.current("")
    return hashlib.sha256((this.machine or this.host).encode()).hexdigest()[:8]


def remove_scratch(path: Path) -> None:
    """Remove a folder of :func:`make_scratch`."""
    shutil.rmtree(path, ignore_errors=True)
    _made.discard(path)


@atexit.register
def remove_all() -> None:
    """Remove every folder that this process has made and not removed yet."""
    for path in tuple(_made):
        remove_scratch(path)


def load_library() -> None:
    """Load the wandb library, which makes folders for temporary files, with these in one of ours."""
    if "wandb" in sys.modules:
        return
    before = tempfile.tempdir
    # Only while it loads: its service needs a short path for its socket, and locks and tracebacks must
    # outlast this process.
    tempfile.tempdir = str(make_scratch(Path(tempfile.gettempdir())))
    try:
        import wandb  # noqa: F401
    finally:
        tempfile.tempdir = before
