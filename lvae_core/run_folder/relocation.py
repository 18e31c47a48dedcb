"""Move or delete a local run folder as a whole, or leave it as it is."""

from __future__ import annotations

import errno
import shutil
import uuid
from pathlib import Path

from lvae_core.errors import reason


def remove(place: Path) -> str:
    """Delete a run folder; return what could not be done, or nothing.

    Raises:
        OSError: it cannot be deleted, and is as it was.
    """
    # Renamed first: a run is there with all its files or not at all, and no launch takes up half of one.
    aside = place.with_name(f".deleted-{uuid.uuid4().hex}")
    place.rename(aside)
    try:
        shutil.rmtree(aside)
    except OSError as error:
        return f"not all files can be deleted ({reason(error)}); the rest is in {aside}"
    return ""


def move(place: Path, target: Path) -> str:
    """Move a run folder into the folder ``target``; return what could not be done, or nothing.

    Raises:
        OSError: it cannot be moved, and is as it was.
    """
    target.mkdir(parents=True, exist_ok=True)
    try:
        place.rename(target / place.name)
        return ""
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
    # Onto another disk. The run is deleted here only once it is complete there.
    aside = target / f".moved-{uuid.uuid4().hex}"
    try:
        shutil.copytree(place, aside, symlinks=True)
    except (OSError, shutil.Error) as error:
        shutil.rmtree(aside, ignore_errors=True)
        return f"cannot be copied to {target} ({_first(error)})"
    copy = aside.rename(target / place.name)
    try:
        return remove(place)
    except OSError:
        shutil.rmtree(copy)
        raise


def _first(error: OSError) -> str:
    """The reason of an error, of several the first; :class:`shutil.Error` holds a list."""
    if isinstance(error, shutil.Error):
        (_, _, why), *_ = error.args[0]
        return str(why)
    return reason(error)
