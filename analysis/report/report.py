"""The report: what was read, the tables, which numbers are bounds, what failed, what is missing, the cost.

One :class:`Report` is composed from the runs and then told on the terminal, as Markdown and as a web page.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.published import TITLES
from analysis.reading.collect import Runs
from analysis.report.provenance import facts
from analysis.stats.cells import Cell, average_cells, with_bootstrap
from analysis.stats.comparisons import compare_all
from analysis.stats.missing_runs import with_missing
from analysis.tables.bounds import CAUTION, bounds_table, examples, missing_cells
from analysis.tables.comparisons import comparison_table, reproduction_table
from analysis.tables.costs import cost_table
from analysis.tables.notes import dataset_notes
from analysis.tables.paper import table2, table3
from analysis.tables.shown_variants import choice_notes, mark_shown
from analysis.tables.table import Table, dataset_title, row_label

RESAMPLING_SEED = 20190728
"""Of bootstrap and sign flips: the same runs give the same report."""

RETRY = "the sweep's command with --retry-failed takes them up again"


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
    costs: tuple[Table, ...]
    problems: tuple[str, ...]
    failures: tuple[tuple[str, str], ...]
    """Run name and why it failed."""
    missing: tuple[str, ...]
    frame: pd.DataFrame
    """With the missing runs."""
    cells: tuple[Cell, ...]
    datasets: tuple[str, ...]
    """The paper's first."""


def compose(runs: Runs) -> Report:
    """Everything that the runs say."""
    frame = with_missing(runs.frame)
    rng = np.random.default_rng(RESAMPLING_SEED)
    cells = with_bootstrap(mark_shown(average_cells(frame)), rng)
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
        facts=tuple(facts(runs, frame)),
        table2=tuple(tables2),
        table3=_with_lines(table3(cells, group) for group in groups),
        bounds=tuple(bounds_table(cells, dataset) for dataset in datasets),
        examples=(*told, CAUTION) if told else (),
        comparisons=_with_lines(
            dataclasses.replace(table, notes=(*table.notes, *choice_notes(cells, dataset)))
            for dataset in datasets
            for table in [comparison_table(compared, dataset)]
        ),
        reproductions=_with_lines(reproduction_table(cells, dataset) for dataset in paper),
        costs=_with_lines(cost_table(cells, dataset) for dataset in datasets),
        problems=runs.problems,
        failures=tuple(_failures(frame)),
        missing=tuple(_missing(cells, paper)),
        frame=frame,
        cells=tuple(cells),
        datasets=tuple(datasets),
    )


def _with_lines(tables: Iterable[Table]) -> tuple[Table, ...]:
    return tuple(table for table in tables if table.lines)


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
