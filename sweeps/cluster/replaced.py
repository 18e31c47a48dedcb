"""Give names inside a library other values for a while."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator


@contextlib.contextmanager
def replaced(owner: object, **values: object) -> Iterator[None]:
    """Set attributes of a module or class inside the ``with`` block.

    Raises:
        AttributeError: the owner has no attribute of one of the names.
    """
    before = {name: getattr(owner, name) for name in values}
    try:
        for name, value in values.items():
            setattr(owner, name, value)
        yield
    finally:
        for name, value in before.items():
            setattr(owner, name, value)
