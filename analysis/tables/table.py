"""What a table is: the same few values whatever it shows and however it will look.

Columns, lines of values and notes are for reading; *records* (analysis/tables/csv_rows.py) are the same
numbers for computing with. Nothing here draws.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from analysis.published import TITLES, Derived, Fact, display_name
from analysis.stats.cells import Average, Counts
from analysis.stats.intervals import Interval
from analysis.tables.csv_rows import ComparisonRecord, Record, Records

SETTINGS = ("standard", "inputless")

NOT_A_BOUND = "‡"
"""Marks the label of a row whose NLL and PPL are not bounds."""


@dataclass(frozen=True)
class Difference:
    """Ours - published (or ours - another row's), in the unit of its column."""

    value: float
    interval: Interval | None = field(default=None, compare=False)
    """95%."""
    a: Average | None = field(default=None, compare=False)
    b: Average | Fact | Derived | None = field(default=None, compare=False)
    """What is subtracted from what."""


Value = Average | Fact | Derived | Difference | Interval | Counts | str | None
"""Counts stands where a cell has no finished run, with those that it has."""

Kind = Literal["heading", "published", "ours", "difference"]


@dataclass(frozen=True)
class Column:
    """One column; neighbours of one ``group`` share a heading above theirs."""

    name: str
    group: str = ""
    parenthesised: bool = False
    text: bool = False
    decimals: int = 1
    """Of our own numbers; published ones keep theirs."""


@dataclass(frozen=True)
class Line:
    """One line: a label and a value for each column."""

    kind: Kind
    label: str
    values: tuple[Value, ...] = ()


@dataclass(frozen=True)
class Table:
    """A finished table."""

    title: str
    columns: tuple[Column, ...]
    lines: tuple[Line, ...]
    notes: tuple[str, ...]
    records: Records[Record] | tuple[ComparisonRecord, ...]
    """All of one kind."""


def dataset_title(dataset: str) -> str:
    """A dataset's name in headings."""
    return TITLES.get(dataset, dataset)


def row_label(system: str, num_samples: int) -> str:
    """A system with its L."""
    return display_name(system) + (f" L={num_samples}" if num_samples else "")


def runs_text(counts: Counts) -> str | None:
    """The n of a cell: ``5``, or ``3/5`` where three of five runs are done."""
    if not counts.total:
        return None
    return str(counts.done) if counts.done == counts.total else f"{counts.done}/{counts.total}"


def legend(lines: Sequence[Line]) -> list[str]:
    """What the marks in ``lines`` mean, as one note of those that occur."""
    values = [value for line in lines for value in line.values]
    statuses = [value for value in values if isinstance(value, Counts)]
    marks = []
    if any(isinstance(value, Average | Fact) and value.std is not None for value in values):
        marks.append(
            "±: standard deviation over seeds (ours: of the sample, n of them; published: of five)"
        )
    if any(isinstance(value, str) and "/" in value for value in values):
        marks.append("n = 3/5: 3 of 5 runs are done")
    if any(not status.total for status in statuses):
        marks.append("–: missing, no run")
    if any(status.failed for status in statuses):
        marks.append("failed (2 of 5): none of 5 runs is done, 2 failed")
    notes = ["; ".join(marks)] if marks else []
    if any(line.label.endswith(NOT_A_BOUND) for line in lines):
        notes.append(
            f"{NOT_A_BOUND}: NLL and PPL charge one KL for L samples, the paper's convention: not "
            "bounds of the model that is evaluated; the valid ones are in the table of bounds"
        )
    return notes
