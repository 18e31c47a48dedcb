"""Errors that end a command with one line."""

from __future__ import annotations

import difflib
import errno
from collections.abc import Collection

_ALLOW = "ask its owner for access, or use a copy or another folder"

_REMEDIES = {
    errno.ENOSPC: "free some space on its disk",
    errno.EDQUOT: "free some space, or raise the quota",
    errno.EACCES: _ALLOW,
    errno.EPERM: _ALLOW,
    errno.EROFS: "make its disk writable, or use a copy",
}

NOT_WRITABLE = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
"""Error numbers of a write to something that belongs to another user, or is read-only."""


class InputError(ValueError):
    """Something the user gave cannot be used. The message is one line: what, where, remedy."""


def check_name(name: str, valid: Collection[str], kind: str) -> None:
    """Raise :class:`InputError` with the nearest valid name unless ``name`` is one of ``valid``."""
    if name in valid:
        return
    names = list(valid)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else "choose from " + ", ".join(names)
    raise InputError(f"unknown {kind} {name!r}: {hint}")


def reason(error: OSError) -> str:
    """The system's words for an error, without the file."""
    return error.strerror or str(error) or type(error).__name__


def cannot_read(place: object, error: OSError) -> InputError:
    """The error to raise if something that the user named cannot be read."""
    return InputError(f"{place}: cannot be read ({reason(error)})")


def describe(error: OSError, at: str = "", next_step: str = "") -> str:
    """Describe an error of the system in one line: where, what and, if there is one, the remedy.

    Args:
        error: the error.
        at: where it happened, if the error names no file.
        next_step: what to do once it is remedied.
    """
    where = at if error.filename is None else error.filename
    text = " ".join(reason(error).split())
    steps = ", then ".join(filter(None, (_REMEDIES.get(error.errno or 0), next_step)))
    described = f"{where}: {text}" if where else text
    return f"{described}; {steps}" if steps else described
