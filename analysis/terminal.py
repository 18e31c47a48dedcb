"""The report on a terminal, or as plain lines where there is none."""

from __future__ import annotations

import dataclasses
import textwrap

from rich.console import Console
from rich.text import Text

from analysis.bounds import EXPLANATION
from analysis.compare import Compared
from analysis.render import print_table
from analysis.report import RETRY, Report
from analysis.values import Table

_SHOWN = 10
"""Failed or damaged runs named there; report.md names them all."""

_MOST_LINES = 200
"""Of a table there; report.md has them all."""

_TEXT_WIDTH = 100


def print_report(report: Report, console: Console) -> None:
    """The report on a terminal, or as plain lines where there is none."""
    for study in report.studies:
        line(console, f"study {study}")
    for fact in report.facts:
        line(console, fact)
    for drawn in (*report.table2, *report.table3):
        table(console, drawn)
    console.print()
    heading(console, "Which numbers are bounds")
    for text in EXPLANATION:
        line(console, text, bullet=True)
    if report.examples:
        console.print("\nIn numbers:")
    for text in report.examples:
        line(console, text, bullet=True)
    for drawn in (*report.bounds, *report.reproductions, *report.comparisons, *report.costs):
        table(console, drawn)
    named = [f"{run}: {why}" for run, why in report.failures]
    for title, items in [
        ("Damaged files", report.problems),
        (f"Failed runs ({RETRY})", named),
        ("Missing", report.missing),
    ]:
        if items:
            console.print()
            heading(console, title)
        for item in items[:_SHOWN]:
            line(console, item, bullet=True)
        if len(items) > _SHOWN:
            line(console, f"and {len(items) - _SHOWN} more in report.md", bullet=True)


def table(console: Console, drawn: Table) -> None:
    """A table under its title, its notes below."""
    console.print()
    heading(console, drawn.title)
    print_table(console, dataclasses.replace(drawn, lines=drawn.lines[:_MOST_LINES]))
    console.print()
    if len(drawn.lines) > _MOST_LINES:
        line(console, f"{len(drawn.lines) - _MOST_LINES} more lines are in the .md files", bullet=True)
    for note in drawn.notes:
        line(console, note, bullet=True)


def heading(console: Console, text: str) -> None:
    """A line that stands out where there is colour."""
    console.print(Text(text, style="bold"))


def line(console: Console, text: str, *, bullet: bool = False) -> None:
    """A paragraph, wrapped."""
    # A path or a run's name is never broken: it is there to be copied.
    lines = textwrap.wrap(
        text,
        min(console.width, _TEXT_WIDTH),
        initial_indent="- " if bullet else "",
        subsequent_indent="  " if bullet else "",
        break_long_words=False,
        break_on_hyphens=False,
    )
    console.print(Text("\n".join(lines)), soft_wrap=True)


def print_comparison(compared: Compared, console: Console) -> None:
    """Two studies side by side."""
    for letter, study, facts in zip("AB", compared.studies, compared.facts, strict=True):
        line(console, f"study {letter}: {study}")
        for fact in facts:
            line(console, fact, bullet=True)
    if compared.notes:
        console.print()
        heading(console, "What differs")
    for note in compared.notes:
        line(console, note, bullet=True)
    for drawn in compared.tables:
        table(console, drawn)
    if compared.problems:
        console.print()
        heading(console, "Damaged files")
    for problem in compared.problems[:_SHOWN]:
        line(console, problem, bullet=True)
