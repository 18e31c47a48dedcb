"""Errors that end a command with one line."""

from __future__ import annotations

import difflib
from collections.abc import Collection


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
