"""A search: where its trials lie in each field that varies, and what they came to."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from analysis.figures import style

CAPTION = (
    "Every trial of a search by each field that varies; lower is better. Hollow: left behind at a rung, at "
    "the perplexity it had by then."
)

_COLUMNS = 3
_WORST = 0.75
"""Quantile of the perplexities up to which the axis reaches: the poor ones are many and far away."""

_BEST, _DONE, _DROPPED = "#d55e00", "#0072b2", "#6d6d72"


@dataclass(frozen=True)
class Field:
    """One that varies."""

    name: str
    log: bool
    choices: tuple[str, ...] = ()
    """What it may be, where it is no range."""


@dataclass(frozen=True)
class Point:
    """One trial that came to the end of an epoch."""

    values: Mapping[str, Any]
    """Field -> number, or place among its choices."""
    score: float
    """Lowest validation perplexity."""
    dropped: bool = False


def draw(
    points: Sequence[Point], fields: Sequence[Field], recipe: Mapping[str, Any], title: str
) -> Figure | None:
    """A panel a field; None where no trial came to the end of an epoch.

    Args:
        points: in any order.
        fields: in the order of the panels.
        recipe: its values, as ``points`` have them; without a field whose value is none of the choices.
        title: of the figure.
    """
    if not points:
        return None
    rows = math.ceil(len(fields) / _COLUMNS)
    across = math.ceil(len(fields) / rows)
    figure, axes = style.panels(across, 0.9 + 2.3 * rows, rows=rows, sharey=True)
    panels = [ax for row in axes for ax in row]
    best = min((p for p in points if not p.dropped), key=lambda p: p.score, default=None)
    for ax, field in zip(panels, fields, strict=False):
        _panel(ax, points, field, best)
        if field.name in recipe:
            ax.axvline(
                recipe[field.name], color=style.MUTED, linewidth=1, linestyle=(0, (3, 2)), zorder=1.5
            )
    for ax in panels[len(fields) :]:
        ax.set_visible(False)
    for row in axes:
        row[0].set_ylabel("valid perplexity")
    low, high = _limits([point.score for point in points])
    axes[0][0].set_ylim(low, high)
    beyond = sum(point.score > high for point in points)
    style.title(figure, title)
    style.legend(figure, _keys(points, beyond))
    return figure


def _panel(ax: Axes, points: Sequence[Point], field: Field, best: Point | None) -> None:
    for point in points:
        x, y = point.values[field.name], point.score
        if point is best:
            ax.plot([x], [y], "*", ms=11, mfc=_BEST, mec=style.PAPER, mew=0.8, zorder=3.2)
        elif point.dropped:
            ax.plot([x], [y], "o", ms=4.5, mfc="none", mec=_DROPPED, mew=1, zorder=2.2)
        else:
            ax.plot([x], [y], "o", ms=4.5, mfc=_DONE, mec="none", alpha=0.8, zorder=2.4)
    ax.set_xlabel(field.name)
    if field.choices:
        ax.set_xticks(range(len(field.choices)), field.choices)
        ax.set_xlim(-0.5, len(field.choices) - 0.5)
    elif field.log:
        ax.set_xscale("log")
        ax.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        ax.xaxis.set_minor_formatter(NullFormatter())


def _limits(scores: Sequence[float]) -> tuple[float, float]:
    """From the best to a little above most of the others."""
    ranked = sorted(scores)
    lowest, most = ranked[0], ranked[math.floor(_WORST * (len(ranked) - 1))]
    room = (most - lowest) or 0.1 * lowest
    return lowest - 0.15 * room, most + 0.35 * room


def _keys(points: Sequence[Point], beyond: int) -> list[Line2D]:
    keys = [
        Line2D([], [], marker="*", ms=11, ls="none", mfc=_BEST, mec=style.PAPER, label="best"),
        Line2D([], [], marker="o", ms=4.5, ls="none", mfc=_DONE, mec="none", label="trained to its end"),
    ]
    if any(point.dropped for point in points):
        keys.append(
            Line2D(
                [],
                [],
                marker="o",
                ms=4.5,
                ls="none",
                mfc="none",
                mec=_DROPPED,
                label="left behind at a rung",
            )
        )
    keys.append(Line2D([], [], color=style.MUTED, linewidth=1, linestyle=(0, (3, 2)), label="the recipe"))
    if beyond:
        keys.append(Line2D([], [], ls="none", label=f"{beyond} above the axis"))
    return keys
