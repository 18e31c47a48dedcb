"""Draw the tightest bound against each field that was varied: what a grid over the field shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
from analysis.stats.variants import numbers_first
from analysis.tables.elements.table import dataset_title, row_label

_MOST_AXES = 4
"""Axes that a figure shows, in the order of the config."""

_APART = 0.12
"""Distance between neighbouring lines, in units of the axis of values."""


_Looks = dict[tuple[str, int], tuple[str, str]]
"""System and L -> colour and marker."""

Values = tuple[str, ...]
"""One value of each field of an axis."""


@dataclass(frozen=True)
class VariedAxis:
    """One field that was varied, or several that changed together, whose effects nobody can tell apart."""

    fields: tuple[str, ...]
    values: tuple[Values, ...]
    """In their order."""

    @property
    def name(self) -> str:
        """The fields, as a label."""
        return ", ".join(self.fields) + (" (together)" if len(self.fields) > 1 else "")

    def value_of(self, cell: Cell) -> Values | None:
        """Where a cell stands; None if it reads none of the fields."""
        known = [(k, cell.varied[field]) for k, field in enumerate(self.fields) if field in cell.varied]
        return next((v for v in self.values if known and all(v[k] == value for k, value in known)), None)


@dataclass(frozen=True)
class _Point:
    """A cell in the panel of an axis."""

    row: Row
    value: Values
    others: str
    """The values of the other fields that were varied: cells in which they are equal form a line."""
    bound: Average


def varied_axes(cells: Sequence[Cell], dataset: str) -> list[VariedAxis]:
    """The axes along which the variants that are shown of a dataset differ, without those of a search.

    A search draws its trials itself, by the validation perplexities that it compares them by.
    """
    shown = [cell for cell in cells if cell.dataset == dataset and cell.shown and cell.averages]
    varied = [cell.varied for cell in shown if not cell.of_search]
    names = list(dict.fromkeys(name for values in varied for name in values))
    groups: list[list[str]] = []
    for field in (name for name in names if _count(name, varied) > 1):
        for group in groups:
            if _is_one_axis([group[0], field], varied):
                group.append(field)
                break
        else:
            groups.append([field])
    return [VariedAxis(tuple(group), _values(group, varied)) for group in groups][:_MOST_AXES]


def _values(fields: Sequence[str], varied: Sequence[Mapping[str, str]]) -> tuple[Values, ...]:
    """The values of fields in the cells that read all of them."""
    found = {tuple(values[name] for name in fields) for values in varied if values.keys() >= {*fields}}
    return tuple(sorted(found, key=lambda values: [numbers_first(value) for value in values]))


def _is_one_axis(fields: Sequence[str], varied: Sequence[Mapping[str, str]]) -> bool:
    """Whether each value of each field occurs with one value of every other field, as after ``--zip``."""
    together = _values(fields, varied)
    return bool(together) and all(
        len({values[k] for values in together}) == len(together) == _count(field, varied)
        for k, field in enumerate(fields)
    )


def _count(field: str, varied: Sequence[Mapping[str, str]]) -> int:
    """The number of values of a field."""
    return len({values[field] for values in varied if field in values})


def caption(cells: Sequence[Cell], dataset: str) -> str:
    """Describe what the figure of these cells shows."""
    axes = varied_axes(cells, dataset)
    names = " and ".join(", ".join(axis.fields) for axis in axes)
    text = f"The tightest bound on the test split against {names}: every seed and the mean"
    text += ", joined if nothing else differs" if len(axes) > 1 else ""
    if any(len(axis.fields) > 1 for axis in axes):
        text += ". Fields that changed together share an axis: their effects cannot be separated"
    text += ". To choose a value, compare validation perplexities: these are test numbers."
    return text + series.reliance(series.tightest_of(series.drawn_rows(cells, dataset)))


def draw(cells: Sequence[Cell], dataset: str) -> Figure | None:
    """Draw a panel per setting and axis; None if no field was varied."""
    varied = varied_axes(cells, dataset)
    cells, notes = series.prepare(cells, dataset, *series.NLLS)
    found = {setting: series.rows(cells, dataset, setting) for setting in series.settings_of(cells)}
    if not varied or not found:
        return None
    figure, axes = layout.panels(len(varied), 0.2 + 2.6 * len(found), rows=len(found), sharey="row")
    looks = style.looks_of_samples(
        sorted((row.cell.system, row.cell.num_samples) for rows in found.values() for row in rows)
    )
    keys: dict[str, Line2D] = {}
    for across, (setting, rows) in zip(axes, found.items(), strict=True):
        for ax, axis in zip(across, varied, strict=True):
            _panel(ax, rows, axis, looks, keys)
            ax.set_xlabel(axis.name)
        across[0].set_title(setting)
        across[0].set_ylabel("tightest bound (test), nats")
    layout.title(figure, f"{dataset_title(dataset)}: what was varied")
    drawn = [row.cell for rows in found.values() for row in rows]
    common = marks.common_keys(intervals=marks.has_intervals(drawn))
    layout.legend(figure, [*keys.values(), *common], columns=2, notes=notes)
    return figure


def _panel(ax: Axes, rows: Sequence[Row], axis: VariedAxis, looks: _Looks, keys: dict[str, Line2D]) -> None:
    points = [point for row in rows if (point := _point(row, axis))]
    values = [value for value in axis.values if value in {point.value for point in points}]
    lines: dict[tuple[str, int, str], list[_Point]] = {}
    for point in points:
        lines.setdefault((point.row.cell.system, point.row.cell.num_samples, point.others), []).append(
            point
        )
    counts = sorted({num_samples for _, num_samples, _ in lines})
    step = min(_APART, 0.8 / max(1, len(lines)))
    for number, ((system, num_samples, _), members) in enumerate(lines.items()):
        colour, marker = looks[system, num_samples]
        shift = step * (number - (len(lines) - 1) / 2)
        members.sort(key=lambda point: values.index(point.value))
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
            marks.level(ax, exact, looks[row.cell.system, row.cell.num_samples][0])
            name = marks.level_name(f"{row_label(row.cell.system, 0)}: exact", exact)
            keys[name] = marks.key(name, looks[row.cell.system, row.cell.num_samples][0], line="-")
    ax.set_xticks(range(len(values)), [", ".join(value) for value in values])
    ax.set_xlim(-0.6, len(values) - 0.4)
    ax.grid(visible=False, axis="x")


def _point(row: Row, axis: VariedAxis) -> _Point | None:
    value, best = axis.value_of(row.cell), tightest(row.cell)
    if value is None or best is None:
        return None
    others = ", ".join(f"{name}={v}" for name, v in row.cell.varied.items() if name not in axis.fields)
    return _Point(row, value, others, row.cell.averages[best.nll])
