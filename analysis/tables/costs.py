"""The cost table: device-hours of each cell, per run and in total, with the NLL that they bought."""

from __future__ import annotations

import math
from collections.abc import Sequence

from analysis.stats.cells import Cell
from analysis.stats.valid_bounds import tightest
from analysis.tables.shown_variants import variant_key
from analysis.tables.table import Column, Line, Table, cell_label, dataset_title, runs_text

NOTE = (
    "hours: device time of training and evaluation, over all attempts of the finished runs; hours are "
    "comparable only if the runs had the same kind of device and shared it with as many others"
)


def cost_table(cells: Sequence[Cell], dataset: str) -> Table:
    """Show the cost of a dataset's cells; the table has no lines if no run recorded its time."""
    timed = [cell for cell in cells if cell.dataset == dataset and cell.hours and cell.shown]
    lines: list[Line] = []
    for setting in dict.fromkeys(cell.setting for cell in timed):
        lines.append(Line("heading", setting))
        lines += [_line(cell) for cell in timed if cell.setting == setting]
    # Runs of a few seconds need more decimals: two significant digits of the most expensive.
    most = max((cell.hours.mean for cell in timed if cell.hours), default=0.0)
    columns = (
        Column("hours per run", decimals=2 if most >= 0.1 else 1 - math.floor(math.log10(most or 1.0))),
        Column("hours in total"),
        Column("n"),
        Column("valid NLL"),
    )
    return Table(
        f"Cost, {dataset_title(dataset)}",
        columns,
        tuple(lines),
        (NOTE, *variant_key(cells, dataset)) if lines else (),
    )


def _line(cell: Cell) -> Line:
    best = tightest(cell)
    total = sum(cell.hours.values) if cell.hours else 0.0
    nll = cell.averages[best.nll] if best else None
    return Line("ours", cell_label(cell), (cell.hours, f"{total:.3g}", runs_text(cell.counts), nll))
