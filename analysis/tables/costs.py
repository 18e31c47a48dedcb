"""The cost table: device time and model size of each cell, with the NLL that they bought."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

from analysis.stats.average import Average
from analysis.stats.cells import Cell
from analysis.stats.valid_bounds import tightest
from analysis.tables.elements.importance_weights import unreliable_notes
from analysis.tables.elements.shown_variants import variant_key
from analysis.tables.elements.table import Column, Line, Table, cell_label, dataset_title, runs_text
from analysis.tables.elements.text_sections import TextNames, sections

Unit = tuple[str, int]
"""A unit of time, and how many of it make an hour."""

UNITS: tuple[Unit, ...] = (("hours", 1), ("minutes", 60), ("seconds", 3600))


def unit_of(hours: float) -> Unit:
    """The largest unit of which ``hours`` has at least two."""
    return next((unit for unit in UNITS if hours * unit[1] >= 2), UNITS[-1])


def unit_of_table(cells: Sequence[Cell], dataset: str) -> Unit:
    """The unit of a dataset's costs, by the largest total of a cell, as :func:`unit_of` gives it.

    The cost table, the head of the report and the figure of costs have it, so that one page never gives a
    cost in hours and in minutes. ``cells``: those of the whole page, of both studies if it compares two.
    """
    totals = (sum(cell.hours.values) for cell in _timed(cells, dataset) if cell.hours)
    return unit_of(max(totals, default=0.0))


def decimals_of(longest: float) -> int:
    """The decimals of times up to ``longest``: at least two digits of it.

    The unit suits a total; a run may take less than one of it.
    """
    if not 0 < longest < 2:
        return 1
    return max(2, 1 - math.floor(math.log10(longest)))


def amount_text(value: float) -> str:
    """A number of hours, minutes or seconds with three digits, or all of a larger whole number."""
    return f"{value:.3g}" if value < 999.5 else f"{value:.0f}"


def _timed(cells: Sequence[Cell], dataset: str) -> list[Cell]:
    """The cells in a dataset's cost table: those that are shown and recorded their time."""
    return [cell for cell in cells if cell.dataset == dataset and cell.hours and cell.shown]


def cost_table(cells: Sequence[Cell], dataset: str) -> Table:
    """Show the cost of a dataset's cells in one unit; no lines if no run recorded its time."""
    timed = _timed(cells, dataset)
    unit, per_hour = unit_of_table(cells, dataset)
    lines: list[Line] = []
    digits = _decimals_of_totals([sum(c.hours.values) * per_hour for c in timed if c.hours])
    for heading, together in sections(timed, TextNames(cells)):
        lines += [
            Line("heading", heading),
            *(_line(c, c.hours, per_hour, digits) for c in together if c.hours),
        ]
    longest = max((cell.hours.mean for cell in timed if cell.hours), default=0.0)
    columns = (
        Column(f"{unit} per run", decimals=decimals_of(longest * per_hour)),
        Column(f"{unit} in total"),
        Column("n"),
        Column("parameters"),
        Column("tightest bound (test)"),
        Column("which", text=True),
    )
    note = (
        f"{unit}: device time of training and evaluation, over all attempts of the finished runs; "
        f"{comparability(timed)}; parameters: trained numbers of the model, its encoder included"
    )
    key = variant_key(cells, dataset)
    shown = [cell.averages[best.nll] for cell in timed if (best := tightest(cell))]
    reliance = unreliable_notes(timed, shown)
    notes = (note, *reliance, *key) if lines else ()
    title = f"Cost, {dataset_title(dataset)}"
    return Table(title, columns, tuple(lines), notes, marks=notes, once=tuple(key))


def comparability(cells: Sequence[Cell]) -> str:
    """Say whether the times of cells can be compared, as far as their devices tell."""
    kinds = sorted({kind for cell in cells for kind in cell.devices})
    if len(kinds) > 1:
        return f"not comparable, as the runs had different devices: {'; '.join(kinds)}"
    return "comparable only if the runs had the same kind of device and shared it with as many others"


def scaled(average: Average, factor: float) -> Average:
    """An average in another unit, without its bootstrap interval."""
    return dataclasses.replace(
        average,
        mean=average.mean * factor,
        std=None if average.std is None else average.std * factor,
        values=tuple(value * factor for value in average.values),
        bca=None,
    )


def _decimals_of_totals(totals: Sequence[float]) -> int:
    """The decimals of a column: of the largest total at least three digits, one decimal of small ones."""
    if not (largest := max(totals, default=0.0)):
        return 1
    least = int(min(totals) < _SMALL)
    return min(3, max(least, 2 - math.floor(math.log10(largest))))


_SMALL = 100
"""Totals below this have a decimal."""


def _line(cell: Cell, hours: Average, per_hour: int, digits: int) -> Line:
    best, time = tightest(cell), scaled(hours, per_hour)
    nll = cell.averages[best.nll] if best else None
    total, n = f"{sum(time.values):.{digits}f}", runs_text(cell.counts, time)
    size = None if cell.parameters is None else f"{cell.parameters:,}"
    which = f"{best.name}{', unreliable' if nll and nll.unreliable else ''}" if best else None
    return Line("ours", cell_label(cell), (time, total, n, size, nll, which))
