"""Lists in notes: the first few items and how many more."""

from __future__ import annotations

from collections.abc import Sequence

_MOST = 12
"""The largest number of items of a list that a note names."""


def capped(items: Sequence[str], separator: str = "; ") -> str:
    """Join the items, or the first few and the number of the others."""
    more = [f"and {len(items) - _MOST} more"] if len(items) > _MOST else []
    return separator.join([*items[:_MOST], *more])
