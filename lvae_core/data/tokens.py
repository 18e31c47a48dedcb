"""The rule by which a line of text becomes tokens, the same for files and for sentences that users type."""

from __future__ import annotations

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
    except UnicodeEncodeError:
        shown = line.encode("utf-8", "backslashreplace").decode("utf-8")
        raise InputError(f"sentence '{shown}': it is not UTF-8; give it in UTF-8") from None
    return joined.split(" ") if joined else []
