"""Draw PPL against L, by averaging mode."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.figures import series
from analysis.figures.elements import layout, marks, style
from analysis.figures.elements.style import Looks
from analysis.figures.series import Row
from analysis.published.catalogue import display_name
from analysis.published.facts import Fact
from analysis.stats.average import Average
from analysis.stats.cells import Cell
from analysis.tables.elements.table import dataset_title

_APART = 0.24
"""The largest distance between neighbouring lines, in units of L's axis."""

_AVERAGED = {"loss": "averaging = loss", "hidden": "averaging = hidden ‡"}


def caption(cells: Sequence[Cell], dataset: str) -> str:
    """Describe what the figure of these cells shows."""
    rows = series.drawn_rows(cells, dataset)
    text = f"PPL of each system on the test split{series.convention(rows)}"
    if _has_several_counts(rows):
        text += " against the number of samples L"
        text += ", by averaging mode" if series.convention(rows) else ""
    interval = " with its 95% interval" if marks.has_intervals(row.cell for row in rows) else ""
    text += f": every seed, the mean{interval}"
    joint = [row for row in rows if row.cell.joint_latent and (row.average("ppl") or row.fact("ppl"))]
    hollow = " (hollow)" if any(row.average("ppl") for row in joint) else ""
    note = (
        f" If hidden states are averaged (‡) and L > 1, it is not a bound{hollow}: the convention does not "
        "count the KL of all L."
    )
    return f"{text}.{note if joint else ''}"


def _has_several_counts(rows: Sequence[Row]) -> bool:
    return len({row.cell.num_samples for row in rows} - {0}) > 1


def draw(cells: Sequence[Cell], dataset: str) -> Figure | None:
    """Draw a panel per setting; None if no finished run has a PPL."""
    cells, notes = series.prepare(cells, dataset, "ppl", "ppl_elbo")
    found = {setting: series.rows(cells, dataset, setting) for setting in series.settings_of(cells)}
    if not any(row.average("ppl") for rows in found.values() for row in rows):
        return None
    figure, axes = layout.panels(len(found), 3.1)
    looks, keys = series.looks(cells, dataset), marks.LineKeys()
    cited: list[Fact] = []
    every = [row for rows in found.values() for row in rows]
    for ax, (setting, rows) in zip(axes[0], found.items(), strict=True):
        cited += _panel(ax, rows, looks, keys, modes=bool(series.convention(every)))
        ax.set_title(setting)
        ax.set_xlabel("samples per sentence, L")
    notes += marks.cut_at_zero("y", axes[0], ([r.average("ppl") for r in rows] for rows in found.values()))
    axes[0][0].set_ylabel("test PPL" + (" (published convention)" if series.convention(every) else ""))
    several = _has_several_counts(every)
    layout.title(figure, f"{dataset_title(dataset)}: PPL" + (" against L" if several else ""))
    drawn = [row for rows in found.values() for row in rows if row.average("ppl")]
    common = marks.common_keys(
        intervals=marks.has_intervals(row.cell for row in drawn),
        cited=cited,
        hollow=any(row.cell.joint_latent for row in drawn),
    )
    layout.legend(figure, [*keys.entries(), *common], notes=notes)
    return figure


@dataclass(frozen=True)
class _Mark:
    """The mark of a row in a panel: our number, the published one, or both."""

    row: Row
    ours: Average | None
    fact: Fact | None
    at: float
    """Its place on the axis of L, whose columns are at 0, 1, …"""
    step: float
    """The distance to the next mark."""


def _marks(rows: Sequence[Row]) -> tuple[list[int], list[_Mark]]:
    """Every L of a panel, and its marks: those of one L are side by side, so that none hides another."""
    numbers = [(row, fact) for row, fact in series.with_facts(rows, "ppl") if fact or row.average("ppl")]
    counts = series.samples([row for row, _ in numbers])
    found = []
    for column, L in enumerate(counts):
        beside = [(row, fact) for row, fact in numbers if row.cell.num_samples == L]
        step = min(_APART, 0.8 / len(beside))
        for place, (row, fact) in enumerate(beside):
            at = column + step * (place - (len(beside) - 1) / 2)
            found.append(_Mark(row, row.average("ppl"), fact, at, step))
    return counts, found


def _panel(ax: Axes, rows: Sequence[Row], looks: Looks, keys: marks.LineKeys, *, modes: bool) -> list[Fact]:
    """Draw a panel, add its entries to the legend, and return the published values drawn."""
    counts, shown = _marks(rows)
    variants: Counter[str] = Counter()
    for system, variant in series.lines(rows):
        members = [mark for mark in shown if mark.row.key == (system, variant)]
        if not members:
            continue
        look = colour, marker = looks[system, variant]
        dashes = style.line_of(variants[system])
        variants[system] += 1
        means = [(mark.at, mark.ours.mean) for mark in members if mark.ours]
        if len(means) > 1:
            ax.plot(*zip(*means, strict=True), color=colour, ls=dashes, zorder=2)
        for mark in members:
            if mark.ours:
                hollow = mark.row.cell.joint_latent
                marks.seeds(ax, mark.at - 0.45 * mark.step, mark.ours, colour, "y", 0.3 * mark.step)
                marks.mean(ax, mark.at, mark.ours, colour, marker, "y", hollow=hollow, from_zero=True)
            if mark.fact:
                marks.published(ax, mark.at, mark.fact, colour, "y", 0.45 * mark.step)
        # The mode matters beside one that gives no bound; elsewhere the name of the system says enough.
        cell = members[0].row.cell
        averaged = _AVERAGED.get(cell.averaging, "no z") if modes else ""
        label = ", ".join(filter(None, (display_name(system), averaged, cell.variant_name)))
        if means:
            hollow = all(mark.row.cell.joint_latent for mark in members if mark.ours)
            keys.add(look, marks.key(label, colour, marker, dashes, hollow=hollow))
        else:
            keys.add_published(look, marks.published_key(f"{label}: published", colour))
    marks.name_columns(ax, [str(L) if L else "no z" for L in counts])
    return [mark.fact for mark in shown if mark.fact]
