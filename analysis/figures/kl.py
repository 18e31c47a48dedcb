"""Draw KL against NLL: what the use of the latent variable gains."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from analysis.figures import series
from analysis.figures.elements import layout, marks, style
from analysis.figures.elements.style import Looks
from analysis.figures.series import Row
from analysis.stats.cells import Cell
from analysis.tables.elements.table import dataset_title

_MOST_DIAGONALS = 40

_LEAST_WIDTH = 0.01
"""Nats: the noise around 0 of a collapsed posterior must not fill the panel."""


def caption(cells: Sequence[Cell], dataset: str) -> str:
    """Describe what the figure of these cells shows."""
    rows = series.drawn_rows(cells, dataset)
    text = f"KL of one sample against NLL{series.convention(rows)}: one dot per seed, the mean"
    text += " with both intervals" if marks.has_intervals(row.cell for row in rows) else ""
    if any(row.fact("kl") and row.fact("nll") for row in rows if row.cell.num_samples):
        text += ", and crosses for published means ± std"
    return (
        f"{text}. Along a grey line the reconstruction term is constant: a system further right on the "
        "same line has more KL and the same reconstruction."
    )


def draw(cells: Sequence[Cell], dataset: str) -> Figure | None:
    """Draw a panel per setting; None if no run with a latent variable is finished."""
    cells, notes = series.prepare(cells, dataset, "nll", "nll_elbo", "kl")
    found = {setting: series.rows(cells, dataset, setting) for setting in series.settings_of(cells)}
    found = {s: rows for s, rows in found.items() if any(row.average("kl") for row in rows)}
    if not found:
        return None
    figure, axes = layout.panels(len(found), 3.3)
    looks = series.looks(cells, dataset)
    keys: dict[str, Line2D] = {}
    cited = False
    # A number that is the same for all marks is in no label.
    counts = {row.cell.num_samples for rows in found.values() for row in rows if row.cell.num_samples}
    for ax, (setting, rows) in zip(axes[0], found.items(), strict=True):
        for row in rows:
            cited |= _row(ax, row, looks, keys, named=len(counts) > 1)
        ax.set_title(setting)
        ax.set_xlabel("KL, nats per sentence")
    notes += marks.cut_at_zero("x", axes[0], ([r.average("kl") for r in rows] for rows in found.values()))
    for ax in axes[0]:
        _diagonals(ax)
    axes[0][0].set_ylabel("test NLL, nats per sentence")
    layout.title(figure, f"{dataset_title(dataset)}: KL against NLL")
    intervals = marks.has_intervals(row.cell for rows in found.values() for row in rows)
    hollow = any(row.cell.joint_latent and row.average("nll") for rows in found.values() for row in rows)
    handles = [*keys.values(), *marks.common_keys(intervals=intervals, hollow=hollow)]
    if cited:
        handles.append(marks.key("published: mean ± std", style.INK, "+"))
    handles.append(Line2D([], [], color=style.MUTED, lw=0.7, alpha=0.6, label="same reconstruction"))
    layout.legend(figure, handles, notes=notes)
    return figure


def _row(ax: Axes, row: Row, looks: Looks, keys: dict[str, Line2D], *, named: bool) -> bool:
    """Draw one cell, ``named`` by its L; returns whether a published value was drawn."""
    colour, marker = looks[row.key]
    name = series.legend_name(row.cell)
    nll, kl = row.average("nll"), row.average("kl")
    if not row.cell.num_samples:
        if nll:
            marks.level(ax, nll, colour)
            ax.plot(
                [0.0] * nll.n, nll.values, marker, ms=3.4, mfc=colour, mec="none", alpha=0.5, zorder=2.4
            )
            marks.dot(ax, 0.0, nll.mean, colour, marker)
            keys[name] = marks.key(marks.level_name(f"{name} (no z)", nll), colour, marker, "-")
        return False
    x, y = row.fact("kl"), row.fact("nll")
    if x and y:
        # A number without a std would not be visible as error bars alone.
        shape = "none" if x.std and y.std else "+"
        ink = style.INK
        ax.errorbar(x.mean, y.mean, y.std, x.std, fmt=shape, c=ink, ecolor=ink, elinewidth=0.9, zorder=2.6)
    if nll and kl:
        ax.plot(kl.values, nll.values, marker, ms=3.4, mfc=colour, mec="none", alpha=0.5, zorder=2.4)
        marks.bar(ax, kl.mean, nll.mean, nll, colour, "y")
        marks.bar(ax, kl.mean, nll.mean, kl, colour, "x", from_zero=True)
        marks.dot(ax, kl.mean, nll.mean, colour, marker, hollow=row.cell.joint_latent)
        if named:
            layout.label(ax, f"L={row.cell.num_samples}", (kl.mean, nll.mean), colour)
        keys[name] = marks.key(name, colour, marker, hollow=row.cell.joint_latent)
    return bool(x and y)


def _diagonals(ax: Axes) -> None:
    """Draw lines of equal NLL - KL, at the distance of the axis's ticks."""
    (left, right), (bottom, top) = ax.get_xlim(), ax.get_ylim()
    right = max(right, _LEAST_WIDTH)
    left = min(left, -0.04 * right)
    ticks = ax.get_yticks()
    # At least: with NLLs that hardly differ there would be thousands.
    step = max(ticks[1] - ticks[0], (top - bottom + right - left) / _MOST_DIAGONALS)
    # The lines that cross the visible part of the panel, from the lower right corner on.
    first = int((bottom - right) // step)
    for k in range(first, int((top - left) // step) + 2):
        ax.plot(
            [left, right],
            [k * step + left, k * step + right],
            color=style.MUTED,
            lw=0.6,
            alpha=0.3,
            zorder=1,
        )
    ax.set_xlim(left, right)
    ax.set_ylim(bottom, top)
