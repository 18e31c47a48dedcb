"""Draw the tightest bound against each field that was varied: what a grid over the field shows."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from analysis.figures import series
from analysis.figures.elements import layout, marks, style, wrapping
from analysis.figures.series import Row
from analysis.stats.average import Average
from analysis.stats.cells import Cell
from analysis.stats.field_texts import numbers_first
from analysis.stats.valid_bounds import tightest
from analysis.tables.elements.shown_variants import variant_key
from analysis.tables.elements.table import dataset_title, row_label

_MOST_AXES = 4
"""Axes that a figure shows, in the order of the config."""

_APART = 0.12
"""Distance between neighbouring lines, in units of the axis of values."""


_MOST_FIELDS = 3
"""Fields that changed together whose values are all in the name of a value."""

_MOST_LINES = 3
"""Lines of the name of a value below an axis, and, less one, of the name of the axis."""

_TICKS, _LABEL = 8.5, 9.0
"""Sizes of text in points."""

_HIGH = 1.4 / 72
"""Height of a line of text in inches, in units of its size; a little more than wrapping.cut takes."""

_BESIDE = 0.85
"""Inches beside a single panel, for its numbers and their label."""

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

    def name(self, inches: float) -> str:
        """The fields as a label of a width: all of them if there is room, or else the first."""
        together = " (together)" if len(self.fields) > 1 else ""
        text = wrapping.wrap(", ".join(self.fields) + together, inches, _LABEL)
        if together and text.count("\n") >= _MOST_LINES - 1:
            text = f"{self.fields[0]} and {len(self.fields) - 1} more{together}"
        return wrapping.cut(text, inches, (_MOST_LINES - 1) * _LABEL * _HIGH, _LABEL)

    def names(self, values: Sequence[Values], cells: Sequence[Cell], inches: float) -> list[str]:
        """A text for each of some values, as wide as its share of an axis of ``inches``.

        It is the values of all fields, if they are few and there is room. Else it is the letter of the
        variant, if each value has one, or the value of the first field: it tells fields that change
        together apart as well.
        Numbers of a single field stay whole: if they are too many, some of them are left out.
        """
        share = 0.92 * inches / (len(values) + 0.2)
        texts = [", ".join(value) for value in values]
        if len(self.fields) > _MOST_FIELDS or (len(self.fields) > 1 and not _have_room(texts, share)):
            texts = self._letters(values, cells) or [value[0] for value in values]
        if _have_room(texts, share):
            return [wrapping.wrap(text, share, _TICKS) for text in texts]
        if all(math.isfinite(numbers_first(text)[0]) for text in texts):
            return texts
        return [wrapping.cut(text, share, _MOST_LINES * _TICKS * _HIGH, _TICKS) for text in texts]

    def _letters(self, values: Sequence[Values], cells: Sequence[Cell]) -> list[str]:
        """The short names of the variants that have the values; empty if a value has several or none."""
        names: dict[Values, set[str]] = {value: set() for value in values}
        for cell in cells:
            value = self.value_of(cell)
            if value in names:
                names[value].add(cell.short_name or "")
        letters = ["".join(found) for found in names.values() if len(found) == 1]
        return letters if len({*letters} - {""}) == len(values) else []

    def value_of(self, cell: Cell) -> Values | None:
        """The position of a cell on the axis; None if it reads none of the fields."""
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


@dataclass
class _Legend:
    """The legend of a figure, and the looks of lines that it explains."""

    others: Sequence[str]
    """The values of other fields, if lines of one system and L differ in them; else empty."""
    systems: dict[str, Line2D] = field(default_factory=dict)

    def look(self, others: str) -> tuple[Any, bool]:
        """The dashes of a line, and whether its marks are hollow."""
        return style.line_and_face(self.others.index(others) if others in self.others else 0)

    def lines(self) -> list[Line2D]:
        """An entry for each of the values."""
        looks = ((name, *self.look(name)) for name in self.others)
        return [marks.key(name, style.MUTED, "o", dashes, hollow=hollow) for name, dashes, hollow in looks]


def _have_room(texts: Sequence[str], inches: float) -> bool:
    """Whether each text wraps to few lines of ``inches`` without a break within a word."""
    return all(
        wrapping.wrap(text, inches, _TICKS).count("\n") < _MOST_LINES
        and all(wrapping.width(word, _TICKS) <= inches for word in text.split())
        for text in texts
    )


def varied_axes(cells: Sequence[Cell], dataset: str) -> list[VariedAxis]:
    """The axes that a figure shows; see :func:`_every_axis`."""
    return _every_axis(cells, dataset)[:_MOST_AXES]


def _every_axis(cells: Sequence[Cell], dataset: str) -> list[VariedAxis]:
    """The axes along which the variants that are shown of a dataset differ, without those of a search.

    A search draws its trials itself, by the validation perplexities that it compares them by.
    """
    shown = [cell for cell in cells if cell.dataset == dataset and cell.shown and cell.averages]
    varied = [cell.varied for cell in shown if not cell.of_search]
    names = list(dict.fromkeys(name for values in varied for name in values))
    groups: list[list[str]] = []
    for name in (name for name in names if _count(name, varied) > 1):
        for group in groups:
            if _is_one_axis([group[0], name], varied):
                group.append(name)
                break
        else:
            groups.append([name])
    return [VariedAxis(tuple(group), _values(group, varied)) for group in groups]


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
    every = _every_axis(cells, dataset)
    axes, left_out = every[:_MOST_AXES], every[_MOST_AXES:]
    names = " and ".join(", ".join(axis.fields) for axis in axes)
    text = f"The tightest bound on the test split against {names}: every seed and the mean"
    text += ", joined if nothing else differs" if len(axes) > 1 else ""
    if any(len(axis.fields) > 1 for axis in axes):
        text += ". Fields that changed together share an axis: their effects cannot be separated"
    if left_out:
        others = "; ".join(", ".join(axis.fields) for axis in left_out)
        text += f". Not drawn, as a figure has at most {_MOST_AXES} axes: {others}"
    text += ". To choose a value, compare validation perplexities: these are test numbers."
    return text + series.reliance(series.tightest_of(series.drawn_rows(cells, dataset)))


def draw(cells: Sequence[Cell], dataset: str) -> Figure | None:
    """Draw a panel per setting and axis; None if no field was varied."""
    every = _every_axis(cells, dataset)
    varied = every[:_MOST_AXES]
    cells, notes = series.prepare(cells, dataset, *series.NLLS)
    found = {setting: series.rows(cells, dataset, setting) for setting in series.settings_of(cells)}
    if not varied or not found:
        return None
    figure, axes = layout.panels(len(varied), 0.2 + 2.6 * len(found), rows=len(found), sharey="row")
    looks = style.looks_of_samples(
        sorted((row.cell.system, row.cell.num_samples) for rows in found.values() for row in rows)
    )
    inches = figure.get_figwidth() / len(varied) - (_BESIDE if len(varied) == 1 else 0.5 * _BESIDE)
    legend = _Legend(_others(found.values(), varied, every))
    ticks: set[str] = set()
    for across, (setting, rows) in zip(axes, found.items(), strict=True):
        for ax, axis in zip(across, varied, strict=True):
            values = _panel(ax, rows, axis, every, looks, legend)
            drawn_cells = [row.cell for row in rows]
            names = axis.names(values, drawn_cells, inches)
            ax.set_xticks(range(len(values)), names)
            ticks.update(names)
            ax.set_xlabel(axis.name(inches))
        across[0].set_title(setting)
        across[0].set_ylabel("tightest bound (test), nats")
    layout.title(figure, f"{dataset_title(dataset)}: what was varied")
    drawn = [row.cell for rows in found.values() for row in rows]
    unreliable = any(series.unreliable(series.tightest_of(rows)) for rows in found.values())
    common = marks.common_keys(intervals=marks.has_intervals(drawn), unreliable=unreliable)
    if not ticks & {cell.short_name for cell in cells}:
        key = "; ".join(variant_key(cells, dataset))
        notes = [] if notes == [key] else notes  # no letter stands at an axis, nor in another note
    layout.legend(figure, [*legend.systems.values(), *legend.lines(), *common], columns=2, notes=notes)
    return figure


def _others(
    found: Iterable[Sequence[Row]], varied: Sequence[VariedAxis], every: Sequence[VariedAxis]
) -> list[str]:
    """Names that distinguish the lines of one system and L in a panel; empty if no panel has several."""
    several = False
    names: dict[str, None] = {}
    for rows in found:
        for axis in varied:
            lines: dict[tuple[str, int], set[str]] = {}
            for point in (point for row in rows if (point := _point(row, axis, every))):
                names[point.others] = None
                key = (point.row.cell.system, point.row.cell.num_samples)
                lines.setdefault(key, set()).add(point.others)
            several |= any(len(others) > 1 for others in lines.values())
    return [name for name in names if name] if several else []


def _panel(
    ax: Axes,
    rows: Sequence[Row],
    axis: VariedAxis,
    every: Sequence[VariedAxis],
    looks: _Looks,
    legend: _Legend,
) -> list[Values]:
    """Draw the lines of a panel; returns the values at 0, 1, … of its axis."""
    points = [point for row in rows if (point := _point(row, axis, every))]
    values = [value for value in axis.values if value in {point.value for point in points}]
    lines: dict[tuple[str, int, str], list[_Point]] = {}
    for point in points:
        lines.setdefault((point.row.cell.system, point.row.cell.num_samples, point.others), []).append(
            point
        )
    counts = sorted({num_samples for _, num_samples, _ in lines})
    step = min(_APART, 0.8 / max(1, len(lines)))
    for number, ((system, num_samples, others), members) in enumerate(lines.items()):
        colour, marker = looks[system, num_samples]
        shift = step * (number - (len(lines) - 1) / 2)
        members.sort(key=lambda point: values.index(point.value))
        places = [values.index(point.value) + shift for point in members]
        of_count = style.line_of(counts.index(num_samples))
        dashes, hollow = legend.look(others) if legend.others else (of_count, False)
        ax.plot(places, [p.bound.mean for p in members], color=colour, ls=dashes, lw=1.2, zorder=2)
        for place, point in zip(places, members, strict=True):
            marks.seeds(ax, place + 0.4 * step, point.bound, colour, "y", 0.2 * step)
            marks.mean(ax, place, point.bound, colour, marker, "y", hollow=hollow)
        name = row_label(system, num_samples)
        legend.systems[name] = marks.key(name, colour, marker, "" if legend.others else dashes)
    for row in rows:
        exact = row.cell.averages.get("nll")
        if exact and not row.cell.variant:
            marks.level(ax, exact, looks[row.cell.system, row.cell.num_samples][0])
            name = marks.level_name(f"{row_label(row.cell.system, 0)}: exact", exact)
            legend.systems[name] = marks.key(
                name, looks[row.cell.system, row.cell.num_samples][0], line="-"
            )
    ax.set_xlim(-0.6, len(values) - 0.4)
    ax.grid(visible=False, axis="x")
    return values


def _point(row: Row, axis: VariedAxis, every: Sequence[VariedAxis]) -> _Point | None:
    value, best = axis.value_of(row.cell), tightest(row.cell)
    if value is None or best is None:
        return None
    varied = row.cell.varied
    read = [[name for name in other.fields if name in varied] for other in every if other is not axis]
    # Of fields that change together, one tells all values apart.
    others = ", ".join(
        f"{names[0]}={varied[names[0]]}{', …' * (len(names) > 1)}" for names in read if names
    )
    return _Point(row, value, others, row.cell.averages[best.nll])
