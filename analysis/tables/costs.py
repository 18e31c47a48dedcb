"""What each cell cost: device-hours of a run and of all, beside the NLL that they bought."""

from __future__ import annotations

import math
from collections.abc import Sequence

from analysis.stats.cells import Cell
from analysis.stats.valid_bounds import tightest
from analysis.tables.table import Column, Line, Table, dataset_title, row_label, runs_text

NOTE = (
    "hours: on the device, training and evaluation over all attempts of the runs that are done; they "
    "compare only where the runs had the same kind of device, and as many beside them"
)


def cost_table(cells: Sequence[Cell], dataset: str) -> Table:
    """The cost of a dataset's cells; without lines where no run says how long it took."""
    own = [cell for cell in cells if cell.dataset == dataset and cell.hours and cell.shown]
    lines: list[Line] = []
    for setting in dict.fromkeys(cell.setting for cell in own):
        lines.append(Line("heading", setting))
        lines += [_line(cell) for cell in own if cell.setting == setting]
    most = max((cell.hours.mean for cell in own if cell.hours), default=0.0)
    columns = (
        Column("hours a run", decimals=2 if most >= 0.1 else 1 - math.floor(math.log10(most or 1.0))),
        Column("hours in all"),
        Column("n"),
        Column("valid NLL"),
    )
    return Table(f"Cost, {dataset_title(dataset)}", columns, tuple(lines), (NOTE,) if lines else (), ())


def _line(cell: Cell) -> Line:
    label = row_label(cell.system, cell.num_samples) + (f", {cell.variant}" if cell.variant else "")
    way = tightest(cell)
    total = sum(cell.hours.values) if cell.hours else 0.0
    nll = None if way is None else cell.averages[f"nll{way}"]
    return Line("ours", label, (cell.hours, f"{total:.3g}", runs_text(cell.counts), nll))
