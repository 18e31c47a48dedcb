"""Draw the published convention against valid bounds: the gap grows with L."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from analysis.figures import series
from analysis.figures.bound_curves import (
    CURVES,
    averages_of,
    bound_of,
    joint_lines,
    measured_gap,
    start_of,
    weighted_estimates,
)
from analysis.figures.elements import layout, marks, naming, style
from analysis.figures.elements.style import Looks
from analysis.figures.series import Row
from analysis.published.catalogue import display_name
from analysis.published.facts import Derived, Fact
from analysis.stats.average import Average
from analysis.stats.cells import Cell
from analysis.tables.elements.table import dataset_title
from lvae_core.messages import listed

_CAPTION = (
    "One model, two conventions. For a decoder that reads L samples ({}), the published convention counts "
    "the KL of one sample (hollow: not a bound); the valid bounds count the KL of all L samples (filled). "
    "They coincide where z says next to nothing."
)

_BETWEEN = "between the ELBOs: KL not counted"

_DASHES = (0, (4, 1.6))

_LEFT, _RIGHT = -0.36, 0.36
"""The places of marks around an L, which is a whole number of the axis."""

_APART = 0.18
"""The largest distance between neighbouring marks."""


@dataclass
class _Legend:
    keys: dict[str, Line2D | Patch] = field(default_factory=dict)
    cited: list[Fact | Derived] = field(default_factory=list)
    """The published values drawn."""


def caption(cells: Sequence[Cell], dataset: str) -> str:
    """Describe what the figure of these cells shows."""
    panels = list(_shown(cells, dataset).values())
    rows = [row for rows in panels for row in rows]
    joint = [row for row in rows if row.cell.joint_latent]
    names = dict.fromkeys(display_name(row.cell.system) for row in joint if row.cell.averages)
    text = _CAPTION.format(listed(list(names)))
    unreliable = series.unreliable(weighted_estimates(rows))
    text += _over_samples(cells, dataset)
    if any(start_of(rows, members) for rows in panels for members in joint_lines(rows).values()):
        text += " Lines begin at the system that is the same model at L = 1."
    if any(measured_gap(row, rows) for rows in panels for row in rows):
        text += " An arrow measures the KL that the published convention does not count."
    exact = dict.fromkeys(
        display_name(row.cell.system) for row in rows if not row.cell.num_samples and row.average("nll")
    )
    if exact:
        sure = f" without {marks.UNRELIABLE}" if unreliable else ""
        text += f" Compare with {' or '.join(exact)} by filled marks{sure} only."
    if _true_nll(cells, dataset) is not None:
        text += " The thick line is the data's own -log p(x): no bound lies below it in expectation."
    return text + series.reliance(unreliable)


def _shown(cells: Sequence[Cell], dataset: str) -> dict[str, list[Row]]:
    """Each setting that has a panel, one with a finished run of a joint-latent system, with its rows."""
    found = {setting: series.rows(cells, dataset, setting) for setting in series.settings_of(cells)}
    return {
        setting: rows
        for setting, rows in found.items()
        if any(row.cell.joint_latent and row.cell.averages for row in rows)
    }


def _over_samples(cells: Sequence[Cell], dataset: str) -> str:
    """Say which conventions fall or rise at every step of every line over L, and at every common seed.

    Means alone would show directions that their errors do not.
    """
    cells, _ = series.prepare(cells, dataset, *series.NLLS)
    moves: dict[str, list[str]] = {"fall": [], "rise": []}
    for curve in CURVES:
        steps = [
            after[seed] - before[seed]
            for setting in series.settings_of(cells)
            for rows in [series.rows(cells, dataset, setting)]
            for members in joint_lines(rows).values()
            for points in [averages_of(curve, start_of(rows, members), members)]
            for before, after in itertools.pairwise(average.by_seed() for _, average in points)
            for seed in before.keys() & after.keys()
        ]
        if steps and all(step < 0 for step in steps):
            moves["fall"].append(curve.words)
        elif steps and all(step > 0 for step in steps):
            moves["rise"].append(curve.words)
    parts = [
        f"{listed(names)} {verb}{'s' if len(names) == 1 else ''}" for verb, names in moves.items() if names
    ]
    return f" With L, at every seed, {', and '.join(parts)}." if parts else ""


def _true_nll(cells: Sequence[Cell], dataset: str) -> float | None:
    return next((cell.true_nll for cell in cells if cell.dataset == dataset and cell.true_nll), None)


def draw(cells: Sequence[Cell], dataset: str) -> Figure | None:
    """Draw a panel per setting with a joint-latent system; None if there is no such setting."""
    cells, notes = series.prepare(cells, dataset, *series.NLLS)
    truth, shown = _true_nll(cells, dataset), _shown(cells, dataset)
    if not shown:
        return None
    figure, axes = layout.panels(len(shown), 3.6)
    legend, looks = _Legend(), series.looks(cells, dataset)
    for ax, (setting, rows) in zip(axes[0], shown.items(), strict=True):
        _panel(ax, rows, looks, legend)
        if truth is not None:
            _draw_truth(ax, truth, legend)
        ax.set_title(setting)
        ax.set_xlabel("samples per sentence, L")
    axes[0][0].set_ylabel("test NLL, nats per sentence")
    layout.title(figure, f"{dataset_title(dataset)}: the published convention against valid bounds")
    intervals = marks.has_intervals(row.cell for rows in shown.values() for row in rows)
    weighted = [one for rows in shown.values() for one in weighted_estimates(rows)]
    unreliable = bool(series.unreliable(weighted))
    common = marks.common_keys(intervals=intervals, cited=legend.cited, unreliable=unreliable)
    if legend.cited:
        common.append(marks.key("derived from it: NLL + (L - 1) KL", style.INK, line=(0, (1, 1))))
    # First the systems, then the conventions that all of them share, and what lies between these.
    conventions = [*(curve.name for curve in CURVES), _BETWEEN]
    keys = sorted(legend.keys, key=lambda name: conventions.index(name) if name in conventions else -1)
    layout.legend(figure, [*(legend.keys[name] for name in keys), *common], columns=2, notes=notes)
    return figure


def _panel(ax: Axes, rows: Sequence[Row], looks: Looks, legend: _Legend) -> None:
    counts = series.samples([row for row in rows if row.cell.num_samples])
    grouped = series.lines(rows)
    joint = list(joint_lines(rows))
    several = sum(any(row.cell.averages for row in grouped[key]) for key in joint) > 1
    places = _places(grouped, joint)
    for (system, variant), members in grouped.items():
        colour, marker = looks[system, variant]
        label = series.legend_name(members[0].cell)
        if not members[0].cell.num_samples:
            if exact := members[0].cell.averages.get("nll"):
                marks.level(ax, exact, colour)
                marks.seeds(ax, -0.5, exact, colour, "y", 0.1)
                name = marks.level_name(f"{label}: exact", exact)
                legend.keys[label] = marks.key(name, colour, line="-")
        elif (system, variant) in joint:
            # Conventions differ by their marks; the colour names the line.
            if any(row.cell.averages for row in members):
                legend.keys[label] = marks.key(f"{label}, by each convention", colour, line="-")
            start = start_of(rows, members)
            ink = style.MUTED if several else colour
            place = places[system, variant]
            _conventions(ax, start, members, counts, (colour, ink), place, legend)
            for row in members:
                at = counts.index(row.cell.num_samples) + place.first
                _cite(ax, row, at, legend)
                if gap := measured_gap(row, rows):
                    _measure(ax, row, gap, at, colour)
        else:
            place = places[system, variant]
            _valid_bound(ax, members, counts, (colour, marker), label, place, legend)
    ax.margins(y=0.08)
    marks.name_columns(ax, [str(L) for L in counts])


@dataclass(frozen=True)
class _Place:
    """The place of a line's marks beside each L, so that no line hides another."""

    first: float
    step: float
    """To the next mark, of this line or of another."""

    def of(self, *, weighted: bool) -> float:
        """The place of ELBOs, or of importance-weighted numbers."""
        return self.first + self.step * weighted


def _places(
    grouped: Mapping[tuple[str, str], Sequence[Row]], joint: Sequence[tuple[str, str]]
) -> dict[tuple[str, str], _Place]:
    """Put lines side by side: one mark wide, and two if both conventions are drawn."""
    drawn = [key for key, members in grouped.items() if members[0].cell.num_samples]
    widths = {key: 2 if key in joint else 1 for key in drawn}
    step = min(_APART, (_RIGHT - _LEFT) / max(1, sum(widths.values()) - 1))
    found, at = {}, (_LEFT + _RIGHT - step * (sum(widths.values()) - 1)) / 2
    for key in drawn:
        found[key] = _Place(at, step)
        at += step * widths[key]
    return found


def _draw_truth(ax: Axes, nll: float, legend: _Legend) -> None:
    ax.axhline(nll, color=style.INK, lw=1.6, zorder=2.1)
    low, high = ax.get_ylim()
    bottom = min(low, nll - 0.1 * (high - nll))
    ax.axhspan(bottom, nll, color=style.INK, alpha=0.05, lw=0, zorder=0.5)
    ax.set_ylim(bottom, high)
    legend.keys["truth"] = marks.key(
        "-log p(x) of the data: no bound below it in expectation", style.INK, line="-"
    )


def _valid_bound(
    ax: Axes,
    members: Sequence[Row],
    counts: Sequence[int],
    look: tuple[str, str],
    label: str,
    place: _Place,
    legend: _Legend,
) -> None:
    """Draw the bound that a system without joint latent samples is compared by."""
    name = bound_of(members)
    kind = "IW: valid in expectation" if name == "nll_iw" else "ELBO: valid bound"
    points = [
        (counts.index(row.cell.num_samples) + place.first, average)
        for row in members
        if (average := row.cell.averages.get(name))
    ]
    _join(ax, points, look[0], "-")
    _marked(ax, points, *look, place.step, hollow=False)
    if points:
        legend.keys[label] = marks.key(f"{label}, {kind}", *look, "-")


def _conventions(
    ax: Axes,
    start: Sequence[Row],
    members: Sequence[Row],
    counts: Sequence[int],
    colours: tuple[str, str],
    place: _Place,
    legend: _Legend,
) -> None:
    """Draw one system by every convention, with the gap between the two ELBOs shaded.

    ``colours`` are those of the lines and of the legend. ``start`` is the row of L = 1 at which the lines
    begin, if the system itself has none.
    """
    colour, ink = colours
    for curve in CURVES:
        shift = place.of(weighted=curve.weighted)
        first, points = (
            [(counts.index(L) + shift, average) for L, average in averages_of(curve, side, ())]
            for side in (start, members)
        )
        dashes = "-" if curve.valid else _DASHES
        if not points:
            continue
        _join(ax, [*first, *points], colour, dashes)
        # With one sample both conventions are the valid one, so the start has its mark alone.
        _marked(
            ax,
            [*first, *points] if curve.valid else points,
            colour,
            curve.marker,
            place.step,
            hollow=not curve.valid,
        )
        legend.keys[curve.name] = marks.key(curve.name, ink, curve.marker, dashes, hollow=not curve.valid)
    ends = [
        (counts.index(row.cell.num_samples) + place.first, low.mean, high.mean)
        for row in [*start, *members]
        if (low := row.cell.averages.get("nll_elbo"))
        and (high := row.cell.averages.get("nll_joint", low if row.cell.num_samples == 1 else None))
    ]
    if len(ends) > 1:
        at, low_ends, high_ends = zip(*ends, strict=True)
        ax.fill_between(at, low_ends, high_ends, color=colour, alpha=0.1, lw=0, zorder=1.2)
        legend.keys[_BETWEEN] = Patch(color=ink, alpha=0.14, lw=0, label=_BETWEEN)


def _cite(ax: Axes, row: Row, place: float, legend: _Legend) -> None:
    """Draw the published numbers of a row."""
    for fact in (row.fact("nll"), series.derived_joint(row)):
        if fact:
            marks.published(ax, place, fact, style.INK, "y", 0.2)
            legend.cited.append(fact)


def _measure(ax: Axes, row: Row, gap: float, place: float, colour: str) -> None:
    """Draw an arrow between the two ELBOs of a row, with the nats that they are apart."""
    averages = row.cell.averages
    ends = averages["nll_elbo"].mean, averages["nll_joint"].mean
    arrow = {"arrowstyle": "<->", "color": colour, "lw": 0.9, "shrinkA": 5, "shrinkB": 5}
    ax.annotate("", (place, ends[0]), (place, ends[1]), arrowprops=arrow)
    naming.label(
        ax,
        f"{gap:.1f} nats apart",
        (place, ends[1]),
        colour,
        fontsize=8.5,
        fontweight="bold",
        zorder=5,
    )


def _marked(
    ax: Axes,
    points: Sequence[tuple[float, Average]],
    colour: str,
    marker: str,
    step: float,
    *,
    hollow: bool,
) -> None:
    """Draw means with their seeds and intervals."""
    for x, average in points:
        marks.seeds(ax, x + 0.45 * step, average, colour, "y", 0.25 * step)
        marks.mean(ax, x, average, colour, marker, "y", hollow=hollow, ring=hollow)


def _join(ax: Axes, points: Sequence[tuple[float, Average]], colour: str, dashes: object) -> None:
    x, y = [x for x, _ in points], [average.mean for _, average in points]
    ax.plot(x, y, color=colour, ls=dashes, lw=1.2, zorder=2)
