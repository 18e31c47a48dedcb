"""The marks of figures: seeds as dots, a mean with its interval, published values as lines."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from matplotlib.axes import Axes
from matplotlib.font_manager import FontProperties
from matplotlib.lines import Line2D
from matplotlib.path import Path
from matplotlib.textpath import TextPath
from matplotlib.transforms import Affine2D

from analysis.figures.elements import naming
from analysis.figures.elements.style import FAMILY, GRID, INK, MUTED, PAPER, Look
from analysis.published.facts import Derived, Fact
from analysis.stats.average import Average
from analysis.stats.cells import Cell

Along = Literal["x", "y"]
"""The axis of the values."""

MOST_DOTS = 200
"""The largest number of seeds of a cell that are drawn as vectors in an SVG; more are drawn as pixels."""

FEWEST_SEEDS = 3
"""The fewest seeds whose interval is drawn. Of two it is 9 times as wide as their distance, which hides all
else; the tables give it."""

CUT = "intervals that reach below 0 are cut there"

UNRELIABLE = "?"
"""Marks an unreliable importance-weighted number."""

_MARGIN = 0.04
"""Room for a mark at the end of an axis, as a share of it."""

_Dashes = tuple[float, tuple[float, float]]

_PUBLISHED: _Dashes = (0, (3, 1.2))
_DERIVED: _Dashes = (0, (1, 1))
"""Dashes of the lines of published numbers, and of those that follow from them."""

_SPREAD = 0.055
"""The largest distance between neighbouring seeds, in units of the axis of names."""


def seeds(ax: Axes, place: float, average: Average, colour: str, along: Along, width: float = 0.22) -> None:
    """Draw a dot per value, side by side around ``place`` in the order of seeds."""
    n = len(average.values)
    step = min(_SPREAD, width / max(1, n - 1))
    places = [place + step * (k - (n - 1) / 2) for k in range(n)]
    x, y = (average.values, places) if along == "x" else (places, average.values)
    # An SVG of thousands of vector dots is slow to open.
    as_pixels = n > MOST_DOTS
    ax.plot(x, y, "o", ms=3.2, mfc=colour, mec="none", alpha=0.55, zorder=2.4, rasterized=as_pixels)


def mean(
    ax: Axes,
    place: float,
    average: Average,
    colour: str,
    marker: str,
    along: Along,
    *,
    hollow: bool = False,
    ring: bool = False,
    from_zero: bool = False,
) -> None:
    """Draw the mean with its interval, and UNRELIABLE beside it if it is.

    For the options see :func:`bar` and :func:`dot`.
    """
    x, y = (average.mean, place) if along == "x" else (place, average.mean)
    bar(ax, x, y, average, colour, along, from_zero=from_zero)
    dot(ax, x, y, colour, marker, hollow=hollow, ring=ring)
    if average.unreliable:
        naming.sign(ax, UNRELIABLE, (x, y))


def dot(
    ax: Axes, x: float, y: float, colour: str, marker: str, *, hollow: bool = False, ring: bool = False
) -> None:
    """Draw the mark of a mean.

    Args:
        ax: the panel.
        x: the place.
        y: the place.
        colour: of the mark.
        marker: its shape.
        hollow: the number is not a bound.
        ring: a hollow mark is a ring, within which a filled one at the same place can be seen.
    """
    size, face = (8.5, "none") if ring else (6, PAPER if hollow else colour)
    ax.plot([x], [y], marker, ms=size, mfc=face, mec=colour, mew=1.2, zorder=3.2)


def bar(
    ax: Axes, x: float, y: float, average: Average, colour: str, along: Along, *, from_zero: bool = False
) -> None:
    """Draw the 95% t interval of a mean as a line with caps, from FEWEST_SEEDS on.

    ``from_zero``: the number cannot be negative, so the line begins at 0, without a cap, if the interval
    reaches below.
    """
    interval = _drawn_interval(average)
    if interval is None:
        return
    low, high = interval
    is_cut = from_zero and _reaches_below_zero(average)
    ends = [[average.mean - (_least(average) if is_cut else low)], [high - average.mean]]
    drawn = ax.errorbar(
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
    if is_cut:
        _, (lower_cap, _), _ = drawn.lines
        lower_cap.remove()


def published(
    ax: Axes, place: float, fact: Fact | Derived, colour: str, along: Along, width: float = 0.3
) -> None:
    """Draw a published mean as a line across ``place``, its standard deviation as a band."""
    span, std = (place - width, place + width), fact.std if isinstance(fact, Fact) else None
    dashes = _PUBLISHED if isinstance(fact, Fact) else _DERIVED
    draw, fill = (ax.vlines, ax.fill_betweenx) if along == "x" else (ax.hlines, ax.fill_between)
    draw([fact.mean], *span, colors=[colour], linestyles=dashes, linewidths=1.4, zorder=2.2)
    if std:
        fill(span, fact.mean - std, fact.mean + std, color=colour, alpha=0.13, linewidth=0, zorder=1.5)


def name_columns(ax: Axes, names: Sequence[str]) -> None:
    """Name the columns of a panel, whose middles are 0, 1, …, with a line between neighbours."""
    ax.set_xticks(range(len(names)), names)
    ax.set_xlim(-0.6, len(names) - 0.4)
    ax.grid(visible=False, axis="x")
    for boundary in range(len(names) - 1):
        ax.axvline(boundary + 0.5, color=GRID, lw=0.8, ls=(0, (2, 3)), zorder=0.6)


def level(ax: Axes, average: Average, colour: str) -> None:
    """Draw a mean as a horizontal line through the whole panel, its interval as a band."""
    ax.axhline(average.mean, color=colour, lw=1.1, zorder=1.8)
    if interval := _drawn_interval(average):
        ax.axhspan(*interval, color=colour, alpha=0.12, lw=0, zorder=1.4)


def _drawn_interval(average: Average) -> tuple[float, float] | None:
    if average.interval is None or average.n < FEWEST_SEEDS:
        return None
    return average.interval.low, average.interval.high


def _reaches_below_zero(average: Average) -> bool:
    """Whether the interval that is drawn has numbers that the mean of such values cannot be."""
    interval = _drawn_interval(average)
    return interval is not None and interval[0] < _least(average)


def _least(average: Average) -> float:
    """0, or the lowest value if an estimate lies below 0 by chance."""
    return min(0.0, *average.values)


def cut_at_zero(
    along: Along, panels: Sequence[Axes], averages: Iterable[Iterable[Average | None]]
) -> list[str]:
    """Begin axes of numbers that cannot be negative at 0, at which :func:`bar` cuts intervals.

    A mark at 0 stays whole, and so does an estimate that lies below by chance.

    Args:
        along: the axis that has the numbers.
        panels: the panels of a figure.
        averages: what each of them shows.

    Returns:
        A note for the figure if an interval was cut, else nothing.
    """
    cut = [_cut_at_zero(ax, along, shown) for ax, shown in zip(panels, averages, strict=True)]
    return [CUT] if any(cut) else []


def _cut_at_zero(ax: Axes, along: Along, averages: Iterable[Average | None]) -> bool:
    drawn = [average for average in averages if average]
    low, high = ax.get_xlim() if along == "x" else ax.get_ylim()
    lowest = min((value for average in drawn for value in average.values), default=0.0)
    end = max(low, min(0.0, lowest - _MARGIN * high))
    if along == "x":
        ax.set_xlim(left=end)
    else:
        ax.set_ylim(bottom=end)
    return any(map(_reaches_below_zero, drawn))


def key(
    label: str,
    colour: str = INK,
    marker: str = "",
    line: object = "",
    *,
    hollow: bool = False,
    size: float = 6,
) -> Line2D:
    """An entry of a legend."""
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


class LineKeys:
    """The legend entries of the lines of a figure, of which one names each colour and marker."""

    def __init__(self) -> None:
        """Begin without entries."""
        self._ours: dict[str, Line2D] = {}
        self._named: set[Look] = set()
        self._published: dict[Look, Line2D] = {}

    def add(self, look: Look, entry: Line2D) -> None:
        """Name a line of our runs."""
        self._ours[str(entry.get_label())] = entry
        self._named.add(look)

    def add_published(self, look: Look, entry: Line2D) -> None:
        """Name published values, which need no entry if a line of ours has their look."""
        self._published[look] = entry

    def entries(self) -> list[Line2D]:
        """The entries, ours first."""
        others = (entry for look, entry in self._published.items() if look not in self._named)
        return [*self._ours.values(), *others]


def _glyph(text: str) -> Path:
    """A text as a marker. matplotlib's own markers of text need mathematics, which the style turns off."""
    path = TextPath((0, 0), text, prop=FontProperties(family=FAMILY, weight="bold"))
    box = path.get_extents()
    return path.transformed(Affine2D().translate(-(box.x0 + box.x1) / 2, -(box.y0 + box.y1) / 2))


def converted(cited: Iterable[Fact | Derived]) -> str:
    """Say beside "published" that some of the numbers were not printed, but follow from printed ones."""
    return " (some converted)" if any(isinstance(f, Fact) and f.formula for f in cited) else ""


def published_key(label: str, colour: str = MUTED) -> Line2D:
    """The legend entry of the line of :func:`published`."""
    return Line2D([], [], color=colour, ls=_PUBLISHED, label=label)


def level_name(name: str, average: Average) -> str:
    """The legend entry of :func:`level`: names the band, if there is one."""
    return f"{name}, band: 95% t interval" if _drawn_interval(average) else name


def has_intervals(cells: Iterable[Cell]) -> bool:
    """Whether any of the cells has enough seeds for the interval of a mean."""
    return any(average.n >= FEWEST_SEEDS for cell in cells for average in cell.averages.values())


def common_keys(
    *,
    intervals: bool,
    cited: Sequence[Fact | Derived] = (),
    hollow: bool = False,
    unreliable: bool = False,
) -> list[Line2D]:
    """The legend entries that figures share: seeds, intervals of means, and the published values drawn.

    ``hollow``: some marks are, as their numbers are not bounds. ``unreliable``: some are UNRELIABLE.
    """
    without = "" if intervals else f" (n < {FEWEST_SEEDS}: no intervals are drawn)"
    keys = [key(f"one seed{without}", MUTED, "o", size=3.2)]
    if hollow:
        keys.append(key("hollow: not a bound", MUTED, "o", hollow=True, size=7))
    if unreliable:
        label = "unreliable: few draws may decide it"
        keys.append(
            Line2D([], [], color=INK, ls="None", marker=_glyph(UNRELIABLE), ms=8, mew=0, label=label)
        )
    if intervals:
        keys.append(Line2D([], [], color=MUTED, marker="|", mew=1.3, ms=5, label="95% t interval, n ≥ 3"))
    if cited:
        band = ", band ± std" if any(isinstance(fact, Fact) and fact.std for fact in cited) else ""
        keys.append(published_key(f"published mean{converted(cited)}{band}"))
    return keys
