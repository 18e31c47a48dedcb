"""Draw the tightest bound against each field that was varied: what a grid over the field shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from analysis.figures import series
from analysis.figures.elements import layout, marks, style
from analysis.figures.series import Row
from analysis.stats.average import Average
from analysis.stats.cells import Cell
from analysis.stats.valid_bounds import tightest
from analysis.tables.elements.shown_variants import is_of_search
from analysis.tables.elements.table import dataset_title, row_label

_MOST_FIELDS = 4
"""Fields that a figure shows, in the order of the config."""

_APART = 0.12
"""Distance between neighbouring lines, in units of the axis of values."""


@dataclass(frozen=True)
class _Point:
    """A cell in the panel of a field."""

    row: Row
    value: str
    others: str
    """The values of the other fields that were varied: cells in which they are equal form a line."""
    bound: Average


def varied_fields(cells: Sequence[Cell], dataset: str) -> list[str]:
    """The fields in which the variants that are shown of a dataset differ, without those of a search.

    A search draws its trials itself, by the validation perplexities that it compares them by.
    """
    shown = [cell for cell in cells if cell.dataset == dataset and cell.shown and cell.averages]
    shown = [cell for cell in shown if not is_of_search(cell)]
    values: dict[str, set[str]] = {}
    for cell in shown:
        for field, value in cell.varied.items():
            values.setdefault(field, set()).add(value)
    return [field for field, found in values.items() if len(found) > 1][:_MOST_FIELDS]


def caption(cells: Sequence[Cell], dataset: str) -> str:
    """Describe what the figure of these cells shows."""
    fields = varied_fields(cells, dataset)
    text = f"The tightest bound on the test split against {' and '.join(fields)}: every seed and the mean"
    text += ", joined if nothing else differs" if len(fields) > 1 else ""
    return f"{text}. To choose a value, compare validation perplexities: these are test numbers."


def draw(cells: Sequence[Cell], dataset: str) -> Figure | None:
    """Draw a panel per setting and field; None if no field was varied."""
    fields = varied_fields(cells, dataset)
    cells, notes = series.prepare(cells, dataset, *series.NLLS)
    found = {setting: series.rows(cells, dataset, setting) for setting in series.settings_of(cells)}
    if not fields or not found:
        return None
    figure, axes = layout.panels(len(fields), 0.2 + 2.6 * len(found), rows=len(found), sharey="row")
    looks = style.looks((row.cell.system, "") for rows in found.values() for row in rows)
    keys: dict[str, Line2D] = {}
    for across, (setting, rows) in zip(axes, found.items(), strict=True):
        for ax, field in zip(across, fields, strict=True):
            _panel(ax, rows, field, looks, keys)
            ax.set_xlabel(field)
        across[0].set_title(setting)
        across[0].set_ylabel("tightest bound (test), nats")
    layout.title(figure, f"{dataset_title(dataset)}: what was varied")
    drawn = [row.cell for rows in found.values() for row in rows]
    common = marks.common_keys(intervals=marks.has_intervals(drawn))
    layout.legend(figure, [*keys.values(), *common], columns=2, notes=notes)
    return figure


def _panel(ax: Axes, rows: Sequence[Row], field: str, looks: style.Looks, keys: dict[str, Line2D]) -> None:
    points = [point for row in rows if (point := _point(row, field))]
    values = sorted({point.value for point in points}, key=_in_order)
    lines: dict[tuple[str, int, str], list[_Point]] = {}
    for point in points:
        lines.setdefault((point.row.cell.system, point.row.cell.num_samples, point.others), []).append(
            point
        )
    counts = sorted({num_samples for _, num_samples, _ in lines})
    step = min(_APART, 0.8 / max(1, len(lines)))
    for number, ((system, num_samples, _), members) in enumerate(lines.items()):
        colour, marker = looks[system, ""]
        shift = step * (number - (len(lines) - 1) / 2)
        members.sort(key=lambda point: _in_order(point.value))
        places = [values.index(point.value) + shift for point in members]
        dashes = style.line_of(counts.index(num_samples))
        ax.plot(places, [p.bound.mean for p in members], color=colour, ls=dashes, lw=1.2, zorder=2)
        for place, point in zip(places, members, strict=True):
            marks.seeds(ax, place + 0.4 * step, point.bound, colour, "y", 0.2 * step)
            marks.mean(ax, place, point.bound, colour, marker, "y")
        name = row_label(system, num_samples)
        keys[name] = marks.key(name, colour, marker, dashes)
    for row in rows:
        exact = row.cell.averages.get("nll")
        if exact and not row.cell.variant:
            marks.level(ax, exact, looks[row.cell.system, ""][0])
            name = marks.level_name(f"{row_label(row.cell.system, 0)}: exact", exact)
            keys[name] = marks.key(name, looks[row.cell.system, ""][0], line="-")
    ax.set_xticks(range(len(values)), values)
    ax.set_xlim(-0.6, len(values) - 0.4)
    ax.grid(visible=False, axis="x")


def _point(row: Row, field: str) -> _Point | None:
    values, best = row.cell.varied, tightest(row.cell)
    if field not in values or best is None:
        return None
    others = ", ".join(f"{name}={value}" for name, value in values.items() if name != field)
    return _Point(row, values[field], others, row.cell.averages[best.nll])


def _in_order(value: str) -> tuple[float, str]:
    """Numbers by size, then words."""
    try:
        return float(value), ""
    except ValueError:
        return float("inf"), value
