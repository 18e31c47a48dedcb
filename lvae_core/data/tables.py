"""Text from files of several forms: plain lines, or a column of tab-separated lines or of a CSV file."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from lvae_core.data.text_files import decoded, read_bytes
from lvae_core.errors import InputError

SUFFIXES = (".txt", ".tsv", ".csv")


class Cell(NamedTuple):
    """A piece of text and the line of the file on which it begins."""

    number: int
    text: str


def read_cells(path: Path, column: str | None, *, header: bool = False) -> list[Cell]:
    """Read the text of a file, in order, with its empty pieces.

    Args:
        path: a file; ``.csv`` is read as comma-separated with quotes, others as lines, which tabs divide
            if ``column`` is given.
        column: the number of a column, from 1, or its name in the first line; None: whole lines.
        header: whether the first line is to be passed over. A column given by name implies it.

    Raises:
        InputError: the file cannot be read, a line has another number of columns than the first, there is
            no such column, or the column is empty; the message names file and line.
    """
    content = decoded(read_bytes(path), path)
    is_csv = path.suffix.lower() == ".csv"
    if column is None and not is_csv:
        if path.suffix.lower() == ".tsv":
            first = content.partition("\n")[0].rstrip("\r").split("\t")
            raise InputError(f"{path}: a table; give --column with a number or one of {_named(first)}")
        return [Cell(n, line) for n, line in enumerate(content.removesuffix("\n").split("\n"), start=1)]
    rows = [row for row in (_csv_rows if is_csv else _tab_rows)(content, path) if any(row.cells)]
    if not rows:
        raise InputError(f"{path}: contains no text")
    first = rows[0].cells
    if column is None:
        raise InputError(f"{path}: a table; give --column with a number or one of {_named(first)}")
    index = _index(path, column, first)
    if header or not column.isdecimal():
        rows = rows[1:]
    for row in rows:
        if len(row.cells) != len(first):
            raise InputError(
                f"{path}:{row.number}: {_columns(len(row.cells))}, but the first line has {len(first)}; "
                f"correct the line{'' if is_csv else ' (a text with tabs inside?)'}"
            )
    cells = [Cell(row.number, row.cells[index]) for row in rows]
    if not any(cell.text.strip() for cell in cells):
        raise InputError(f"{path}: column {column} is empty; choose another")
    return cells


class _Row(NamedTuple):
    number: int
    cells: list[str]


def _tab_rows(content: str, path: Path) -> Iterator[_Row]:
    for number, line in enumerate(content.removesuffix("\n").split("\n"), start=1):
        yield _Row(number, line.removesuffix("\r").split("\t"))


def _csv_rows(content: str, path: Path) -> Iterator[_Row]:
    reader = csv.reader(io.StringIO(content, newline=""), strict=True)
    number = 1
    try:
        for cells in reader:
            yield _Row(number, cells)
            number = reader.line_num + 1
    except csv.Error as error:
        raise InputError(
            f"{path}:{number}: not CSV ({error}); quote texts that have commas or quotes"
        ) from None


def _index(path: Path, column: str, first: list[str]) -> int:
    if not column.removeprefix("-").isdecimal() or column in first:
        if first.count(column) != 1:
            problem = "two columns of that name" if column in first else "no such column"
            raise InputError(f"{path}:1: --column {column}: {problem}; choose from {_named(first)}")
        return first.index(column)
    if not 1 <= int(column) <= len(first):
        raise InputError(
            f"{path}:1: --column {column}: the file has {_columns(len(first))}, from 1; give a number "
            f"from 1 to {len(first)}, or one of {_named(first)}"
        )
    return int(column) - 1


def _columns(count: int) -> str:
    return f"{count} column{'s' * (count != 1)}"


def _named(first: list[str]) -> str:
    shown = [name if len(name) <= 30 else f"{name[:29]}…" for name in first[:9]]
    return ", ".join([*shown, *(["…"] if len(first) > len(shown) else [])])
