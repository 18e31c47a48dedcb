"""The paper's convention against valid bounds: the gap grows with L."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from analysis.figures import marks, series, style
from analysis.figures.series import Row
from analysis.published import display_name
from analysis.stats.cells import Average, Cell, joint_latent
from analysis.tables.table import dataset_title

CAPTION = (
    "One model, two ways to count. Where the decoder reads L samples, the paper's convention charges for "
    "one of them (hollow, dashed: no bound) and its number falls with L; the bounds that charge for all "
    "(filled) rise. What lies between is not paid for. Compare with LSTM-LM by filled marks only."
)

LEAST_GAP = 0.05
"""Nats; a smaller one would be named 0.0."""

_DASHES = (0, (4, 1.6))


@dataclass(frozen=True)
class _Way:
    estimate: str
    one_sample: str
    """What it is for L = 1, where both ways to count are the same."""
    name: str
    marker: str
    valid: bool
    shift: float


_WAYS = (
    _Way("nll_joint", "nll_elbo", "ELBO, all L charged: valid bound", "D", True, 0.0),
    _Way("nll_iw_joint", "nll_iw", "IW, all L charged: valid in expectation", "^", True, 0.22),
    _Way("nll_elbo", "nll_elbo", "ELBO, one charged: the paper's, no bound", "D", False, 0.0),
    _Way("nll_iw", "nll_iw", "IW, one charged: the paper's, no bound", "^", False, 0.22),
)


@dataclass
class _Legend:
    keys: dict[str, Line2D | Patch] = field(default_factory=dict)
    cited: bool = False


def draw(cells: Sequence[Cell], dataset: str) -> Figure | None:
    """A panel a setting that has a system which reads several samples at once; None where none has."""
    found = {setting: series.rows(cells, dataset, setting) for setting in series.settings_of(cells)}
    shown = {
        setting: rows
        for setting, rows in found.items()
        if any(joint_latent(row.cell) and row.cell.averages for row in rows)
    }
    if not shown:
        return None
    figure, axes = style.panels(len(shown), 5.0, width=style.WIDTH if len(shown) > 1 else 5.2)
    legend = _Legend()
    for ax, (setting, rows) in zip(axes[0], shown.items(), strict=True):
        _panel(ax, rows, legend)
        ax.set_title(setting)
        ax.set_xlabel("samples a sentence, L")
    axes[0][0].set_ylabel("test NLL, nats a sentence")
    style.title(figure, f"{dataset_title(dataset)}: the paper's convention against valid bounds")
    common = marks.common_keys(drawn=True, cited=legend.cited)
    if legend.cited:
        common.append(marks.key("follows from it: NLL + (L - 1) KL", style.INK, line=(0, (1, 1))))
    style.legend(figure, [*legend.keys.values(), *common], columns=2)
    return figure


def _panel(ax: Axes, rows: Sequence[Row], legend: _Legend) -> None:
    counts = series.samples([row for row in rows if row.cell.num_samples])
    names = {row.cell.system for row in rows}
    for (system, variant), members in series.lines(rows).items():
        colour, marker = style.look(system, names)
        label = display_name(system) + (f", {variant}" if variant else "")
        if not members[0].cell.num_samples:
            if exact := members[0].cell.averages.get("nll"):
                marks.level(ax, exact, colour)
                marks.seeds(ax, -0.44, exact, colour, "y", 0.1)
                legend.keys[label] = marks.key(f"{label}: exact", colour, line="-")
        elif any(joint_latent(row.cell) for row in members):
            plain = [row for row in rows if row.cell.num_samples == 1 and row.cell.averaging == "loss"]
            start = [] if members[0].cell.num_samples == 1 else plain[:1]
            _both_ways(ax, start, members, counts, colour, legend)
        else:
            at = [
                (counts.index(row.cell.num_samples), row.cell.averages.get("nll_elbo")) for row in members
            ]
            if _line(ax, [(x - 0.25, a) for x, a in at if a], colour, marker, "-", hollow=False):
                legend.keys[label] = marks.key(f"{label}, ELBO: valid bound", colour, marker, "-")
    ax.margins(y=0.08)
    ax.set_xticks(range(len(counts)), [str(L) for L in counts])
    ax.set_xlim(-0.55, len(counts) - 0.5)
    ax.grid(visible=False, axis="x")


def _both_ways(
    ax: Axes,
    start: Sequence[Row],
    members: Sequence[Row],
    counts: Sequence[int],
    colour: str,
    legend: _Legend,
) -> None:
    """The two ways to count of one system, what lies between them shaded and named.

    With one sample both ways are one, and so are systems that average differently: ``start``, if any, is
    where the lines begin.
    """
    for way in _WAYS:
        at = [
            (counts.index(row.cell.num_samples) + way.shift, average)
            for row in members
            if (
                average := row.cell.averages.get(
                    way.estimate if row.cell.num_samples > 1 else way.one_sample
                )
            )
        ]
        began = [
            (counts.index(1) + way.shift, average)
            for row in start
            if (average := row.cell.averages.get(way.one_sample))
        ]
        dashes = "-" if way.valid else _DASHES
        if began and at:
            _join(ax, [*began, at[0]], colour, dashes)
        if _line(ax, at, colour, way.marker, dashes, hollow=not way.valid):
            legend.keys[way.name] = marks.key(way.name, colour, way.marker, dashes, hollow=not way.valid)
    ends = [
        (counts.index(row.cell.num_samples), low.mean, high.mean)
        for row in [*start, *members]
        if (low := row.cell.averages.get("nll_elbo"))
        and (high := row.cell.averages.get("nll_joint", low if row.cell.num_samples == 1 else None))
    ]
    if len(ends) > 1:
        places, low_ends, high_ends = zip(*ends, strict=True)
        ax.fill_between(places, low_ends, high_ends, color=colour, alpha=0.1, lw=0, zorder=1.2)
        legend.keys["between"] = Patch(color=colour, alpha=0.14, lw=0, label="between: not paid for")
    for row in members:
        _cite_and_measure(ax, row, counts.index(row.cell.num_samples), colour, legend)


def _cite_and_measure(ax: Axes, row: Row, place: float, colour: str, legend: _Legend) -> None:
    """The published numbers of a row, and how far apart its two ways to count are."""
    for fact in (row.fact("nll"), series.derived_joint(row)):
        if fact:
            marks.published(ax, place, fact, style.INK, "y", 0.2)
            legend.cited = True
    value, averages = series.gap(row), row.cell.averages
    if not value or value < LEAST_GAP or "nll_joint" not in averages:
        return
    ends = averages["nll_elbo"].mean, averages["nll_joint"].mean
    arrow = {"arrowstyle": "<->", "color": colour, "lw": 0.9, "shrinkA": 5, "shrinkB": 5}
    ax.annotate("", (place, ends[0]), (place, ends[1]), arrowprops=arrow)
    # Up and to the left of a rising line there is room.
    ax.annotate(
        f"{value:.1f} nats apart",
        (place, ends[1]),
        (-7, 9),
        textcoords="offset points",
        ha="right",
        color=colour,
        fontsize=8.5,
        fontweight="bold",
        path_effects=style.halo(),
        zorder=5,
    )


def _line(
    ax: Axes, at: Sequence[tuple[float, Average]], colour: str, marker: str, dashes: object, *, hollow: bool
) -> bool:
    """Means joined, with their seeds and intervals; whether there is any."""
    _join(ax, at, colour, dashes)
    for x, average in at:
        marks.seeds(ax, x + 0.13, average, colour, "y", 0.06)
        marks.mean(ax, x, average, colour, marker, "y", hollow=hollow)
    return bool(at)


def _join(ax: Axes, at: Sequence[tuple[float, Average]], colour: str, dashes: object) -> None:
    x, y = [x for x, _ in at], [average.mean for _, average in at]
    ax.plot(x, y, color=colour, ls=dashes, lw=1.2, zorder=2)
