"""The report: what was read, the tables, which numbers are bounds, what failed, what is missing, the cost.

One :class:`Report` is composed from the runs and then told twice: on the terminal and as Markdown.
"""

from __future__ import annotations

import dataclasses
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from rich.console import Console
from rich.text import Text

from analysis.bounds import CAUTION, EXPLANATION, bounds_table, examples, missing_cells
from analysis.cells import Cell, average_cells, with_bootstrap
from analysis.collect import Runs
from analysis.comparisons import compare_all
from analysis.contrasts import comparison_table, reproduction_table
from analysis.frame import STATUSES
from analysis.missing import with_missing
from analysis.notes import dataset_notes
from analysis.published import TITLES
from analysis.records import ComparisonRecord, Record
from analysis.render import (
    LATEX_HEADER,
    csv_text,
    latex_table,
    markdown_code,
    markdown_escape,
    markdown_table,
    print_table,
)
from analysis.tables import table2, table3
from analysis.values import Table, dataset_title, row_label
from lvae_core.record import open_store

_SHOWN_ON_TERMINAL = 10
"""Failed or damaged runs named there; report.md names them all."""

_TEXT_WIDTH = 100

RESAMPLING_SEED = 20190728
"""Of bootstrap and sign flips: the same runs give the same report."""

_RETRY = "the sweep's command with --retry-failed takes them up again"


@dataclass(frozen=True)
class Report:
    """All that is told, in the order in which it is told."""

    studies: tuple[str, ...]
    facts: tuple[str, ...]
    table2: tuple[Table, ...]
    table3: tuple[Table, ...]
    bounds: tuple[Table, ...]
    examples: tuple[str, ...]
    comparisons: tuple[Table, ...]
    reproductions: tuple[Table, ...]
    problems: tuple[str, ...]
    failures: tuple[tuple[str, str], ...]
    """Run name and why it failed."""
    missing: tuple[str, ...]
    frame: pd.DataFrame


def compose(runs: Runs) -> Report:
    """Everything that the runs say."""
    frame = with_missing(runs.frame)
    rng = np.random.default_rng(RESAMPLING_SEED)
    cells = with_bootstrap(average_cells(frame), rng)
    compared = compare_all(cells, rng)
    present = set(frame["dataset"].dropna())
    paper = [dataset for dataset in TITLES if dataset in present]
    datasets = [*paper, *sorted(present - set(paper))]
    tables2 = [
        dataclasses.replace(table, notes=(*table.notes, *dataset_notes(frame, cells, dataset)))
        for dataset in datasets
        for table in [table2(cells, dataset)]
    ]
    groups = [list(TITLES)] if paper else []
    groups += [[dataset] for dataset in datasets if dataset not in TITLES]
    told = [sentence for dataset in datasets for sentence in examples(cells, dataset)]
    return Report(
        studies=runs.studies,
        facts=tuple(_facts(runs, frame)),
        table2=tuple(tables2),
        table3=_with_lines(table3(cells, group) for group in groups),
        bounds=tuple(bounds_table(cells, dataset) for dataset in datasets),
        examples=(*told, CAUTION) if told else (),
        comparisons=_with_lines(comparison_table(compared, dataset) for dataset in datasets),
        reproductions=_with_lines(reproduction_table(cells, dataset) for dataset in paper),
        problems=runs.problems,
        failures=tuple(_failures(frame)),
        missing=tuple(_missing(cells, paper)),
        frame=frame,
    )


def _with_lines(tables: Iterable[Table]) -> tuple[Table, ...]:
    return tuple(table for table in tables if table.lines)


def _facts(runs: Runs, frame: pd.DataFrame) -> Iterable[str]:
    counts = frame["status"].value_counts()
    by_status = ", ".join(f"{counts[status]} {status}" for status in STATUSES if status in counts)
    yield f"runs: {len(runs.frame)} ({by_status})"
    if "running" in counts:
        yield "running: so says a claim in the run folder; a process that dies at once leaves it behind"
    if "missing" in counts:
        yield "missing: seeds that half or more of the cells of their study have"
    if runs.duplicates:
        yield f"the same run counts once, wherever it lies: {runs.duplicates} left out"
    commits = frame["commit"].str[:10] + frame["dirty"].map({True: " + changes"}).fillna("")
    for name, column in [("commit", commits), ("versions", frame["versions"]), ("device", frame["device"])]:
        found = column.value_counts()
        if len(found):
            yield f"{name}: " + "; ".join(f"{value} ({count} runs)" for value, count in found.items())
    done = frame[frame["status"] == "done"]
    seconds = done[["train_seconds", "evaluate_seconds"]].sum(axis=1).groupby(done["dataset"]).sum()
    if len(seconds):
        unit, size = ("hours", 3600) if seconds.sum() >= 3600 else ("minutes", 60)
        parts = ", ".join(f"{dataset_title(str(name))} {s / size:.3g}" for name, s in seconds.items())
        total = f"{seconds.sum() / size:.3g} device-{unit}"
        yield f"cost: {total} in {len(done)} finished runs ({parts})"


def _failures(frame: pd.DataFrame) -> Iterable[tuple[str, str]]:
    failed = frame[frame["status"] == "failed"]
    for run in failed.itertuples():
        yield str(run.run), f"{run.failure_class}, attempt {run.failure_attempt}: {run.message}"


def _missing(cells: Sequence[Cell], paper: Sequence[str]) -> Iterable[str]:
    for dataset in paper:
        missing = missing_cells(cells, dataset)
        if missing:
            names = [f"{row_label(c.system, c.num_samples)} {c.setting}" for c in missing]
            yield f"{dataset_title(dataset)}: no run of {', '.join(names)}"
    absent = [title for name, title in TITLES.items() if name not in paper]
    if absent and paper:
        yield f"{' and '.join(absent)}: no run at all (python sweeps/paper_grid.py)"


def markdown(report: Report) -> str:
    """The report as one Markdown page."""
    parts = ["# Results beside the published numbers\n"]
    facts = [*(f"study {markdown_code(study)}" for study in report.studies)]
    facts += [markdown_escape(fact) for fact in report.facts]
    parts.append(_bullets(facts))
    parts += ["## Table 2\n", *map(_markdown_section, report.table2)]
    parts += ["## Table 3\n", *map(_markdown_section, report.table3)] if report.table3 else []
    parts += ["## Which numbers are bounds\n", _bullets(map(markdown_escape, EXPLANATION))]
    if report.examples:
        parts += ["In numbers:\n", _bullets(map(markdown_escape, report.examples))]
    parts += map(_markdown_section, report.bounds)
    compared = (*report.reproductions, *report.comparisons)
    parts += ["## Comparisons\n", *map(_markdown_section, compared)] if compared else []
    if report.problems:
        parts += ["## Damaged files\n", _bullets(map(markdown_code, report.problems))]
    if report.failures:
        named = (f"{markdown_code(run)}: {markdown_code(why)}" for run, why in report.failures)
        parts += [f"## Failed runs\n\n{_RETRY}:\n", _bullets(named)]
    if report.missing:
        parts += ["## Missing\n", _bullets(map(markdown_escape, report.missing))]
    return "\n".join(parts)


def _markdown_section(table: Table) -> str:
    return f"### {markdown_escape(table.title)}\n\n{markdown_table(table)}\n" + (
        _bullets(map(markdown_escape, table.notes)) if table.notes else ""
    )


def _bullets(items: Iterable[str]) -> str:
    return "".join(f"- {item}\n" for item in items)


def print_report(report: Report, console: Console) -> None:
    """The report on a terminal, or as plain lines where there is none."""
    for study in report.studies:
        _line(console, f"study {study}")
    for fact in report.facts:
        _line(console, fact)
    for table in (*report.table2, *report.table3):
        _table(console, table)
    console.print()
    _heading(console, "Which numbers are bounds")
    for text in EXPLANATION:
        _line(console, text, bullet=True)
    if report.examples:
        console.print("\nIn numbers:")
    for text in report.examples:
        _line(console, text, bullet=True)
    for table in (*report.bounds, *report.reproductions, *report.comparisons):
        _table(console, table)
    named = [f"{run}: {why}" for run, why in report.failures]
    for title, items in [
        ("Damaged files", report.problems),
        (f"Failed runs ({_RETRY})", named),
        ("Missing", report.missing),
    ]:
        if items:
            console.print()
            _heading(console, title)
        for item in items[:_SHOWN_ON_TERMINAL]:
            _line(console, item, bullet=True)
        if len(items) > _SHOWN_ON_TERMINAL:
            _line(console, f"and {len(items) - _SHOWN_ON_TERMINAL} more in report.md", bullet=True)


def _table(console: Console, table: Table) -> None:
    console.print()
    _heading(console, table.title)
    print_table(console, table)
    console.print()
    for note in table.notes:
        _line(console, note, bullet=True)


def _heading(console: Console, text: str) -> None:
    console.print(Text(text, style="bold"))


def _line(console: Console, text: str, *, bullet: bool = False) -> None:
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


def write(report: Report, out: str) -> str:
    """Write every file of the summary, each whole or not at all; returns the path of report.md.

    Raises:
        OSError: the place cannot be written.
    """
    store = open_store(out)
    files = {"runs.csv": str(report.frame.to_csv(index=False, lineterminator="\n"))}
    for name, kind, tables in [
        ("table2", Record, report.table2),
        ("table3", Record, report.table3),
        ("bounds", Record, report.bounds),
        ("comparisons", ComparisonRecord, (*report.reproductions, *report.comparisons)),
    ]:
        files[f"{name}.md"] = "\n".join(map(_markdown_section, tables))
        files[f"{name}.tex"] = "\n".join([LATEX_HEADER, *map(latex_table, tables)])
        files[f"{name}.csv"] = csv_text(tables, kind)
    files["report.md"] = markdown(report)
    for name, text in files.items():
        store.write(name, text.encode())
    return f"{out.rstrip('/')}/report.md"
