"""Change a command line in a test: commands refuse an option that is given twice."""

from __future__ import annotations

from collections.abc import Sequence

from lvae_core.arguments import REPEATABLE


def changed(command: Sequence[str], *words: str) -> list[str]:
    """The command line with further options, which replace those of the same names and their values."""
    given = {word.partition("=")[0] for word in words if word.startswith("--")} - REPEATABLE
    kept, drops = [], False
    for word in command:
        drops = word.partition("=")[0] in given if word.startswith("--") else drops
        if not drops:
            kept.append(word)
    return [*kept, *words]
