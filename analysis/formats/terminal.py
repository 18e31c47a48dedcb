"""Print reports and tables: on a terminal, or as plain lines if the output is a pipe or a file."""

from __future__ import annotations

import dataclasses
import functools
import re
import textwrap
from collections.abc import Sequence
from typing import TypeGuard

import rich.box
import rich.table
from rich.console import Console
from rich.measure import Measurement
from rich.text import Text

from analysis.formats.text import value_text
from analysis.report.findings import Finding
from analysis.report.report import Report
from analysis.report.two_studies import TwoStudies
from analysis.stats.cells import Counts
from analysis.tables.elements.table import DOUBTFUL, NOT_A_BOUND, Column, Line, Table, Value

_MOST_NAMED = 10
"""The largest number of failed runs, or damaged files, that are printed; the files have them all."""

_MOST_LINES = 200
"""The largest number of lines of a table that are printed; report.md has them all."""

_TEXT_WIDTH = 100


def print_report(report: Report, console: Console) -> None:
    """Print what a reader needs first; report.md has it with all tables, notes and explanations."""
    for study in report.studies:
        line(console, f"study {study}")
    for fact in report.short_facts:
        line(console, fact)
    for remark in report.remarks:
        console.print()
        line(console, f"{remark}.")
    _print_findings(console, report.findings)
    said: set[str] = set()
    beside = [table for table in report.table3 if table.has_published]
    for table in (*report.table2, *beside, *report.reproductions, *report.comparisons):
        print_table(console, table.brief().without(said))
        # On a page, these stand below each table with their sign.
        said.update(note for note in table.notes if note.startswith((NOT_A_BOUND, DOUBTFUL)))
    _print_reasons(console, report.findings)
    named = [f"{run}: {why}" for run, why in report.failures]
    _print_items(console, "Damaged files", report.problems, "report.md")
    _print_items(console, "Failed runs", named, "report.md")
    for advice in report.advice:
        line(console, f"{advice[0].upper()}{advice[1:]}.")
    _print_items(console, "Missing", report.missing, "report.md")
    console.print()
    line(console, f"Only in the files: {', '.join(_only_in_files(report))}.")


def _print_findings(console: Console, findings: Sequence[Finding]) -> None:
    if findings:
        console.print()
    for finding in findings:
        line(console, finding.text, bullet=True)
        for detail in finding.details:
            line(console, detail, bullet=True, margin="  ")


def _print_reasons(console: Console, findings: Sequence[Finding]) -> None:
    """Print why comparisons allow no conclusion, below the name of their dataset and setting."""
    if not any(finding.reasons for finding in findings):
        return
    console.print()
    heading(console, "Why comparisons allow no conclusion")
    for finding in findings:
        where = finding.text.partition(": ")[0]
        for reason in finding.reasons:
            line(console, f"{where}: {reason}", bullet=True)


def _only_in_files(report: Report) -> list[str]:
    """Names of the parts of a report that :func:`print_report` leaves to the files."""
    parts = {
        "what the conventions change": report.examples,
        report.title3.replace("Imp", "imp"): any(not table.has_published for table in report.table3),
        "published elsewhere": report.further,
        "bounds": report.bounds,
        "vocabularies compared": report.spelled,
        "the rule and family of verdicts": report.comparisons,
        "use of the latent variable": report.latent,
        "cost": report.costs,
        "hyperparameters": report.hyperparameters,
        "commit and versions": True,
    }
    return [name for name, present in parts.items() if present]


def print_table(console: Console, table: Table) -> None:
    """Print a table with its title above and its notes below."""
    console.print()
    heading(console, table.heading)
    print_grid(console, dataclasses.replace(table, lines=table.lines[:_MOST_LINES]))
    console.print()
    if len(table.lines) > _MOST_LINES:
        line(console, f"{len(table.lines) - _MOST_LINES} more lines are in the .md files", bullet=True)
    for note in table.notes:
        line(console, note, bullet=True)


def heading(console: Console, text: str) -> None:
    """Print a heading, in bold if the terminal can."""
    console.print(Text(text, style="bold"))


def line(console: Console, text: str, *, bullet: bool = False, margin: str = "") -> None:
    """Print a wrapped paragraph to the right of ``margin``."""
    # A path or a run's name is never broken, so that it can be copied.
    lines = textwrap.wrap(
        text,
        min(console.width, _TEXT_WIDTH),
        initial_indent=margin + ("- " if bullet else ""),
        subsequent_indent=margin + ("  " if bullet else ""),
        break_long_words=False,
        break_on_hyphens=False,
    )
    console.print(Text("\n".join(lines)), soft_wrap=True)


def print_comparison(compared: TwoStudies, console: Console) -> None:
    """Print the comparison of two studies."""
    for letter, study, facts in zip("AB", compared.studies, compared.facts, strict=True):
        line(console, f"study {letter}: {study}")
        for fact in facts:
            line(console, fact, bullet=True)
    _print_findings(console, compared.findings)
    if compared.notes:
        console.print()
        heading(console, "What differs")
    for note in compared.notes:
        line(console, note, bullet=True)
    said: set[str] = set()
    for table in compared.tables:
        print_table(console, table.brief().without(said))
    _print_reasons(console, compared.findings)
    _print_items(console, "Damaged files", compared.problems, "compare.html")


def _print_items(console: Console, title: str, items: Sequence[str], file: str) -> None:
    """Print the first of some items below a title; ``file`` has them all."""
    if items:
        console.print()
        heading(console, title)
    for item in items[:_MOST_NAMED]:
        line(console, item, bullet=True)
    if len(items) > _MOST_NAMED:
        line(console, f"and {len(items) - _MOST_NAMED} more in {file}", bullet=True)


_STYLES = {"heading": "bold", "published": "dim", "ours": "", "difference": "cyan"}


def print_grid(console: Console, table: Table) -> None:
    """Print the columns and lines of a table; nothing is said by colour alone.

    A table wider than the window is set closer, and its words are broken into lines; one with groups of
    columns is printed one group after the other. If that does not help, it keeps its width: a line that the
    terminal wraps can be read, a truncated number cannot.
    """
    window = console.width
    for number, part in enumerate(_parts(console, table, window)):
        if number:
            console.print()
        console.width = max(window, _width(console, part))
        console.print(part)
        console.width = window


def _parts(console: Console, table: Table, window: int) -> list[rich.table.Table]:
    """The table as it is if it fits the window, else in one or several parts that are narrower."""
    apart = dataclasses.replace(table, lines=tuple(map(_with_name_apart, table.lines)))
    for drawn in map(_rich_table, (table, apart)):
        if _width(console, drawn) <= window:
            return [drawn]
    groups = dict.fromkeys(column.group for column in table.columns)
    if len(groups) > 1:
        return [_rich_table(apart.with_columns(functools.partial(_is_in, group))) for group in groups]
    close = _rich_table(apart, apart=1)
    excess = _width(console, close) - window
    return [close if excess <= 0 else _rich_table(_with_words_broken(apart, excess), apart=1)]


def _with_words_broken(table: Table, excess: int) -> Table:
    """The table with its last column of words narrower by ``excess``, if no word is longer than that."""
    place = max((place for place, column in enumerate(table.columns) if column.text), default=None)
    if place is None:
        return table

    def is_words(value: Value, at: int) -> TypeGuard[str]:
        return at == place and isinstance(value, str)

    found = [v for line in table.lines for at, v in enumerate(line.values) if is_words(v, at)]
    width = max(map(len, found), default=1) - excess
    width = max([width, *(len(word) for words in found for word in words.split())])
    lines = (
        dataclasses.replace(
            line,
            values=tuple(
                "\n".join(textwrap.wrap(value, width)) if is_words(value, at) else value
                for at, value in enumerate(line.values)
            ),
        )
        for line in table.lines
    )
    return dataclasses.replace(table, lines=tuple(lines))


def _is_in(group: str, column: Column) -> bool:
    return column.group == group


def _width(console: Console, drawn: rich.table.Table) -> int:
    return Measurement.get(console, console.options.update(width=10_000), drawn).minimum


def _rich_table(table: Table, apart: int = 2) -> rich.table.Table:
    """The table as rich draws it, with its columns at least ``apart`` spaces apart."""
    drawn = rich.table.Table(
        box=rich.box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        padding=(0, apart - 1, 0, 0),
    )
    headings = ["", *_rich_headings(table)]
    grid = [[_break_label(line.label), *_narrow(line, table.columns)] for line in table.lines]
    text = [True, *(column.text for column in table.columns)]
    for position, (heading, is_text) in enumerate(zip(headings, text, strict=True)):
        cells = [Text(heading), *(Text(row[position]) for row in grid if position < len(row))]
        # Without a minimum, rich would cut numbers to fit the window.
        width = max(part.cell_len for cell in cells for part in cell.split(allow_blank=True))
        drawn.add_column(cells[0], justify="left" if is_text else "right", min_width=width)
    for line, following, row in zip(table.lines, [*table.lines[1:], None], grid, strict=True):
        ends = following is not None and following.kind == "heading"
        drawn.add_row(*map(Text, row), style=_STYLES[line.kind], end_section=ends)
    return drawn


def _break_label(label: str) -> str:
    """Put each field of a variant on a separate line, to save columns."""
    return re.sub(r", (?=\w+=)", ",\n    ", label)


def _with_name_apart(line: Line) -> Line:
    """Put the variant of a row that ends with it, and what a heading names last, on a separate line."""
    indent = " " * (len(line.label) - len(line.label.lstrip()) + 2)
    if line.kind == "heading":
        return dataclasses.replace(line, label=f",\n{indent}".join(line.label.rsplit(", ", 1)))
    return dataclasses.replace(line, label=re.sub(r" (?=\(\w+=)", rf"\n{indent}", line.label))


def _narrow(line: Line, columns: Sequence[Column]) -> list[str]:
    texts = (value_text(v, c) for v, c in zip(line.values, columns, strict=False))
    return [
        text.replace(", ", "\n").replace(" (", "\n(") if isinstance(value, Counts) else text
        for text, value in zip(texts, line.values, strict=True)
    ]


def _rich_headings(table: Table) -> list[str]:
    names = [column.name for column in table.columns]
    if not table.groups:
        return names
    above = [text for group, width in table.groups for text in (group, *[""] * (width - 1))]
    return [f"{group}\n{name}" for group, name in zip(above, names, strict=True)]
