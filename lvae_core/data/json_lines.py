"""Text from JSON lines: one object per line, with the text under a name that all share."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from lvae_core.errors import InputError

_SURROGATE = re.compile("[\ud800-\udfff]")
r"""What an escape such as ``\ud800`` without its other half becomes; UTF-8 has no such character."""


def first_object(lines: Sequence[str]) -> dict[str, Any] | None:
    """The object in the first line that is not blank; None if the lines are no JSON lines."""
    filled = (line for line in map(str.strip, lines) if line)
    value = _parsed(next(filled, ""))
    # A later line may be faulty, which is a different error; but code can begin with an object, too.
    usable = isinstance(value, dict) and value and all(line.startswith("{") for line in filled)
    return value if usable else None


def is_document(content: str) -> bool:
    """Whether the whole content is one JSON object, or one list of objects."""
    value = _parsed(content)
    return isinstance(value, dict) or (
        isinstance(value, list) and bool(value) and all(isinstance(item, dict) for item in value)
    )


def read_objects(content: str, where: object) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the object of each line that is not blank, with the number of the line.

    Args:
        content: JSON lines.
        where: the file, for messages.

    Raises:
        InputError: a line is no JSON object.
    """
    for number, line in enumerate(content.split("\n"), start=1):
        if not line.strip():
            continue
        value = _parsed(line)
        if not isinstance(value, dict):
            raise InputError(f"{where}:{number}: not a JSON object; correct the line")
        yield number, value


def read_values(content: str, where: object, name: str) -> list[tuple[int, str]]:
    """Read the text of each object, with the number of its line.

    Args:
        content: JSON lines.
        where: the file, for messages.
        name: the name of the text in the objects.

    Raises:
        InputError: a line is no JSON object, or has no text of that name.
    """
    found = []
    for number, value in read_objects(content, where):
        if not isinstance(value.get(name), str):
            problem = "its value is not text" if name in value else f"has no {name}"
            raise InputError(
                f"{where}:{number}: --column {name}: {problem}; correct the line, or choose another column"
            )
        if "\0" in value[name]:
            raise InputError(f"{where}:{number}: --column {name}: has a NUL character; remove it")
        if half := _SURROGATE.search(value[name]):
            raise InputError(
                f"{where}:{number}: --column {name}: has \\u{ord(half[0]):04x}, half of a pair, which is "
                "no character; correct the line"
            )
        found.append((number, value[name]))
    return found


def _parsed(text: str) -> Any:
    """The value of a JSON text; None if it is none."""
    if not text.lstrip().startswith(("{", "[")):
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
