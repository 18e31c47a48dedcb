"""The table of the latent variable's use: every measure of it, for each cell that has one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from analysis.stats.cells import Cell
from analysis.tables.elements.shown_variants import variant_key
from analysis.tables.elements.table import (
    Column,
    Line,
    Table,
    cell_label,
    dataset_title,
    legend,
    marks_given_once,
    runs_text,
)
from analysis.tables.elements.text_sections import TextNames, sections
from lvae_core.run_folder.estimates import LATENT_USE, Estimate
from lvae_core.systems import SYSTEMS, recipe


def latent_table(cells: Sequence[Cell], dataset: str) -> Table:
    """Show every measure of LATENT_USE for a dataset's cells; no lines if no finished run has one."""
    lines: list[Line] = []
    measured = [
        c
        for c in cells
        if c.dataset == dataset and c.shown and not LATENT_USE.keys().isdisjoint(c.averages)
    ]
    for heading, together in sections(measured, TextNames(cells)):
        lines += [Line("heading", heading), *map(_line, together)]
    columns = [
        Column(name.upper(), decimals=1 if estimate.unit == "dimensions" else 2)
        for name, estimate in LATENT_USE.items()
    ]
    key = variant_key(cells, dataset)
    notes = (*legend(lines), *key, *_directions(measured), definitions(LATENT_USE)) if lines else ()
    return Table(
        f"Use of the latent variable, {dataset_title(dataset)}",
        (*columns, Column("n")),
        tuple(lines),
        notes,
        marks=notes,
        once=(*marks_given_once(lines), *key),
    )


def definitions(measures: Mapping[str, Estimate]) -> str:
    """Define measures by their short names, in one line: ``MI: mutual information, …; AU: …``."""
    return "; ".join(
        f"{name.upper()}: {estimate.title}, {estimate.meaning}" for name, estimate in measures.items()
    )


_FEW_DIMENSIONS = 100
"""Dimensions of unit vectors whose variances, 1 at most in all, can each be 0.01, the limit of AU."""


def _directions(cells: Sequence[Cell]) -> list[str]:
    of_directions = [
        cell
        for cell in cells
        if "au" in cell.averages
        and cell.system in SYSTEMS
        and recipe(cell.system).posterior == "von_mises_fisher"
    ]
    if not any(cell.training.get("latent_size", 0) > _FEW_DIMENSIONS for cell in of_directions):
        return []
    return [
        "AU of posteriors over directions: their means lie within the unit sphere, so in more than "
        f"{_FEW_DIMENSIONS} dimensions no variance need exceed 0.01, and AU can be 0 without posterior "
        "collapse"
    ]


def _line(cell: Cell) -> Line:
    averages = [cell.averages.get(name) for name in LATENT_USE]
    return Line("ours", cell_label(cell), (*averages, runs_text(cell.counts, *averages)))
