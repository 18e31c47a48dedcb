"""Draw the trials of a search: the perplexity of each against each field that varies; lower is better.

A trial that was stopped at a rung is drawn at the perplexity that it had reached.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from analysis.figures.elements import layout, style
from lvae_core.messages import first_of
from lvae_core.run_folder.search_record import RECIPE

SCORE = "valid perplexity"
"""The name of the perplexity's axis."""

_COLUMNS = 3
_WORST = 0.75
"""Quantile of the perplexities up to which a cut axis reaches: poor trials are many and far away."""

_LEAST_SAVED = 3.0
"""An axis on which all scores have a place is cut only if it becomes so many times shorter."""

_ROOM = 0.04
"""Share of a range that is added at each end of its axis."""

_DASHES: Any = (0, (3, 2))

Kind = Literal[
    "lowest", "on the Pareto front", "trained to the end", "stopped at a rung", "above the axis", "diverged"
]

_BEST, _DONE, _DROPPED = style.VERMILION, style.BLUE, style.MUTED


@dataclass(frozen=True)
class Field:
    """A field that varies."""

    name: str
    log: bool
    choices: tuple[str, ...] = ()
    """Its possible values, if it is not a range."""
    ends: tuple[float, float] | None = None
    """The ends of its range; None: those of the trials."""
    recipe_outside: str = ""
    """The recipe's value, if it is none of the possible ones."""


@dataclass(frozen=True)
class Point:
    """A trial."""

    values: Mapping[str, Any]
    """Field -> number, or position among its choices."""
    score: float
    """Lowest validation perplexity; infinite if the loss diverged."""
    dropped: bool = False


def draw(
    points: Sequence[Point],
    fields: Sequence[Field],
    recipe: Mapping[str, Any],
    title: str,
    note: str = "",
) -> Figure | None:
    """Draw a panel per field; None if every trial diverged.

    Args:
        points: the trials, in any order.
        fields: the fields, in the order of the panels.
        recipe: the recipe's values in the form of ``points``, without fields whose value is not a choice.
        title: the figure's title.
        note: follows the name of the perplexity's axis.
    """
    finite = [point.score for point in points if math.isfinite(point.score)]
    if not finite:
        return None
    rows = math.ceil(len(fields) / _COLUMNS)
    across = math.ceil(len(fields) / rows)
    figure, axes = layout.panels(across, 0.2 + 2.2 * rows, rows=rows, sharey=True)
    panels = [ax for row in axes for ax in row]
    # A trial that was stopped early is never the best, however low it was.
    best = min((p for p in points if not p.dropped), key=lambda p: p.score, default=None)
    low, high = _axis(finite)
    for ax, field in zip(panels, fields, strict=False):
        _panel(ax, points, field, best, high)
        if field.name in recipe and not field.recipe_outside:
            ax.axvline(recipe[field.name], color=style.MUTED, linewidth=1, linestyle=_DASHES, zorder=1.5)
    for ax in panels[len(fields) :]:
        ax.set_visible(False)
    for row in axes:
        row[0].set_ylabel(SCORE + note)
    axes[0][0].set_ylim(low, high)
    layout.title(figure, title)
    drawn = any(field.name in recipe and not field.recipe_outside for field in fields)
    layout.legend(figure, _keys(points, high, has_recipe=drawn))
    return figure


@dataclass(frozen=True)
class Outcome:
    """The objectives of a finished trial."""

    values: tuple[float, ...]
    on_front: bool


def draw_front(outcomes: Sequence[Outcome], headings: Sequence[str], nll: int, title: str) -> Figure | None:
    """Draw the NLL of each trial against each other objective, with the Pareto front; None without trials.

    Args:
        outcomes: the finished trials.
        headings: the name of each objective.
        nll: the place of the NLL among the objectives.
        title: the figure's title.
    """
    others = [place for place in range(len(headings)) if place != nll]
    if not outcomes or not others:
        return None
    figure, axes = layout.panels(len(others), 3.2, sharey=True)
    kinds: dict[Kind, bool] = {"on the Pareto front": True, "trained to the end": False}
    nlls = [outcome.values[nll] for outcome in outcomes]
    end = cut(nlls)
    top = math.inf if end is None else end
    for ax, place in zip(axes[0], others, strict=True):
        for kind, on_front in kinds.items():
            chosen = sorted((o.values[place], o.values[nll]) for o in outcomes if o.on_front == on_front)
            if chosen:
                # With three objectives the front is not a line in any panel.
                line = {"ls": "-", "color": _BEST, "lw": 1.0} if on_front and len(others) == 1 else {}
                ax.plot(*zip(*chosen, strict=True), **{**_mark(kind), **line}, zorder=3)
            for x in (x for x, y in chosen if y > top):
                colour = {"mec": _BEST} if on_front else {}
                ax.plot([x], [top], **{**_mark("above the axis"), **colour}, clip_on=False, zorder=3)
        ax.set_xlabel(headings[place])
    axes[0][0].set_ylabel(headings[nll])
    shown = list(kinds)
    if end is not None:
        axes[0][0].set_ylim(_limits(nlls)[0], end)
        shown.append("above the axis")
    layout.title(figure, title)
    layout.legend(figure, [_key(kind, nlls, top) for kind in shown])
    return figure


def cut(scores: Sequence[float]) -> float | None:
    """The end of an axis of scores if the highest are so far away that they would hide the others."""
    low, high = _limits(scores)
    return high if max(scores) - low > _LEAST_SAVED * (high - low) else None


def _panel(ax: Axes, points: Sequence[Point], field: Field, best: Point | None, high: float) -> None:
    for point in points:
        x, y = point.values[field.name], min(point.score, high)
        star = point is best and math.isfinite(point.score)
        ax.plot([x], [y], **_mark("lowest" if star else _kind(point, high)), clip_on=False, zorder=3)
    outside = f"\n(recipe: {field.recipe_outside}, not searched)" if field.recipe_outside else ""
    ax.set_xlabel(f"{field.name}{outside}")
    if field.choices:
        ax.set_xticks(range(len(field.choices)), field.choices)
        ax.set_xlim(-0.5, len(field.choices) - 0.5)
    elif field.log:
        ax.set_xscale("log")
        ax.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        ax.xaxis.set_minor_formatter(NullFormatter())
    if field.ends:
        ax.set_xlim(*_with_room(*field.ends, log=field.log))


def _with_room(low: float, high: float, *, log: bool) -> tuple[float, float]:
    """A range with room for the marks at its ends."""
    if log:
        room = (high / low) ** _ROOM
        return low / room, high * room
    return low - _ROOM * (high - low), high + _ROOM * (high - low)


def _kind(point: Point, high: float) -> Kind:
    if not math.isfinite(point.score):
        return "diverged"
    if point.score > high:
        return "above the axis"
    return "stopped at a rung" if point.dropped else "trained to the end"


def _mark(kind: Kind) -> dict[str, Any]:
    """The marker of a trial."""
    looks: dict[Kind, dict[str, Any]] = {
        "lowest": {"marker": "*", "ms": 11, "mfc": _BEST, "mec": style.PAPER, "mew": 0.8},
        "on the Pareto front": {"marker": "D", "ms": 5, "mfc": _BEST, "mec": style.PAPER, "mew": 0.6},
        "trained to the end": {"marker": "o", "ms": 4.5, "mfc": _DONE, "mec": "none", "alpha": 0.8},
        "stopped at a rung": {"marker": "o", "ms": 4.5, "mfc": "none", "mec": _DROPPED, "mew": 1},
        "above the axis": {"marker": "^", "ms": 5, "mfc": "none", "mec": _DROPPED, "mew": 1},
        "diverged": {"marker": "x", "ms": 5, "mec": _BEST, "mew": 1.4},
    }
    return {"ls": "none", **looks[kind]}


def _axis(scores: Sequence[float]) -> tuple[float, float]:
    """The ends of an axis that has a place for every score, or for most if the others are far away."""
    low, high = _limits(scores)
    highest = max(scores)
    return low, max(high, highest + _ROOM * (highest - low)) if cut(scores) is None else high


def _limits(scores: Sequence[float]) -> tuple[float, float]:
    """The axis: from a little below the best to a little above most of the others."""
    ranked = sorted(scores)
    lowest, most = ranked[0], ranked[math.floor(_WORST * (len(ranked) - 1))]
    room = (most - lowest) or 0.1 * lowest
    return lowest - 0.15 * room, most + 0.35 * room


def _key(kind: Kind, scores: Sequence[float], high: float) -> Line2D:
    """The legend entry of a kind of mark; that of trials above the axis gives their scores."""
    above = [f"{score:.4g}" for score in sorted(scores) if high < score < math.inf]
    label = f"{kind}: {first_of(above)}" if kind == "above the axis" else kind
    return Line2D([], [], label=label, **_mark(kind))


def _keys(points: Sequence[Point], high: float, *, has_recipe: bool) -> list[Line2D]:
    present = {_kind(point, high) for point in points}
    kinds: list[Kind] = ["lowest", *(kind for kind in get_args(Kind) if kind in present)]
    keys = [_key(kind, [point.score for point in points], high) for kind in kinds]
    if not has_recipe:
        return keys
    return [*keys, Line2D([], [], color=style.MUTED, linewidth=1, linestyle=_DASHES, label=RECIPE)]
