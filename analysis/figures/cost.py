"""Draw device-hours per run against the tightest bound."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from analysis.figures import series
from analysis.figures.elements import layout, marks, naming, style
from analysis.figures.elements.style import Looks
from analysis.figures.series import Row
from analysis.stats.cells import Cell
from analysis.stats.valid_bounds import tightest
from analysis.tables.costs import Unit, comparability, unit_of_table
from analysis.tables.elements.table import dataset_title


def caption(cells: Sequence[Cell], dataset: str) -> str:
    """Describe what the figure of these cells shows."""
    rows = series.drawn_rows(cells, dataset)
    intervals = " with both intervals" if marks.has_intervals(row.cell for row in rows) else ""
    hours = [row.cell.hours for row in rows if row.cell.hours]
    # Times are not negative, so the axis begins at 0.
    if any(a.interval and a.n >= marks.FEWEST_SEEDS and a.interval.low < 0 for a in hours):
        intervals += " (an interval of the time that reaches below 0 is cut there)"
    return (
        "Device time per run (training and evaluation, over all attempts) against the tightest bound on "
        f"the test split: one dot per run, and the mean{intervals}. Lower left: a lower number at a lower "
        f"cost. Times are {comparability([row.cell for row in rows])}."
    ) + series.reliance(series.tightest_of(rows))


def draw(cells: Sequence[Cell], dataset: str, unit: Unit | None = None) -> Figure | None:
    """Draw a panel per setting; None if no run recorded its time.

    Args:
        cells: the cells to draw.
        dataset: their dataset.
        unit: that of the cost table, which may have other cells, too; None: it has these cells alone.
    """
    cells, notes = series.prepare(cells, dataset, *series.NLLS, "hours")
    found = {setting: series.rows(cells, dataset, setting) for setting in series.settings_of(cells)}
    found = {s: rows for s, rows in found.items() if any(r.cell.hours and tightest(r.cell) for r in rows)}
    if not found:
        return None
    figure, axes = layout.panels(len(found), 3.1)
    looks = series.looks(cells, dataset)
    keys: dict[str, Line2D] = {}
    names = series.SampleNames(row for rows in found.values() for row in rows if _pairs(row))
    for ax, (setting, rows) in zip(axes[0], found.items(), strict=True):
        for row in rows:
            _row(ax, row, looks, keys, names)
        ax.set_title(setting)
        ax.set_xlim(left=0)
    notes += marks.cut_at_zero("x", axes[0], ([r.cell.hours for r in rows] for rows in found.values()))
    name, per_hour = unit or unit_of_table(cells, dataset)
    for ax in axes[0]:
        ax.set_xlabel(f"device-{name} per run")
        ax.xaxis.set_major_locator(ticker.FixedLocator(_ticks(ax.get_xlim()[1], per_hour)))
        ax.xaxis.set_major_formatter(ticker.FuncFormatter(lambda hours, _: f"{hours * per_hour:.4g}"))
    axes[0][0].set_ylabel("tightest bound (test), nats")
    layout.title(figure, f"{dataset_title(dataset)}: cost against NLL")
    intervals = marks.has_intervals(row.cell for rows in found.values() for row in rows)
    unreliable = any(series.unreliable(series.tightest_of(rows)) for rows in found.values())
    common = marks.common_keys(intervals=intervals, unreliable=unreliable)
    layout.legend(figure, [*keys.values(), *common], notes=notes)
    return figure


def _ticks(hours: float, per_hour: int) -> list[float]:
    """A few round numbers of the unit, converted to hours."""
    return [tick / per_hour for tick in ticker.MaxNLocator(5).tick_values(0, hours * per_hour)]


def _pairs(row: Row) -> list[tuple[float, float]]:
    """The time and the tightest bound of each run of a row that has both."""
    convention, hours = tightest(row.cell), row.cell.hours
    if convention is None or hours is None:
        return []
    nll = row.cell.averages[convention.nll]
    # A run may have a result without times, so runs are matched by name.
    cost = dict(zip(hours.runs, hours.values, strict=True))
    return [(cost[run], value) for run, value in zip(nll.runs, nll.values, strict=True) if run in cost]


def _row(ax: Axes, row: Row, looks: Looks, keys: dict[str, Line2D], names: series.SampleNames) -> None:
    convention, hours, pairs = tightest(row.cell), row.cell.hours, _pairs(row)
    if convention is None or hours is None or not pairs:
        return
    nll = row.cell.averages[convention.nll]
    colour, marker = looks[row.key]
    ax.plot(*zip(*pairs, strict=True), marker, ms=3.4, mfc=colour, mec="none", alpha=0.5, zorder=2.4)
    marks.bar(ax, hours.mean, nll.mean, nll, colour, "y")
    marks.bar(ax, hours.mean, nll.mean, hours, colour, "x", from_zero=True)
    ax.plot(hours.mean, nll.mean, marker, ms=6.5, mfc=colour, mec=style.PAPER, mew=0.6, zorder=3.2)
    if nll.unreliable:
        naming.sign(ax, marks.UNRELIABLE, (hours.mean, nll.mean))
    if text := names.beside(row):
        naming.label(ax, text, (hours.mean, nll.mean), colour)
    name = names.in_legend(row)
    keys[name] = marks.key(name, colour, marker)
