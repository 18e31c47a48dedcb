"""Prepare a table for the page's template: cells with a text, a key to sort by, and a tip."""

from __future__ import annotations

import re
from dataclasses import dataclass

from analysis.formats.page.tips import tips
from analysis.formats.text import value_text
from analysis.published.facts import Derived, Fact
from analysis.stats.average import Average
from analysis.stats.intervals import Interval
from analysis.tables.elements.table import Column, Difference, Kind, Table, Value

MOST_LINES = 500
"""The largest number of lines of a table on the page: with more it would be slow to open."""


_TEXT = re.compile(r"\btext \d+\b")
"""The name of a text in the heading of its rows."""


@dataclass(frozen=True)
class PageCell:
    """One cell."""

    text: str
    sort: float | str | None
    """Sort key; a cell with None comes last in both directions."""
    tip: str
    left: bool


@dataclass(frozen=True)
class PageRow:
    """One line."""

    kind: Kind
    label: str
    indented: bool
    context: str
    """The labels above the line, shown when sorting has moved it away from them."""
    cells: tuple[PageCell, ...]
    text: str = ""
    """The text that its numbers are over, "text 2", if the table has several: sorting keeps them apart."""

    @property
    def ranked(self) -> bool:
        """Whether the row takes part in sorting; a heading and a line of differences do not."""
        return self.kind in ("published", "ours") and any(cell.text for cell in self.cells)


def page_rows(table: Table) -> list[PageRow]:
    """The first MOST_LINES lines of a table."""
    rows = []
    section = parent = ""
    for line in table.lines[:MOST_LINES]:
        label, indented = line.label.strip(), line.label.startswith(" ")
        if line.kind == "heading":
            section, parent = label, ""
        elif not indented:
            parent = label
        # An indented line is named by the line above it, its published row.
        context = " · ".join(filter(None, [section, parent if indented else ""]))
        line_tips = tips(line, table.columns)
        cells = tuple(
            PageCell(value_text(value, column), sort_key(value, column), tip, column.text)
            for value, column, tip in zip(line.values, table.columns, line_tips, strict=False)
        )
        text = _TEXT.search(section)
        rows.append(PageRow(line.kind, label, indented, context, cells, text[0] if text else ""))
    return rows


def lines_left_out(table: Table) -> int:
    """Number of lines that :func:`page_rows` leaves out."""
    return max(0, len(table.lines) - MOST_LINES)


def mixed(table: Table) -> bool:
    """Whether the table has both our numbers and published ones, which must look different."""
    return any(line.kind == "published" and any(line.values) for line in table.lines)


def sort_key(value: Value, column: Column) -> float | str | None:
    """The key to sort a value by: a number, or text in a column of words."""
    if isinstance(value, Average | Fact | Derived):
        return value.mean
    if isinstance(value, Difference):
        return value.value
    if isinstance(value, Interval):
        return (value.low + value.high) / 2
    if isinstance(value, str):
        # Large whole numbers are printed with commas: 10,000.
        number = re.search(r"\d+(\.\d+)?(e[+-]?\d+)?", value.replace(",", ""))
        if column.text or not number:
            return value.lower()
        # "<0.0001" comes before "0.0001".
        return float(number[0]) * (0.5 if "<" in value else 1.0)
    return None
