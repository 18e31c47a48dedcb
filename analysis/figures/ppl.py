"""Draw PPL against L, by averaging mode."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from analysis.figures import series
from analysis.figures.elements import layout, marks, style
from analysis.figures.elements.style import Looks
from analysis.figures.series import Row
from analysis.published.catalogue import display_name
from analysis.published.facts import Fact
from analysis.stats.cells import Cell
from analysis.tables.elements.table import dataset_title

_APART = 0.24
"""The largest distance between neighbouring lines, in units of L's axis."""

_AVERAGED = {"loss": "averaging = loss", "hidden": "averaging = hidden ‡"}


def caption(cells: Sequence[Cell], dataset: str) -> str:
    """Describe what the figure of these cells shows."""
    rows = series.drawn_rows(cells, dataset)
    text = f"PPL{series.convention(rows)}"
    if _has_several_counts(rows):
        text += " against the number of samples L"
        text += ", by averaging mode" if series.convention(rows) else ""
    joint = any(row.cell.joint_latent for row in rows)
    note = (
        " If hidden states are averaged (‡) and L > 1, it is not a bound (hollow): the convention does not "
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
    looks = series.looks(cells, dataset)
    keys: dict[str, Line2D] = {}
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
    layout.legend(figure, [*keys.values(), *common], notes=notes)
    return figure


def _panel(
    ax: Axes, rows: Sequence[Row], looks: Looks, keys: dict[str, Line2D], *, modes: bool
) -> list[Fact]:
    """Draw a panel, add its entries to the legend, and return the published values drawn."""
    counts = series.samples(rows)
    grouped = series.lines(rows)
    seen: dict[str, int] = {}
    cited: list[Fact] = []
    # Lines are side by side, so that none hides another: those with a z, and models without one.
    beside = {
        has_z: [key for key, of in grouped.items() if (of[0].cell.num_samples > 0) == has_z]
        for has_z in (False, True)
    }
    for (system, variant), members in grouped.items():
        colour, marker = looks[system, variant]
        dashes = style.line_of(seen.get(system, 0))
        seen[system] = seen.get(system, 0) + 1
        others = beside[members[0].cell.num_samples > 0]
        step = min(_APART, 0.8 / len(others))
        offset = step * (others.index((system, variant)) - (len(others) - 1) / 2)
        drawn = [(counts.index(row.cell.num_samples) + offset, row) for row in members]
        ours = [(x, row, average) for x, row in drawn if (average := row.average("ppl"))]
        if len(ours) > 1:
            ax.plot([x for x, *_ in ours], [a.mean for *_, a in ours], color=colour, ls=dashes, zorder=2)
        for x, row, average in ours:
            marks.seeds(ax, x - 0.45 * step, average, colour, "y", 0.3 * step)
            marks.mean(ax, x, average, colour, marker, "y", hollow=row.cell.joint_latent, from_zero=True)
        # Variants share their published value: draw it once.
        facts = [(x, fact) for x, row in drawn if (fact := row.fact("ppl"))] if not seen[system] > 1 else []
        cited += [fact for _, fact in facts]
        for x, fact in facts:
            marks.published(ax, x, fact, colour, "y", 0.2)
        # The mode matters beside one that gives no bound; elsewhere the name of the system says enough.
        averaged = _AVERAGED.get(members[0].cell.averaging, "no z") if modes else ""
        label = ", ".join(filter(None, (display_name(system), averaged, members[0].cell.variant_name)))
        if ours:
            hollow = all(row.cell.joint_latent for _, row, _ in ours)
            keys[label] = marks.key(label, colour, marker, dashes, hollow=hollow)
    ax.set_xticks(range(len(counts)), [str(L) if L else "no z" for L in counts])
    ax.set_xlim(-0.6, len(counts) - 0.4)
    ax.grid(visible=False, axis="x")
    return cited
