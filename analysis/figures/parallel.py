"""Draw the trials of a search as lines across parallel axes: the fields, and last the perplexity."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from analysis.figures.elements import layout, naming, style, wrapping
from analysis.figures.trials import SCORE, Field, Point, cut
from lvae_core.run_folder.search_record import BEST_SHARE

_HEIGHT = 2.2
"""Inches that the axes are high, at least."""

_BETWEEN = 0.12
"""Inches that stay free between a choice and the next axis."""

_SIZE = 8
"""Size of the text beside the axes, in points."""

_LOOKS: dict[str, dict[str, Any]] = {
    "other trials": {"color": style.MUTED, "lw": 0.7, "alpha": 0.45, "zorder": 2.0},
    "best quarter": {"color": style.BLUE, "lw": 1.1, "alpha": 0.85, "zorder": 2.5},
    "lowest": {"color": style.VERMILION, "lw": 2.2, "zorder": 3.0},
}


def draw(points: Sequence[Point], fields: Sequence[Field], title: str, note: str = "") -> Figure | None:
    """Draw a line for each trial that was trained to its end; None for fewer than two.

    Args:
        points: the trials, in any order; those stopped early and diverged ones are left out.
        fields: the fields, in the order of the axes.
        title: the figure's title.
        note: follows the name of the perplexity's axis.
    """
    done = [p for p in points if not p.dropped and math.isfinite(p.score) and len(p.values) == len(fields)]
    if len(done) < 2:
        return None
    ranked = sorted(done, key=lambda point: point.score)
    best = max(1, math.floor(BEST_SHARE * len(ranked)))
    figure, ((ax,),) = layout.panels(1, _HEIGHT + 0.6, width=layout.WIDTH)
    scores = [point.score for point in ranked]
    # One poor trial must not press the others together.
    top = cut(scores)
    end = scores[-1] if top is None else top
    for place, point in reversed(list(enumerate(ranked))):
        kind = "lowest" if place == 0 else "best quarter" if place < best else "other trials"
        heights = [_height(field, point.values[field.name], done) for field in fields]
        heights.append(_scaled(min(point.score, end), scores[0], end, log=False))
        ax.plot(range(len(heights)), heights, **_LOOKS[kind])
    room = layout.WIDTH / (len(fields) + 1) - _BETWEEN
    for place, field in enumerate(fields):
        _scale(ax, place, field, done, room)
    texts = [f"{score:.4g}" for score in (scores[0], end)]
    if texts[0] == texts[1]:
        texts = [f"{score:g}" for score in (scores[0], end)]
    _label(ax, len(fields), _end_ticks(texts[0], texts[1] if top is None else f"≥ {texts[1]}"))
    ax.set_xticks(range(len(fields) + 1), [*(field.name for field in fields), SCORE + note])
    ax.set_xlim(-0.25, len(fields) + 0.35)
    ax.set_ylim(-0.08, 1.08)
    ax.set_yticks([])
    ax.grid(visible=False)
    for side in ("left", "bottom"):
        ax.spines[side].set_visible(False)
    ax.tick_params(axis="x", length=0)
    layout.title(figure, title)
    kinds = ["lowest", *(["best quarter"] if best > 1 else []), "other trials"]
    layout.legend(figure, [Line2D([], [], label=kind, **_LOOKS[kind]) for kind in kinds])
    return figure


def _height(field: Field, value: Any, points: Sequence[Point]) -> float:
    """The place of a value on its axis, 0 to 1."""
    if field.choices:
        return _scaled(float(value), 0.0, len(field.choices) - 1.0, log=False)
    return _scaled(float(value), *_ends(field, points), log=field.log)


def _ends(field: Field, points: Sequence[Point]) -> tuple[float, float]:
    """The ends of the axis of a field that is a range."""
    values = [float(point.values[field.name]) for point in points]
    return field.ends or (min(values), max(values))


def _scaled(value: float, low: float, high: float, *, log: bool) -> float:
    if low == high:
        return 0.5
    if log:
        value, low, high = math.log(value), math.log(low), math.log(high)
    return (value - low) / (high - low)


def _scale(ax: Axes, place: int, field: Field, points: Sequence[Point], room: float) -> None:
    """Draw an axis with its ends, or with all of its choices; ``room``: inches to the next axis."""
    if field.choices:
        last = len(field.choices) - 1
        height = _HEIGHT / max(1, last) / 2
        texts = [wrapping.cut(text, room, height, _SIZE) for text in field.choices]
        _label(ax, place, [(k / last if last else 0.5, text) for k, text in enumerate(texts)])
        return
    low, high = _ends(field, points)
    _label(ax, place, _end_ticks(f"{low:g}", f"{high:g}"))


def _end_ticks(low: str, high: str) -> list[tuple[float, str]]:
    """The labels of the ends of an axis; equal values have their place in the middle."""
    return [(0.5, low)] if low == high else [(0.0, low), (1.0, high)]


def _label(ax: Axes, place: int, ticks: Sequence[tuple[float, str]]) -> None:
    ax.plot([place, place], [0, 1], color=style.INK, linewidth=0.9, zorder=2.8, solid_capstyle="butt")
    for height, text in ticks:
        # Several lines at an end of the axis would reach the name below it, or the title.
        inwards = {0.0: "bottom", 1.0: "top"} if "\n" in text else {}
        ax.text(
            place + 0.04,
            height,
            text,
            fontsize=_SIZE,
            va=inwards.get(height, "center"),
            zorder=4,
            path_effects=naming.halo(),
        )
