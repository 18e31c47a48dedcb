"""Refuse a file that cannot be written before minutes of measuring. Never imports torch."""

from __future__ import annotations

import os
from pathlib import Path

from lvae_core.errors import InputError, reason


def check_writable(file: Path) -> None:
    """Check that ``--json FILE`` can be written, and leave things as they are.

    Raises:
        InputError: it cannot.
    """
    is_new = not os.path.lexists(file)
    try:
        file.open("a").close()
        if is_new:  # a command that is refused later, or stopped, leaves no empty file
            file.unlink()
    except OSError as error:
        raise InputError(f"--json {file}: cannot be written ({reason(error)})") from None
