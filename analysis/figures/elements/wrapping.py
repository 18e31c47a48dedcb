"""Text of figures as lines: its width is measured before anything is drawn, and it wraps."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator

from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path

from analysis.figures.elements.style import FAMILY

LINE = 1.25
"""Height of a line of text, in units of its size."""


@functools.cache
def width(text: str, size: float, weight: str = "normal") -> float:
    """The width of one line of text in inches."""
    font = FontProperties(family=FAMILY, size=size, weight=weight)
    # Renderers round the advance of each letter, at few dots per inch by several percent.
    return 1.06 * float(text_to_path.get_text_width_height_descent(text, font, False)[0]) / 72


def wrap(text: str, inches: float, size: float, weight: str = "normal") -> str:
    """Break text into lines that are at most so wide: at spaces, or within a word that is wider, if
    possible after a hyphen or the like.
    """
    lines: list[str] = []
    for paragraph in text.split("\n"):
        line = ""
        for piece in _pieces(paragraph, inches, size, weight):
            if line and width((line + piece).rstrip(), size, weight) > inches:
                lines.append(line.rstrip())
                line = ""
            line += piece
        lines.append(line.rstrip())
    return "\n".join(lines)


def cut(text: str, inches: float, height: float, size: float) -> str:
    """Break text into lines, and leave out those that a height in inches has no room for.

    "…" stands at the end of a text that was cut.
    """
    lines = wrap(text, inches, size).split("\n")
    most = max(1, int(height / (size * LINE / 72)))
    if len(lines) <= most:
        return "\n".join(lines)
    last = lines[most - 1]
    while last and width(f"{last}…", size) > inches:
        last = last[:-1]
    return "\n".join([*lines[: most - 1], f"{last}…"])


def _pieces(text: str, inches: float, size: float, weight: str) -> Iterator[str]:
    for word in re.findall(r"\s*\S+\s*", text):
        for part in (
            [word] if _fits(word, inches, size, weight) else re.findall(r"\s*[^-_/=,]*[-_/=,]*\s*", word)
        ):
            yield from [part] if _fits(part, inches, size, weight) else part


def _fits(piece: str, inches: float, size: float, weight: str) -> bool:
    return width(piece.rstrip(), size, weight) <= inches
