"""Tables that fit the window, by folding and dropping what matters least, and plain lines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

_ANY = 10_000
"""A window that is wide enough for every table."""


@dataclass(frozen=True)
class FittingColumn:
    """A column of a table that fits the window."""

    heading: str
    values: Sequence[str]
    number: bool = False
    folds: bool = False
    """Whether values may take several lines, broken at blanks."""
    is_count: bool = False
    """Whether the column can be left out if it has nothing but zeros."""
    is_remark: bool = False
    """Whether the column can be left out; a line below the table then has its values, each once."""


def print_line(console: Console, line: str) -> None:
    """Print a line without markup, which only the terminal wraps, so that it can be copied."""
    console.print(line, markup=False, soft_wrap=True)


def fitting_table(
    title: str, columns: Sequence[FittingColumn], width: int, *, total: bool = False
) -> Table:
    """Make a table that is no wider than ``width``, if that is possible without truncating a value.

    As far as it is needed, remarks move below the table, headings take two lines, counts that are all 0
    are left out, and values fold.

    Args:
        title: of the table.
        columns: of one length each.
        width: of the window, in characters.
        total: whether the last line is a total, to be set apart.
    """
    remarks = {
        column.heading: dict.fromkeys(filter(None, column.values)) for column in columns if column.is_remark
    }
    below = "; ".join(f"{heading}: {', '.join(texts)}" for heading, texts in remarks.items() if texts)
    without_remarks = [column for column in columns if not column.is_remark]
    broken = [replace(column, heading=_in_two_lines(column.heading)) for column in without_remarks]
    counted = [column for column in broken if not (column.is_count and set(column.values) <= {"", "0"})]
    table = _table(title, columns, "", total)
    for form in (without_remarks, broken, counted):
        if table_width(table) <= width:
            break
        table = _table(title, form, below, total)
    return table


def print_fitting(console: Console, table: Table) -> None:
    """Print a table. If it cannot fold to the window, the terminal wraps its lines."""
    print_whole(console, table, Measurement.get(console, console.options.update(width=_ANY), table).minimum)


def print_whole(console: Console, table: Table, width: int) -> None:
    """Print a table that needs ``width`` characters, as if the window had them."""
    window = console.width
    console.width = max(window, width)
    console.print(table)
    console.width = window


def table_width(table: Table) -> int:
    """The characters of a table's lines if nothing folds."""
    console = Console(width=_ANY)
    return Measurement.get(console, console.options, table).maximum


def _table(title: str, columns: Sequence[FittingColumn], below: str, total: bool) -> Table:
    table = Table(title=title, caption=below or None, caption_justify="left")
    for column in columns:
        longest = max((len(word) for value in column.values for word in value.split()), default=0)
        table.add_column(
            column.heading,
            justify="right" if column.number else "left",
            no_wrap=not column.folds,
            min_width=longest if column.folds else None,
        )
    rows = list(zip(*(column.values for column in columns), strict=True))
    for number, row in enumerate(rows, start=1):
        if total and number == len(rows):
            table.add_section()
        table.add_row(*map(Text, row))
    return table


def _in_two_lines(heading: str) -> str:
    """Break a heading of two words or more."""
    first, hyphen, rest = heading.partition("-")
    if hyphen:
        return f"{first}-\n{rest}"
    return heading if len(heading) < 8 else "\n".join(heading.split(" ", 1))
