"""Draw KL against NLL: what the use of the latent variable gains."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from analysis.figures import series
from analysis.figures.elements import layout, marks, naming, style
from analysis.figures.elements.style import Look
from analysis.figures.series import Row
from analysis.published.facts import Fact
from analysis.stats.average import Average
from analysis.stats.cells import Cell
from analysis.tables.elements.table import NOT_A_BOUND, dataset_title

_MOST_DIAGONALS = 40

_LEAST_WIDTH = 0.01
"""Nats: the noise around 0 of a collapsed posterior must not fill the panel."""


def caption(cells: Sequence[Cell], dataset: str) -> str:
    """Describe what the figure of these cells shows."""
    rows = series.drawn_rows(cells, dataset)
    text = f"KL of one sample against NLL{series.convention(rows)}: one dot per seed, the mean"
    text += " with both intervals" if marks.has_intervals(row.cell for row in rows) else ""
    cited = [row for row in rows if _cited(row)]
    text += ", and crosses for published means ± std" if cited else ""
    text += (
        ". Along a grey line the reconstruction term is constant: a system further right on the same line "
        "has more KL and the same reconstruction."
    )
    return text + (f" {series.UNCOUNTED}." if any(row.cell.joint_latent for row in cited) else "")


def draw(cells: Sequence[Cell], dataset: str) -> Figure | None:
    """Draw a panel per setting; None if no run with a latent variable is finished."""
    cells, notes = series.prepare(cells, dataset, "nll", "nll_elbo", "kl")
    found = {setting: series.rows(cells, dataset, setting) for setting in series.settings_of(cells)}
    found = {s: rows for s, rows in found.items() if any(row.average("kl") for row in rows)}
    if not found:
        return None
    figure, axes = layout.panels(len(found), 3.3)
    looks, keys = series.looks(cells, dataset), marks.LineKeys()
    every = [row for rows in found.values() for row in rows]
    names = series.SampleNames(row for row in every if _ours(row) or _cited(row))
    for ax, (setting, rows) in zip(axes[0], found.items(), strict=True):
        for row, fact in series.with_facts(rows, "nll"):
            if row.cell.num_samples:
                _row(ax, row, looks[row.key], keys, names, cited=_cited(row) if fact else None)
            else:
                _language_model(ax, row, looks[row.key], keys)
        ax.set_title(setting)
        ax.set_xlabel("KL, nats per sentence")
    notes += marks.cut_at_zero("x", axes[0], ([r.average("kl") for r in rows] for rows in found.values()))
    for ax in axes[0]:
        _diagonals(ax)
    axes[0][0].set_ylabel("test NLL, nats per sentence")
    layout.title(figure, f"{dataset_title(dataset)}: KL against NLL")
    intervals = marks.has_intervals(row.cell for row in every)
    hollow = any(row.cell.joint_latent and row.average("nll") for row in every)
    handles = [*keys.entries(), *marks.common_keys(intervals=intervals, hollow=hollow)]
    if cited := [fact for row in every for fact in _cited(row) or ()]:
        handles.append(marks.key(f"published{marks.converted(cited)}: mean ± std", style.MUTED, "+"))
    handles.append(Line2D([], [], color=style.MUTED, lw=0.7, alpha=0.6, label="same reconstruction"))
    layout.legend(figure, handles, notes=notes)
    return figure


def _ours(row: Row) -> tuple[Average, Average] | None:
    """KL and NLL of our runs."""
    kl, nll = row.average("kl"), row.average("nll")
    return (kl, nll) if row.cell.num_samples and kl and nll else None


def _cited(row: Row) -> tuple[Fact, Fact] | None:
    """The published KL and NLL."""
    kl, nll = row.fact("kl"), row.fact("nll")
    return (kl, nll) if row.cell.num_samples and kl and nll else None


def _language_model(ax: Axes, row: Row, look: Look, keys: marks.LineKeys) -> None:
    """Draw a model without a latent variable as a line."""
    nll, (colour, marker) = row.average("nll"), look
    if not nll:
        return
    marks.level(ax, nll, colour)
    ax.plot([0.0] * nll.n, nll.values, marker, ms=3.4, mfc=colour, mec="none", alpha=0.5, zorder=2.4)
    marks.dot(ax, 0.0, nll.mean, colour, marker)
    name = series.legend_name(row.cell)
    keys.add(look, marks.key(marks.level_name(f"{name} (no z)", nll), colour, marker, "-"))


def _row(
    ax: Axes,
    row: Row,
    look: Look,
    keys: marks.LineKeys,
    names: series.SampleNames,
    *,
    cited: tuple[Fact, Fact] | None,
) -> None:
    """Draw one cell with a latent variable, and the published KL and NLL in ``cited``."""
    (colour, marker), joint = look, row.cell.joint_latent
    name = names.in_legend(row)
    if cited:
        kl, nll = cited
        # A number without a std would not be visible as error bars alone.
        shape = "none" if kl.std and nll.std else "+"
        ax.errorbar(
            kl.mean,
            nll.mean,
            nll.std,
            kl.std,
            fmt=shape,
            c=colour,
            ecolor=colour,
            elinewidth=0.9,
            zorder=2.6,
        )
        # A cross cannot be hollow.
        if text := names.beside(row) + NOT_A_BOUND * joint:
            naming.label(ax, text, (kl.mean, nll.mean), colour)
        keys.add_published(look, marks.key(f"{name}: published", colour, "+"))
    if ours := _ours(row):
        use, loss = ours
        ax.plot(use.values, loss.values, marker, ms=3.4, mfc=colour, mec="none", alpha=0.5, zorder=2.4)
        marks.bar(ax, use.mean, loss.mean, loss, colour, "y")
        marks.bar(ax, use.mean, loss.mean, use, colour, "x", from_zero=True)
        marks.dot(ax, use.mean, loss.mean, colour, marker, hollow=joint)
        if text := names.beside(row):
            naming.label(ax, text, (use.mean, loss.mean), colour)
        keys.add(look, marks.key(name, colour, marker, hollow=joint))


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
