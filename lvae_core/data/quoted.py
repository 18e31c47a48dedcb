"""Tab-separated files whose texts are in quotes, told apart from text that contains quotes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple


class Row(NamedTuple):
    """The cells of a row and the line of the file on which it begins."""

    number: int
    cells: list[str]


class _Field(NamedTuple):
    text: str
    quoted: bool


def plain_rows(content: str, separator: str) -> list[Row]:
    """Divide lines at a separator; quotes belong to the text."""
    lines = content.removesuffix("\n").split("\n")
    return [Row(n, line.removesuffix("\r").split(separator)) for n, line in enumerate(lines, start=1)]


def quoted_rows(content: str, separator: str, plain: Sequence[Row]) -> list[Row] | None:
    """Read a file that a spreadsheet or pandas wrote, whose quotes are no part of the text.

    Quotes in a corpus are often words, so they are removed only if every field is as such a program writes
    it: quotes around a field, each quote within doubled, and in every column the same reason for quotes.

    Args:
        content: the file.
        separator: one character.
        plain: the rows by :func:`plain_rows`.

    Returns:
        The rows; None if the quotes may belong to the text.
    """
    if '"' not in content or (parsed := _fields(content, separator)) is None:
        return None
    filled = [fields for _, fields in parsed if any(field.text for field in fields)]
    if len({len(fields) for fields in filled}) != 1:
        return None
    # Where lines are rows already, quotes that join lines are stray: one opens a text, one ends another.
    is_table = len({len(row.cells) for row in plain if any(row.cells)}) == 1
    if is_table and [len(fields) for _, fields in parsed] != [len(row.cells) for row in plain]:
        return None
    special = re.compile(f'["\n{re.escape(separator)}]')
    sure = any(field.quoted and special.search(field.text) for fields in filled for field in fields)
    # A header may have quotes where the numbers below it have none.
    columns = zip(*(filled[1:] or filled), strict=True)
    if not all(_is_consistent(column, special, sure) for column in columns):
        return None
    if not (sure or any(_is_whole(column) for column in zip(*filled, strict=True))):
        return None
    return [Row(number, [field.text for field in fields]) for number, fields in parsed]


def _is_consistent(column: Sequence[_Field], special: re.Pattern[str], sure: bool) -> bool:
    """Whether one rule says which fields of a column have quotes.

    Args:
        column: its fields.
        special: matches what no field without quotes can contain.
        sure: whether some field of the file contains that, so that the file is surely quoted.
    """
    if _is_whole(column):
        return True
    needed = [bool(special.search(field.text)) for field in column]
    if all(field.quoted == need for field, need in zip(column, needed, strict=True)):
        return True
    # Excel quotes texts with commas, too. Alone, such a text might as well be speech.
    return sure and all(f.quoted == (need or "," in f.text) for f, need in zip(column, needed, strict=True))


def _is_whole(column: Sequence[_Field]) -> bool:
    """Whether all fields of a column have quotes, but for missing values."""
    return any(f.quoted for f in column) and all(f.quoted or f.text in ("", "NA") for f in column)


def _fields(content: str, separator: str) -> list[tuple[int, list[_Field]]] | None:
    """The fields of each row, after the number of its first line; None if a quote is out of place."""
    end = f"({re.escape(separator)}|\r?\n|\\Z)"
    pattern = re.compile(f'(?:"([^"]*(?:""[^"]*)*)"|([^"\r\n{re.escape(separator)}]*)){end}')
    rows: list[tuple[int, list[_Field]]] = []
    fields: list[_Field] = []
    line = begin = 1
    position = 0
    while position < len(content):
        found = pattern.match(content, position)
        if found is None:
            return None
        quoted = found[1] is not None
        fields.append(_Field(found[1].replace('""', '"') if quoted else found[2], quoted))
        line += found[0].count("\n")
        position = found.end()
        if found[3] == separator and position == len(content):
            fields.append(_Field("", False))
        elif found[3] == separator:
            continue
        rows.append((begin, fields))
        fields, begin = [], line
    return rows
