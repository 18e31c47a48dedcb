"""Text from files of several forms: plain lines, a column of a table, or JSON lines."""

from __future__ import annotations

import contextlib
import csv
import io
import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from lvae_core.data.json_lines import first_object, is_document, read_objects, read_values
from lvae_core.data.quoted import Row, plain_rows, quoted_rows
from lvae_core.data.text_files import decoded, equal_tabs, tabs_problem
from lvae_core.data.tokens import split_tokens
from lvae_core.errors import InputError
from lvae_core.messages import numbered

_TAB = "\t"

_SEPARATORS = (";", _TAB, ",", "|")
"""What programs put between columns."""

# Names that text and labels have in public datasets; also review_text, sentence1, text_b.
_COLUMN_NAME = re.compile(
    r"(?:\w+_|review)?(?:text|sentence|review|document|doc|content|label|body|comment|tweet|utterance|title|"
    r"question|answer|premise|hypothesis|summary|description|abstract|article|headline|class|sentiment)s?"
    r"(?:_?[\dab])?",
    re.IGNORECASE,
)


class Cell(NamedTuple):
    """A piece of text and the line of the file on which it begins."""

    number: int
    text: str


@dataclass(frozen=True)
class Column:
    """The text of a file.

    cells: its pieces in order, also the empty ones.
    warnings: lines for the user about what looks wrong.
    header: whether the first line was passed over.
    """

    cells: list[Cell]
    warnings: tuple[str, ...] = ()
    header: bool = False


def read_cells(
    data: bytes, path: Path, column: str | None, *, header: bool = False, delimiter: str | None = None
) -> Column:
    """Read the text of a file.

    Args:
        data: the content of the file.
        path: of the file. ``.csv`` is read as comma-separated with quotes, ``.jsonl`` and other JSON lines
            by their content, others as lines, which tabs divide if ``column`` is given.
        column: a whole number is the position of a column, from 1; else its name in the first line, or in
            the objects of JSON lines; None: whole lines.
        header: whether the first line is to be passed over. A column given by name implies it.
        delimiter: the character between columns, or ``tab``; None: by the name of the file.

    Raises:
        InputError: the content cannot be decoded, a line has another number of columns than the first,
            there is no such column, or the column is empty; the message names file and line.
    """
    content = decoded(data, path)
    suffix = path.suffix.lower()
    known = first_object(content.split("\n"))
    if known is None and is_document(content):
        raise InputError(f"{path}: one JSON document; write one object per line, for --column NAME")
    if known is None and suffix == ".jsonl":
        known = next((value for _, value in read_objects(content, path) if value), {})
    if known is not None:
        return _of_json(content, path, column, known, extra=header or delimiter is not None)
    if column is None and delimiter is None and suffix not in (".csv", ".tsv"):
        return _of_lines(content, path, header)
    rows, quotes_stay = _rows(content, path, delimiter)
    rows = [row for row in rows if any(row.cells)]
    if not rows:
        raise InputError(f"{path}: contains no text")
    first = rows[0].cells
    if column is None:
        raise InputError(f"{path}: a table; give --column with a number or one of {_named(first)}")
    index = _index(path, column, first, header)
    warnings = []
    header = header or not column.isdecimal()
    if header:
        rows = rows[1:]
    elif _looks_like_header(first, index):
        warnings.append(_header_kept(path, Cell(rows[0].number, first[index])))
    for row in rows:
        if len(row.cells) != len(first):
            inside = "" if suffix == ".csv" else " (a text with tabs or line breaks inside?)"
            raise InputError(
                f"{path}:{row.number}: {_columns(len(row.cells))}, but the first line has {len(first)}; "
                f"correct the line{inside}"
            )
    cells = [Cell(row.number, row.cells[index]) for row in rows]
    _check_filled(path, column, cells)
    if quotes_stay:
        warnings += _quotes_kept(path, cells)
    return Column(cells, tuple(warnings), header)


def _of_lines(content: str, path: Path, header: bool) -> Column:
    """The lines of a file that is no table."""
    cells = [Cell(row.number, row.cells[0]) for row in plain_rows(content, "\n")]
    warnings = []
    if tabs := equal_tabs([cell.text.count(_TAB) for cell in cells if split_tokens(cell.text)]):
        warnings.append(
            f"{tabs_problem(path, tabs)}; keep one with --column, a number from 1 to {tabs + 1}"
        )
    if header:
        return Column(cells[1:], tuple(warnings), header)
    if _COLUMN_NAME.fullmatch(cells[0].text.strip()):
        warnings.append(_header_kept(path, cells[0]))
    return Column(cells, tuple(warnings))


def _of_json(
    content: str, path: Path, column: str | None, known: Collection[str], *, extra: bool
) -> Column:
    """The texts of a name in JSON lines; ``extra``: an option of tables was given."""
    names = _named(list(known))
    if not known:
        raise InputError(f"{path}: contains no text")
    if extra:
        raise InputError(f"{path}: JSON lines, which have names; leave --header and --delimiter out")
    if column is None:
        raise InputError(f"{path}: JSON lines; give --column with one of {names}")
    if column not in known:
        raise InputError(f"{path}:1: --column {column}: JSON lines have no such name; choose from {names}")
    cells = [Cell(number, text) for number, text in read_values(content, path, column)]
    _check_filled(path, column, cells)
    return Column(cells)


def _check_filled(path: Path, column: str, cells: Iterable[Cell]) -> None:
    if not any(cell.text.strip() for cell in cells):
        raise InputError(f"{path}: column {column} is empty; choose another")


def _rows(content: str, path: Path, delimiter: str | None) -> tuple[list[Row], bool]:
    """Divide a table into rows and cells; also say whether quotes, if there are any, stay in the cells."""
    is_csv = path.suffix.lower() == ".csv"
    separator = delimiter or ("," if is_csv else _TAB)
    separator = _TAB if separator == "tab" else separator
    plain = [] if is_csv else plain_rows(content, separator)
    divides = _is_table(content, path, separator) if is_csv else _is_width(_widths(plain))
    if delimiter is None and not divides:
        for other in _SEPARATORS:
            if other != separator and _is_table(content, path, other):
                raise InputError(
                    f"{path}: seems to be separated by {_shown(other)}, not by {_shown(separator)}; give "
                    f"--delimiter {_argument(other)}, or else --delimiter {_argument(separator)}"
                )
    if is_csv:
        return _csv_rows(content, path, separator)
    quoted = quoted_rows(content, separator, plain)
    return (plain, True) if quoted is None else (quoted, False)


def _widths(rows: Iterable[Row]) -> set[int]:
    """The numbers of columns that rows have."""
    return {len(row.cells) for row in rows if any(row.cells)}


def _is_width(widths: Collection[int]) -> bool:
    return len(widths) == 1 and 1 not in widths


def _is_table(content: str, path: Path, separator: str) -> bool:
    """Whether a separator divides every row into the same number of columns, at least two."""
    try:
        return _is_width(_widths(_csv_rows(content, path, separator)[0]))
    except InputError:
        return False


def _csv_rows(content: str, path: Path, separator: str) -> tuple[list[Row], bool]:
    """Read CSV, also with blanks before quotes, which are no part of the text; see :func:`_rows`."""
    rows = _parsed(content, path, separator)
    if not (found := _blanks_before_quotes(rows)):
        return rows, False
    with contextlib.suppress(InputError):
        unquoted = _parsed(content, path, separator, skip_blanks=True)
        if _blanks_before_quotes(unquoted) == found:  # the quotes of the cells are before those blanks
            return rows, False
        # If lines are rows already, quotes that join lines are stray, as in :func:`quoted_rows`.
        if not _is_width(_widths(rows)) or len(unquoted) == len(rows):
            return unquoted, False
    return rows, True


def _blanks_before_quotes(rows: Iterable[Row]) -> int:
    """The number of cells that begin with blanks and a quote."""
    return sum(re.match(' +"', cell) is not None for row in rows for cell in row.cells)


def _parsed(content: str, path: Path, separator: str, *, skip_blanks: bool = False) -> list[Row]:
    """The rows of CSV. ``skip_blanks``: pass over those that follow a separator."""
    reader = csv.reader(
        io.StringIO(content, newline=""), delimiter=separator, strict=True, skipinitialspace=skip_blanks
    )
    rows, number = [], 1
    try:
        with _cells_of_any_length():
            for cells in reader:
                rows.append(Row(number, cells))
                number = reader.line_num + 1
    except csv.Error as error:
        raise InputError(
            f"{path}:{number}: not CSV ({error}); quote texts that have commas or quotes"
        ) from None
    return rows


@contextlib.contextmanager
def _cells_of_any_length() -> Iterator[None]:
    """Lift the limit that the csv module sets for the whole process inside the ``with`` block."""
    before = csv.field_size_limit(2**31 - 1)  # the most that C's long holds everywhere
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _quotes_kept(path: Path, cells: list[Cell]) -> Iterator[str]:
    """The warning about texts in quotes that stay part of the text."""
    found = [cell for cell in cells if re.fullmatch('".*"', cell.text.strip(), re.DOTALL)]
    remedy = "remove the blanks before them" if path.suffix.lower() == ".csv" else "save the table as .csv"
    if found:
        yield (
            f"{path}:{found[0].number}: {len(found):,} text{'s' * (len(found) > 1)} in quotes, which stay "
            f"part of the text; if a program put them there, {remedy}"
        )


def _index(path: Path, column: str, first: list[str], header: bool) -> int:
    """The place of a column, from 0."""
    if not column.removeprefix("-").isdecimal():
        found = [i for i, name in enumerate(first) if name == column]
        found = found or [i for i, name in enumerate(first) if name.strip() == column]
        if not found:
            raise InputError(f"{path}:1: --column {column}: no such column; choose from {_named(first)}")
        if len(found) > 1:
            numbers = " or ".join(str(i + 1) for i in found)
            raise InputError(
                f"{path}:1: --column {column}: {_columns(len(found))} of that name; give the number of one "
                f"({numbers}) and --header"
            )
        return found[0]
    if not 1 <= int(column) <= len(first):
        raise InputError(
            f"{path}:1: --column {column}: the file has {_columns(len(first))}, from 1; give a number "
            f"from 1 to {len(first)}, or one of {_named(first)}"
        )
    index = int(column) - 1
    others = [i for i, name in enumerate(first) if name.strip() == column and i != index]
    if others and (header or _looks_like_header(first, index)):
        raise InputError(
            f"{path}:1: --column {column}: column {column}, or column {others[0] + 1}, whose name is "
            f"{column}? Rename that column in the first line, then give its new name or a number"
        )
    return index


def _looks_like_header(first: list[str], index: int) -> bool:
    """Whether the first line seems to name the columns, by its cell in one of them."""
    # pandas numbers columns without names; it puts an empty name above the numbers of the rows.
    named = first[1:] if first[0] == "" else first
    are_indices = len(named) > 1 and named == [str(i) for i in range(len(named))]
    return are_indices or _COLUMN_NAME.fullmatch(first[index].strip()) is not None


def _header_kept(path: Path, cell: Cell) -> str:
    return (
        f"{path}:{cell.number}: '{cell.text.strip()}' looks like the name of the column and is kept as a "
        "sentence; give --header to pass over the first line"
    )


def _shown(separator: str) -> str:
    return "tabs" if separator == _TAB else f"'{separator}'"


def _argument(separator: str) -> str:
    return "tab" if separator == _TAB else f"'{separator}'"


def _columns(count: int) -> str:
    return numbered(count, "column")


def _named(first: list[str]) -> str:
    names = [" ".join(name.split()) for name in first[:9]]
    shown = [name if len(name) <= 30 else f"{name[:29]}…" for name in names]
    return ", ".join([*shown, *(["…"] if len(first) > len(shown) else [])])
