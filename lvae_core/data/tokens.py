"""The rule by which a line of text becomes tokens, the same for files and for sentences that users type."""

from __future__ import annotations

from collections.abc import Collection

from lvae_core.errors import InputError


def split_tokens(line: str) -> list[str]:
    """Split a line into tokens at ASCII white space.

    Unicode has further white space, such as the no-break space. In corpora it occurs inside tokens, so it
    does not end one.

    Raises:
        InputError: the line has bytes that are not UTF-8, as an argument of the command line may.
    """
    try:
        # Unlike that of a string, the split of bytes knows ASCII white space alone.
        joined = b" ".join(line.encode("utf-8").split()).decode("utf-8")
    except UnicodeEncodeError as error:
        raise InputError(
            f"sentence {_shown(line, error.start)}: it is not UTF-8; give it in UTF-8"
        ) from None
    return joined.split(" ") if joined else []


def without_edges(tokens: list[str], remove: Collection[str]) -> list[str]:
    """Remove tokens from the beginning and the end of a sentence."""
    start, stop = 0, len(tokens)
    while start < stop and tokens[start] in remove:
        start += 1
    while stop > start and tokens[stop - 1] in remove:
        stop -= 1
    return tokens[start:stop]


_BESIDE = 30
"""Characters that a message shows on each side of a faulty one."""


def _shown(line: str, place: int) -> str:
    """A line in quotes, or only what is near a place in it if the line is long."""
    start, stop = max(0, place - _BESIDE), place + _BESIDE + 1
    near = line[start:stop].encode("utf-8", "backslashreplace").decode("utf-8")
    return f"'{'…' * (start > 0)}{near}{'…' * (stop < len(line))}'"
