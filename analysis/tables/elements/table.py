"""A table: columns, lines and notes, independent of content and output format.

Columns, lines and notes are for reading; the rows of csv_rows.py are the same numbers for further
computation. Nothing here draws.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from analysis.published.catalogue import TITLES, display_name
from analysis.published.facts import Derived, Fact
from analysis.stats.average import Average
from analysis.stats.cells import Cell, Counts
from analysis.stats.intervals import Interval, decimals
from analysis.tables.elements.csv_rows import Row

SETTINGS = ("standard", "inputless")

NOT_A_BOUND = "‡"
"""Marks the label of a row whose NLL and PPL are not bounds."""

DOUBTFUL = "§"
"""Marks published numbers that are bounds only under a condition, which a note gives."""


@dataclass(frozen=True)
class Difference:
    """Ours minus published, or ours minus another row's, in the unit of its column."""

    value: float
    interval: Interval | None = field(default=None, compare=False)
    """95%."""
    a: Average | None = field(default=None, compare=False)
    b: Average | Fact | Derived | None = field(default=None, compare=False)
    """``value`` is ``a`` minus ``b``."""


Value = Average | Fact | Derived | Difference | Interval | Counts | str | None
"""A value of a line. A cell without a finished run has Counts instead of a number."""

Kind = Literal["heading", "published", "ours", "difference"]


@dataclass(frozen=True)
class Column:
    """A column; neighbours of the same ``group`` share a heading above their names."""

    name: str
    group: str = ""
    parenthesised: bool = False
    text: bool = False
    decimals: int = 1
    """For our own numbers; published ones keep the decimals they were printed with."""


@dataclass(frozen=True)
class Line:
    """A line: a label and a value for each column."""

    kind: Kind
    label: str
    values: tuple[Value, ...] = ()
    detail: bool = False
    """Whether a terminal leaves the line to the files."""


@dataclass(frozen=True)
class Table:
    """A finished table."""

    title: str
    columns: tuple[Column, ...]
    lines: tuple[Line, ...]
    notes: tuple[str, ...]
    csv_rows: Callable[[], Iterable[Row]] = tuple
    """Makes the CSV rows; a function, because those of a large study would fill the memory."""
    marks: tuple[str, ...] = ()
    """What ‡, n and short names mean, without which the numbers cannot be read: where a table stands alone,
    as in a paper, these notes are printed with it."""
    once: tuple[str, ...] = ()
    """Those of the notes that a page of several tables gives only once."""
    background: tuple[str, ...] = ()
    """Those of the notes that explain methods, which a terminal leaves to the files."""
    number: str = ""
    """The number that the table has where it was published, ``2a``."""

    @property
    def heading(self) -> str:
        """The title with the table's number."""
        return f"Table {self.number}. {self.title}" if self.number else self.title

    @property
    def groups(self) -> tuple[tuple[str, int], ...]:
        """Each heading above neighbouring columns, with their number; empty if no column has one."""
        found = itertools.groupby(column.group for column in self.columns)
        groups = tuple((group, len(list(columns))) for group, columns in found)
        return groups if any(group for group, _ in groups) else ()

    def without(self, said: set[str]) -> Table:
        """The table without the notes that the page has given already; adds the others to ``said``."""
        notes = tuple(note for note in self.notes if note not in said)
        said.update(self.once)
        return dataclasses.replace(self, notes=notes)

    def brief(self) -> Table:
        """The table without the lines and notes that a terminal leaves to the files."""
        lines = tuple(line for line in self.lines if not line.detail)
        notes = tuple(note for note in self.notes if note not in self.background)
        return dataclasses.replace(self, lines=lines, notes=notes)

    @property
    def has_published(self) -> bool:
        """Whether the table has a published number."""
        return any(isinstance(value, Fact) for line in self.lines for value in line.values)

    def with_columns(self, kept: Callable[[Column], bool]) -> Table:
        """The same table with some of its columns."""
        places = [place for place, column in enumerate(self.columns) if kept(column)]
        lines = (
            dataclasses.replace(
                line, values=tuple(line.values[place] for place in places if place < len(line.values))
            )
            for line in self.lines
        )
        columns = tuple(self.columns[place] for place in places)
        return dataclasses.replace(self, columns=columns, lines=tuple(lines))


def dataset_title(dataset: str) -> str:
    """The name of a dataset in headings."""
    return TITLES.get(dataset, dataset)


def row_label(system: str, num_samples: int) -> str:
    """The name of a system with its L, as tables print it."""
    return name_label(display_name(system), num_samples)


def name_label(name: str, num_samples: int) -> str:
    """A printed name with its L, if the model has a latent variable."""
    return name + (f" L={num_samples}" if num_samples else "")


def cell_label(cell: Cell, variant: str = " ({})", *, marked: bool = False) -> str:
    """The name of a cell's system with its L and variant: ``LSTM-VAE L=2 (C)``.

    Args:
        cell: the cell.
        variant: how its variant is appended, if it has one.
        marked: append NOT_A_BOUND to the L if the published convention gives this cell no bound.
    """
    label = row_label(cell.system, cell.num_samples)
    label += NOT_A_BOUND if marked and cell.joint_latent else ""
    return label + (variant.format(cell.variant_name) if cell.variant_name else "")


def cell_names(cells: Iterable[Cell], *, with_setting: bool = False) -> list[str]:
    """The names of cells, those of one system and L together: ``LSTM-VAE L=2 (C to E, G)``.

    Args:
        cells: the cells; those of the same name are named once.
        with_setting: append the setting, and keep the settings apart.
    """
    rows: dict[str, dict[str, None]] = {}
    settings: dict[str, str] = {}
    for cell in cells:
        row = row_label(cell.system, cell.num_samples)
        setting = f" {cell.setting}" if with_setting else ""
        rows.setdefault(f"{row}{setting}", {})[cell.variant_name] = None
        settings[f"{row}{setting}"] = setting
    named = []
    for key, variants in rows.items():
        row, setting = key.removesuffix(settings[key]), settings[key]
        together = _together([name for name in variants if name])
        named += [key] if "" in variants else []
        named += [f"{row} ({together}){setting}"] if together else []
    return named


def _together(names: Sequence[str]) -> str:
    """Names of variants in a list, three or more letters or numbers in a row as ``C to E``."""
    parts: list[str] = []
    for _, run in itertools.groupby(enumerate(names), lambda at: _place(at[1]) - at[0]):
        of_run = [name for _, name in run]
        parts += [f"{of_run[0]} to {of_run[-1]}"] if len(of_run) > 2 else of_run
    return ("; " if any(", " in part for part in parts) else ", ").join(parts)


def _place(name: str) -> float:
    """The place of a letter among letters, or of v1 among numbers; NaN, which equals nothing, of others."""
    if len(name) == 1 and name.isupper():
        return ord(name)
    return int(name[1:]) if name[:1] == "v" and name[1:].isdecimal() else math.nan


def runs_text(counts: Counts, *averages: Average | None) -> str | None:
    """The n of a line with these averages: ``5``, or ``3/5`` if the means are of three of five runs.

    A run that is done is not among them if it lacks the evaluation that the tables show. Without a finished
    run it is ``0``: the line says in words how many runs failed or are unfinished.
    """
    if not counts.total:
        return None
    if not counts.done:
        return "0"
    n = min((average.n for average in averages if average), default=0)
    return str(n) if n == counts.total else f"{n}/{counts.total}"


def legend(lines: Sequence[Line]) -> list[str]:
    """Explain the marks that occur in ``lines``, and give the notes on the published numbers in them."""
    facts = [value for line in lines for value in line.values if isinstance(value, Fact)]
    marks = marks_of(lines)
    return [*marks, *(remark for remark, _ in _remarks(facts) if remark not in marks)]


def marks_of(lines: Sequence[Line]) -> list[str]:
    """Explain the marks that occur in ``lines``, and n, with the notes that make a bound doubtful."""
    values = [value for line in lines for value in line.values]
    facts = [value for value in values if isinstance(value, Fact)]
    statuses = [value for value in values if isinstance(value, Counts)]
    marks = ["n: number of seeds"] if any(isinstance(value, Average) for value in values) else []
    if any(isinstance(value, Average | Fact) and value.std is not None for value in values):
        runs = {fact.runs for fact in facts if fact.std is not None}
        stated = " or ".join(str(number) for number in sorted(number for number in runs if number))
        sides = (
            ["ours: sample std of n seeds"] if any(isinstance(v, Average | Counts) for v in values) else []
        )
        if stated:
            sides.append(f"published: of {stated} runs{' where stated' if None in runs else ''}")
        marks.append(f"±: standard deviation over seeds ({'; '.join(sides) or 'number not stated'})")
    if any(isinstance(value, str) and re.fullmatch(r"\d+/\d+", value) for value in values):
        marks.append(
            "n with a slash: runs in the mean / all runs; the others are not done or lack this evaluation"
        )
    if any(not status.total for status in statuses):
        marks.append("–: missing, no run")
    if any(status.total for status in statuses):
        marks.append(
            "words in place of numbers: no run is done, and so many of all failed in this way or are "
            "unfinished"
        )
    notes = ["; ".join(marks)] if marks else []
    in_labels = any(NOT_A_BOUND in line.label for line in lines)
    if in_labels or any(fact.marked and fact.bound == "no" for fact in facts):
        notes.append(
            f"{NOT_A_BOUND}: NLL and PPL count one KL for several samples of z, so they are not bounds of "
            # The table of bounds itself marks no labels.
            f"the evaluated model{'; the table of bounds has valid ones' if in_labels else ''}"
        )
    doubtful = [fact for fact in facts if fact.bound == "doubtful"]
    if any(DOUBTFUL in line.label for line in lines) or any(fact.marked for fact in doubtful):
        notes.append(f"{DOUBTFUL}: a bound only under a condition, as the note on its source says")
        notes += [remark for remark, is_doubtful in _remarks(facts) if is_doubtful]
    return notes


def difference_decimals(difference: Difference, least: int = 1) -> int:
    """The decimals of a difference: ``least``, or as many as show its error.

    One that they would round to 0 gets more, but no more than its two numbers have.
    """
    digits = decimals(difference.interval.half_width if difference.interval else None, least)
    numbers = (difference.a, difference.b)
    most = max((decimals(n.std, least) for n in numbers if isinstance(n, Average)), default=digits)
    while digits < most and difference.value and not round(difference.value, digits):
        digits += 1
    return digits


def marks_given_once(lines: Sequence[Line]) -> list[str]:
    """Those of :func:`marks_of` that a page of several tables need not repeat.

    A sign at a name or number is explained below each table that has it: a reader meets it there.
    """
    return [note for note in marks_of(lines) if not note.startswith((NOT_A_BOUND, DOUBTFUL))]


def formula_notes(lines: Sequence[Line]) -> list[str]:
    """Say how the numbers in ``lines`` that were not printed follow from those that were."""
    values = [value for line in lines for value in line.values]
    formulas = dict.fromkeys(v.formula for v in values if isinstance(v, Fact | Derived) and v.formula)
    if not formulas:
        return []
    return [f"†: not printed, but follows from printed numbers: {'; '.join(formulas)}"]


def _remarks(facts: Sequence[Fact]) -> Iterable[tuple[str, bool]]:
    """Each note on published numbers once, with the systems that it is about unless it is about all.

    With each: whether a number that it is about is a bound only under a condition.
    """
    about: dict[tuple[str, str], list[Fact]] = {}
    for fact in facts:
        if fact.note:
            about.setdefault((fact.cited, fact.note), []).append(fact)
    for (source, note), those in about.items():
        metrics = {fact.metric for fact in those}
        names = dict.fromkeys(fact.name for fact in those)
        others = {f.name for f in facts if f.cited == source and f.metric in metrics} - names.keys()
        remark = f"{source}, {' and '.join(names)}: {note}" if others else f"{source}: {note}"
        yield remark, any(fact.bound == "doubtful" for fact in those)
