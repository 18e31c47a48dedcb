"""Divide a table into parts that fit the page of an article, for LaTeX.

A float must not be higher than a page, or LaTeX loses its end, and should not be wider than the text of an
article in one column. Widths and heights are estimates, from the widths of letters in Computer Modern.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from analysis.formats.text import value_text
from analysis.tables.elements.table import Column, Line, Table

_TEXT_WIDTH = 345.0
"""Width in points of the text of LaTeX's article, in one column and at 10 points."""

_HEIGHT = 430.0
"""Height in points that the lines of one float may have; its caption and its rules need more."""

_WITH_NOTES = 490.0
"""Height in points that the lines and the notes of one float may have."""

_LONGEST = 28
"""Letters of a line of words in a column of words that has to be narrow."""


@dataclass(frozen=True)
class Size:
    """A size of type in a table."""

    command: str
    columns_apart: float
    """``\\tabcolsep`` in points: half of the space between two columns."""
    scale: float
    """Width of its letters, relative to 10 points."""
    line: float
    """Height of a line in points."""


SIZES = (Size(r"\footnotesize", 4, 0.85, 9.5), Size(r"\scriptsize", 3, 0.8, 8))

NOTES = Size(r"\scriptsize", 0, 0.8, 8)
"""The size of the notes below a table."""


@dataclass(frozen=True)
class Parts:
    """The floats of a table."""

    floats: tuple[tuple[Table, ...], ...]
    """The tabulars of each float, one below the other; their columns and lines are those of the table."""
    size: Size
    narrow: bool
    """Whether words have to be broken into lines, and the table may have to be scaled to the page."""
    notes_apart: bool
    """Whether the notes need a float of their own."""


def parts_of(table: Table, notes: Sequence[str]) -> Parts:
    """Divide a table; ``notes`` are printed below its last part."""
    size = next((size for size in SIZES if _width(table, size) <= _TEXT_WIDTH), SIZES[-1])
    blocks = [table] if _width(table, size) <= _TEXT_WIDTH else list(_blocks(table, size))
    size = next((s for s in SIZES if all(_width(block, s) <= _TEXT_WIDTH for block in blocks)), SIZES[-1])
    narrow = any(_width(block, size) > _TEXT_WIDTH for block in blocks)
    floats: list[list[Table]] = []
    used = _HEIGHT
    for block in blocks:
        head = (len(block.groups) and 1) + 2
        whole = size.line * (head + _rows(block.lines, block.columns, narrow))
        # A block that fits one page is not divided in order to fill another.
        is_new = True
        if used + whole > _HEIGHT >= whole:
            used = _HEIGHT
        for section in _sections(block, int(_HEIGHT / size.line) - head, narrow):
            height = size.line * _rows(section, block.columns, narrow)
            if used + height + size.line * head * is_new > _HEIGHT:
                floats.append([])
                used, is_new = 0.0, True
            if is_new:
                floats[-1].append(dataclasses.replace(block, lines=()))
                used += size.line * head
            last = floats[-1][-1]
            floats[-1][-1] = dataclasses.replace(last, lines=(*last.lines, *section))
            used, is_new = used + height, False
    of_notes = NOTES.line * sum(len(textwrap.wrap(note, _letters(_TEXT_WIDTH))) for note in notes)
    return Parts(
        tuple(map(tuple, floats)) or ((table,),),
        size,
        narrow,
        bool(notes) and used + of_notes > _WITH_NOTES,
    )


def broken(text: str) -> list[str]:
    """Words of a cell in lines, for a table that has to be narrow."""
    return textwrap.wrap(text, _LONGEST, break_long_words=False, break_on_hyphens=False) or [""]


def _letters(width: float) -> int:
    return int(width / (_width_of("e") * NOTES.scale))


def _blocks(table: Table, size: Size) -> Iterator[Table]:
    """The columns of a table in blocks to be set one below the other.

    Columns under one heading stay together, and so do those that have values in the same line. Only columns
    of words are put apart for their width alone: numbers of a line are read together.
    """
    if table.groups:
        kept = [[c.group == group for c in table.columns] for group, _ in table.groups]
    else:
        kept = [[k in places for k in range(len(table.columns))] for places in _sharing_lines(table)]
    for block in (_with_columns(table, mask) for mask in kept):
        if _width(block, size) > _TEXT_WIDTH and all(column.text for column in block.columns):
            yield from _narrow_blocks(block, size)
        else:
            yield block


def _narrow_blocks(table: Table, size: Size) -> Iterator[Table]:
    places: list[int] = []
    for place in range(len(table.columns)):
        wider = [*places, place]
        if places and _width(_with_columns(table, _mask(table, wider)), size) > _TEXT_WIDTH:
            yield _with_columns(table, _mask(table, places))
            wider = [place]
        places = wider
    yield _with_columns(table, _mask(table, places))


def _mask(table: Table, places: Sequence[int]) -> list[bool]:
    return [place in places for place in range(len(table.columns))]


def _sharing_lines(table: Table) -> list[list[int]]:
    """The places of columns, those together that have values in a common line."""
    together: list[set[int]] = []
    for line in table.lines:
        found = {place for place, value in enumerate(line.values) if value not in (None, "")}
        if found:
            touched = [places for places in together if places & found]
            together = [places for places in together if not places & found]
            together.append(found.union(*touched))
    return sorted(sorted(places) for places in together)


def _with_columns(table: Table, kept: Sequence[bool]) -> Table:
    """The table with some of its columns, without the lines and headings that these leave empty."""
    lines: list[Line] = []
    for before in table.lines:
        line = dataclasses.replace(before, values=tuple(itertools.compress(before.values, kept)))
        if any(before.values) and not any(line.values):
            continue
        if line.kind == "heading" and lines and lines[-1].kind == "heading":
            lines.pop()
        lines.append(line)
    while lines and lines[-1].kind == "heading":
        lines.pop()
    return dataclasses.replace(
        table, columns=tuple(itertools.compress(table.columns, kept)), lines=tuple(lines)
    )


def _sections(table: Table, most: int, narrow: bool) -> Iterator[tuple[Line, ...]]:
    """The lines below each heading, in several parts if they need more than ``most`` lines."""
    section: list[Line] = []
    for together in _kept_together(table.lines):
        is_heading = together[0].kind == "heading"
        if section and (is_heading or _rows([*section, *together], table.columns, narrow) > most):
            yield tuple(section)
            heading = section[0]
            section = []
            if heading.kind == "heading" and not is_heading:
                label = heading.label.removesuffix(_CONTINUED)
                section = [dataclasses.replace(heading, label=f"{label}{_CONTINUED}")]
        section += together
    if section:
        yield tuple(section)


_CONTINUED = ", continued"


def _kept_together(lines: Sequence[Line]) -> Iterator[list[Line]]:
    """A heading with what follows, and a line with the indented ones below it, unless there are many."""
    together: list[Line] = []
    for line in lines:
        follows = together and (line.label.startswith(" ") or together[-1].kind == "heading")
        if line.kind == "heading" or not follows or len(together) > _MANY:
            if together:
                yield together
            together = []
        together.append(line)
    if together:
        yield together


_MANY = 15


def _rows(lines: Sequence[Line], columns: Sequence[Column], narrow: bool) -> float:
    """The number of lines of type that some lines of a table need."""
    return sum(
        1.5
        if line.kind == "heading"
        else max(
            (
                len(broken(value_text(value, column)))
                for value, column in zip(line.values, columns, strict=False)
                if narrow and column.text
            ),
            default=1,
        )
        for line in lines
    )


def _width(table: Table, size: Size) -> float:
    """The width of a table in points."""
    columns = [[line.label.strip() for line in table.lines if line.kind != "heading"]]
    indented = any(line.label.startswith(" ") for line in table.lines)
    for place, column in enumerate(table.columns):
        texts = (value_text(line.values[place], column) for line in table.lines if place < len(line.values))
        columns.append([column.name, *texts])
    widest = sum(max(map(_width_of, texts), default=0.0) for texts in columns) + 10 * indented
    return widest * size.scale + 2 * size.columns_apart * len(columns)


@functools.lru_cache(maxsize=10_000)
def _width_of(text: str) -> float:
    """The width of a text in points, at 10 points."""
    return sum(_WIDTHS.get(character, 7.1 if character.isupper() else 4.9) for character in text)


_WIDTHS = dict(
    itertools.chain(
        dict.fromkeys("0123456789", 5.0).items(),
        dict.fromkeys(".,:;'|[]ijlI", 2.9).items(),
        dict.fromkeys("()-ftrs ", 3.9).items(),
        dict.fromkeys("±+=<>%mwMW–", 8.0).items(),
    )
)
