"""The tables of a report with the notes that say how their numbers must be read."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence

import pandas as pd

from analysis.published.catalogue import compared_together
from analysis.reading.frame import runs_in_rows
from analysis.stats.cells import Cell
from analysis.stats.comparisons import Comparison
from analysis.stats.pairs import Baseline
from analysis.tables.bounds import bounds_table
from analysis.tables.comparisons import comparison_table, reproduction_table
from analysis.tables.elements.shown_variants import hidden_variant_notes
from analysis.tables.elements.table import SETTINGS, Table, dataset_title
from analysis.tables.notes.cells import huge_notes
from analysis.tables.notes.dataset import caveats, dataset_notes, details
from analysis.tables.notes.unpaired import unpaired_notes
from analysis.tables.paper import table2, table3
from lvae_core.messages import numbered
from lvae_core.run_folder.declared_seeds import DeclaredSeeds


def tables2(
    frame: pd.DataFrame, rows: pd.DataFrame, cells: Sequence[Cell], datasets: Sequence[str]
) -> tuple[Table, ...]:
    """Table 2 of each dataset.

    Args:
        frame: all runs.
        rows: those that tables show.
        cells: of ``rows``.
        datasets: in their order.
    """

    def made(dataset: str) -> Table:
        table = table2(cells, dataset)
        notes = [
            *hidden_variant_notes(cells, dataset),
            *dataset_notes(rows, cells, dataset),
            *_stages(frame, dataset),
        ]
        background = (*table.background, *details(rows, cells, dataset))
        table = dataclasses.replace(table, notes=(*table.notes, *notes), background=background)
        return _with_caveats(table, [dataset], rows, cells)

    return tuple(map(made, datasets))


def tables3(rows: pd.DataFrame, cells: Sequence[Cell], datasets: Sequence[str]) -> tuple[Table, ...]:
    """Table 3, with the datasets side by side that it was published for side by side."""
    groups = dict.fromkeys(compared_together(dataset, "3") or (dataset,) for dataset in datasets)
    return with_lines(_with_caveats(table3(cells, group), group, rows, cells) for group in groups)


def bounds_tables(rows: pd.DataFrame, cells: Sequence[Cell], datasets: Sequence[str]) -> tuple[Table, ...]:
    """The conventions and their kinds of bounds, for each dataset."""
    return tuple(_with_caveats(bounds_table(cells, name), [name], rows, cells) for name in datasets)


def comparison_tables(
    compared: Sequence[Comparison],
    cells: Sequence[Cell],
    datasets: Sequence[str],
    declared: DeclaredSeeds | None,
    baseline: Baseline,
) -> tuple[Table, ...]:
    """The comparisons over seeds of each dataset, with notes on what was not compared or is not shown."""
    return with_lines(
        _with_marks(
            comparison_table(compared, cells, dataset, declared),
            [
                *unpaired_notes(_families(cells, dataset), baseline),
                *hidden_variant_notes(cells, dataset),
                *_huge(cells, dataset),
            ],
        )
        for dataset in datasets
    )


def reproduction_tables(cells: Sequence[Cell], datasets: Sequence[str]) -> tuple[Table, ...]:
    """The comparisons with published numbers, for each dataset that has some."""
    return with_lines(_with_marks(reproduction_table(cells, d), _huge(cells, d)) for d in datasets)


def with_lines(tables: Iterable[Table]) -> tuple[Table, ...]:
    """The tables that are not empty."""
    return tuple(table for table in tables if table.lines)


def _families(cells: Sequence[Cell], dataset: str) -> Iterator[list[Cell]]:
    """The cells of a dataset that tables for reading show, setting by setting."""
    for setting in SETTINGS:
        yield [c for c in cells if c.shown and (c.dataset, c.setting) == (dataset, setting)]


def _stages(frame: pd.DataFrame, dataset: str) -> Iterable[str]:
    systems = frame.loc[frame["dataset"] == dataset, ["system"]]
    if count := len(systems) - len(runs_in_rows(systems)):
        yield f"not shown: {numbered(count, 'autoencoder')}, from which encoders of other runs start"


def _with_caveats(
    table: Table, datasets: Sequence[str], rows: pd.DataFrame, cells: Sequence[Cell]
) -> Table:
    """Print with a table of some datasets what changes how its numbers must be read."""
    found = {
        dataset: [*hidden_variant_notes(cells, dataset), *caveats(rows, cells, dataset)]
        for dataset in datasets
    }
    several = sum(map(bool, found.values())) > 1
    said = [
        f"{dataset_title(dataset)}: {note}" if several else note
        for dataset, notes in found.items()
        for note in notes
    ]
    return dataclasses.replace(
        table,
        notes=(*table.notes, *(note for note in said if note not in table.notes)),
        marks=(*table.marks, *said),
        once=(*table.once, *said),
    )


def _with_marks(table: Table, marks: Sequence[str]) -> Table:
    return dataclasses.replace(table, notes=(*table.notes, *marks), marks=(*table.marks, *marks))


def _huge(cells: Sequence[Cell], dataset: str) -> list[str]:
    return huge_notes(cell for cell in cells if cell.dataset == dataset)
