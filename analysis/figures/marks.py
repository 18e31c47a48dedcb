"""What figures are made of: seeds as dots, a mean with its interval, published values as lines."""

from __future__ import annotations

from typing import Literal

from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from analysis.figures.style import INK, MUTED, PAPER
from analysis.published import Derived, Fact
from analysis.stats.cells import Average

Along = Literal["x", "y"]
"""The axis on which a value is read."""

MOST_DOTS = 200
"""Seeds of a cell that are vectors in an SVG; more are pixels there, too."""

_SPREAD = 0.055
"""Between seeds that lie side by side, at most; in places of an axis of names."""


def seeds(ax: Axes, place: float, average: Average, colour: str, along: Along, width: float = 0.22) -> None:
    """A dot for each value, side by side in the order of seeds, around ``place``."""
    n = len(average.values)
    step = min(_SPREAD, width / max(1, n - 1))
    places = [place + step * (k - (n - 1) / 2) for k in range(n)]
    x, y = (average.values, places) if along == "x" else (places, average.values)
    # In an SVG thousands of dots as dots would be too heavy to open.
    dots = n > MOST_DOTS
    ax.plot(x, y, "o", ms=3.2, mfc=colour, mec="none", alpha=0.55, zorder=2.4, rasterized=dots)


def mean(
    ax: Axes,
    place: float,
    average: Average,
    colour: str,
    marker: str,
    along: Along,
    *,
    hollow: bool = False,
) -> None:
    """The mean with its 95% t interval, where there is one."""
    x, y = (average.mean, place) if along == "x" else (place, average.mean)
    bar(ax, x, y, average, colour, along)
    ax.plot([x], [y], marker, ms=6, mfc=PAPER if hollow else colour, mec=colour, mew=1.2, zorder=3.2)


def bar(ax: Axes, x: float, y: float, average: Average, colour: str, along: Along) -> None:
    """The 95% t interval of a mean as a line with two ends; nothing for one seed."""
    if average.interval is None:
        return
    ends = [[average.mean - average.interval.low], [average.interval.high - average.mean]]
    ax.errorbar(
        [x],
        [y],
        xerr=ends if along == "x" else None,
        yerr=ends if along == "y" else None,
        fmt="none",
        ecolor=colour,
        elinewidth=1.3,
        capsize=2.6,
        capthick=1.3,
        zorder=3,
    )


def published(
    ax: Axes, place: float, fact: Fact | Derived, colour: str, along: Along, width: float = 0.3
) -> None:
    """A published mean as a line across ``place``, its standard deviation as a band."""
    span, std = (place - width, place + width), fact.std if isinstance(fact, Fact) else None
    dashes: tuple[float, tuple[float, float]] = (0, (3, 1.2)) if isinstance(fact, Fact) else (0, (1, 1))
    draw, fill = (ax.vlines, ax.fill_betweenx) if along == "x" else (ax.hlines, ax.fill_between)
    draw([fact.mean], *span, colors=[colour], linestyles=dashes, linewidths=1.4, zorder=2.2)
    if std:
        fill(span, fact.mean - std, fact.mean + std, color=colour, alpha=0.13, linewidth=0, zorder=1.5)


def level(ax: Axes, average: Average, colour: str) -> None:
    """A horizontal line at a mean through all of a panel, its interval as a band."""
    ax.axhline(average.mean, color=colour, lw=1.1, zorder=1.8)
    if average.interval:
        ax.axhspan(average.interval.low, average.interval.high, color=colour, alpha=0.12, lw=0, zorder=1.4)


def key(
    label: str,
    colour: str = INK,
    marker: str = "",
    line: object = "",
    *,
    hollow: bool = False,
    size: float = 6,
) -> Line2D:
    """A line of a legend."""
    return Line2D(
        [],
        [],
        color=colour,
        marker=marker or "None",
        ls=line or "None",
        mfc=PAPER if hollow else colour,
        mec=colour,
        ms=size,
        label=label,
    )


def common_keys(*, drawn: bool, cited: bool) -> list[Line2D]:
    """What every figure has: a seed, an interval, a published value."""
    keys = []
    if drawn:
        keys += [
            key("one seed", MUTED, "o", size=3.2),
            Line2D([], [], color=MUTED, marker="|", mew=1.3, ms=5, label="95% t interval of the mean"),
        ]
    if cited:
        keys.append(Line2D([], [], color=MUTED, ls=(0, (3, 1.2)), label="published mean, band ± std"))
    return keys
