"""Finish a figure: compute its layout once, move labels until no text overlaps another, and save it."""

from __future__ import annotations

import io
import itertools
import math
import re
from collections.abc import Iterable, Sequence
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.path import Path
from matplotlib.text import Text
from matplotlib.ticker import FixedFormatter, FixedLocator, FuncFormatter, NullFormatter
from matplotlib.transforms import Bbox

from analysis.figures.elements.naming import BESIDE_MARK, Label, Sign

_NEAR = (6, 14)
"""Distances, in points, at which a label is seen to name the nearest point; from further away a line leads
to its point."""

_DECIMALS = 6
"""Of the corners of panels, in units of the figure's width and height."""

_FAR = (26, 40, 55, 70, 90, 110, 140, 170)

_STEP = 4.0
"""Pixels between points on a line, of which a label should hide as few as possible."""

_MOST_STEPS = 2000
"""The largest number of points on a piece of a line."""

_LEAST_ZORDER = 1.0
"""Lines below are of the grid."""

_Place = tuple[float, float, str, str]
"""Of a label: x and y in points from its point, and its alignment there."""

# The nearest first.
_PLACES: tuple[_Place, ...] = tuple(
    (sign * distance, up * distance * 0.8, "left" if sign > 0 else "right", "bottom" if up > 0 else "top")
    for distance in _NEAR
    for sign, up in ((1, 1), (-1, 1), (1, -1), (-1, -1))
)
_FAR_PLACES: tuple[_Place, ...] = tuple(
    (sign * distance, up * distance, "left" if sign > 0 else "right", "bottom" if up > 0 else "top")
    for distance in _FAR
    for sign, up in (
        *((1, 0.8), (-1, 0.8), (1, -0.8), (-1, -0.8)),
        *((0.3, 1), (-0.3, 1), (0.3, -1), (-0.3, -1), (1, 0.2), (-1, 0.2), (1, -0.2), (-1, -0.2)),
    )
)


_APART = 2.0
"""Pixels between two points from which on a label must be nearer to the one that it names."""


def settle(figure: Figure) -> None:
    """Compute the layout once and for all; then move labels that would overlap others.

    Of the labels of an axis, some are left out if there are too many; those of points are all kept.
    """
    engine = figure.get_layout_engine()
    # Leaving out the ticks of one axis gives room to the panels, which may have new ticks then.
    for _ in range(3):
        if engine:
            engine.execute(figure)
        changed = [_thin(axis) for ax in figure.axes for axis in (ax.xaxis, ax.yaxis)]
        if not any(changed):
            break
    # Without any engine: even for one that does nothing, matplotlib draws a figure twice to save it.
    with rc_context({"figure.constrained_layout.use": False}):
        figure.set_layout_engine(None)
    # The last digits of a solved layout vary, and the names of clip paths in an SVG with them.
    for ax in figure.axes:
        ax.set_position(Bbox(ax.get_position().get_points().round(_DECIMALS)))
    taken: list[Bbox] = []
    for ax in figure.axes:
        for placed in (child for child in ax.get_children() if isinstance(child, Sign)):
            if placed.get_window_extent().y1 > ax.get_window_extent().y1:
                _put_below(placed)
            elif any(placed.get_window_extent().overlaps(other) for other in taken):
                _put_below(placed)
                # Marks so close that there is no room for two signs share the one above them.
                placed.set_visible(not any(placed.get_window_extent().overlaps(other) for other in taken))
            if placed.get_visible():
                taken.append(Bbox(placed.get_window_extent()))
    for ax in figure.axes:
        named = [child for child in ax.get_children() if isinstance(child, Label)]
        points = [tuple(map(float, ax.transData.transform(label.xy))) for label in named]
        drawn = _drawn(ax) if named else []
        for label, point in zip(named, points, strict=True):
            _place(ax, label, point, points, taken, drawn)


def _put_below(placed: Sign) -> None:
    placed.xyann = (0, -BESIDE_MARK)
    placed.set_verticalalignment("top")


def tick_labels(axis: Axis) -> list[tuple[float, Text]]:
    """Position and text of each tick label that is visible."""
    low, high = sorted(axis.get_view_interval())
    slack = 1e-9 * abs(high - low)
    return [
        (float(tick.get_loc()), text)
        for tick in axis.get_major_ticks()
        for text in (tick.label1,)
        if text.get_visible() and text.get_text() and low - slack <= tick.get_loc() <= high + slack
    ]


def _thin(axis: Axis) -> bool:
    """Leave out tick labels until none overlaps the next; returns whether anything was changed."""
    changed = False
    if axis.get_offset_text().get_text():
        # A power of ten at the axis's end would lie on the panel's title.
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.6g}"))
        changed = True
    labels = tick_labels(axis)
    boxes = [text.get_window_extent().padded(1.5) for _, text in labels]
    step = next(
        step
        for step in range(1, len(boxes) + 2)
        if not any(a.overlaps(b) for a, b in zip(boxes[::step], boxes[step::step], strict=False))
    )
    if step == 1:
        return changed
    kept = labels[::step]
    formatter = axis.get_major_formatter()
    axis.set_major_locator(FixedLocator([at for at, _ in kept]))
    axis.set_minor_formatter(NullFormatter())
    named = isinstance(formatter, FixedFormatter)
    axis.set_major_formatter(FixedFormatter([text.get_text() for _, text in kept]) if named else formatter)
    return True


def _place(
    ax: Axes,
    named: Label,
    point: tuple[float, ...],
    points: Sequence[tuple[float, ...]],
    taken: list[Bbox],
    drawn: Sequence[Path],
) -> None:
    """Put a label where it overlaps no other, or else where it overlaps the others least.

    Of the places beside its point, it gets the one at which it hides the least of lines and marks.
    """
    panel = ax.get_window_extent()
    least: tuple[tuple[float, int], _Place] | None = None
    for place in (*_PLACES, *_FAR_PLACES):
        if place in _FAR_PLACES and least and not least[0][0]:
            break
        box = _box_at(named, place)
        if not (panel.x0 <= box.x0 and box.x1 <= panel.x1 and panel.y0 <= box.y0 and box.y1 <= panel.y1):
            continue
        # A label that is nearer to another point would be read as the name of that one.
        own = _distance(box, point) + 0.5
        if place in _PLACES and any(_distance(box, other) < own for other in points if _far(point, other)):
            continue
        # From further away, the nearest place is the best.
        lines = _hidden(box, drawn) if place in _PLACES else 0
        hides = sum(_overlap(box, other) for other in taken), lines
        if least is None or hides < least[0]:
            least = hides, place
        if not any(hides):
            break
    place = least[1] if least else _PLACES[0]
    taken.append(_box_at(named, place))
    if place in _FAR_PLACES:
        _lead(ax, named)


def _drawn(ax: Axes) -> list[Path]:
    """The lines and marks of a panel as points in pixels, close ones along a line; not its grid."""
    found = []
    for line in ax.lines:
        if line.get_zorder() >= _LEAST_ZORDER and line.get_visible():
            path = line.get_transform().transform_path(line.get_path())
            found.append(_along(path) if line.get_linestyle() != "None" else path)
    for bars in ax.collections:
        if isinstance(bars, LineCollection):
            found += [_along(bars.get_transform().transform_path(path)) for path in bars.get_paths()]
    return found


def _along(path: Path) -> Path:
    """A path with more points, at most so many pixels apart."""
    corners: Any = path.vertices
    lengths = [math.dist(a, b) for a, b in itertools.pairwise(corners.tolist())]
    longest = max((length for length in lengths if math.isfinite(length)), default=0.0)
    return path.interpolated(min(_MOST_STEPS, int(longest / _STEP) + 1))


def _hidden(box: Bbox, drawn: Iterable[Path]) -> int:
    """The number of points within a box, which is a little larger than its text."""
    wide = box.padded(_STEP / 2)
    return sum(wide.count_contains(path.vertices) for path in drawn)


def _box_at(named: Label, place: _Place) -> Bbox:
    """Move a label; returns the box of its text."""
    x, y, horizontal, vertical = place
    named.xyann = (x, y)
    named.set(ha=horizontal, va=vertical)
    return Bbox(named.get_window_extent())


def _lead(ax: Axes, named: Label) -> None:
    """Draw a line from a label to its point."""
    look = {"arrowstyle": "-", "color": named.leader, "lw": 0.7, "shrinkA": 0, "shrinkB": 3}
    line = ax.annotate(
        "",
        named.xy,
        named.xyann,
        textcoords="offset points",
        arrowprops=look,
        annotation_clip=True,
        zorder=3.5,
    )
    line.set_in_layout(False)


def _overlap(box: Bbox, other: Bbox) -> float:
    """The area that two boxes share."""
    shared = Bbox.intersection(box, other)
    return float(shared.width * shared.height) if shared else 0.0


def _distance(box: Bbox, point: tuple[float, ...]) -> float:
    """The distance of a point from a box, in pixels; 0 inside."""
    x, y = point
    return math.hypot(max(box.x0 - x, 0, x - box.x1), max(box.y0 - y, 0, y - box.y1))


def _far(point: tuple[float, ...], other: tuple[float, ...]) -> bool:
    """Whether a reader can tell two points apart."""
    return math.dist(point, other) > _APART


def save(figure: Figure) -> tuple[str, bytes]:
    """SVG text and PNG bytes without date and program, so that equal figures are equal files."""
    settle(figure)
    vector, pixels = io.StringIO(), io.BytesIO()
    figure.savefig(
        vector, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None}
    )
    figure.savefig(pixels, format="png", dpi=200, metadata={"Software": None})
    # Smaller files: drop the comments, which repeat every text, and thousandths of a point.
    text = re.sub(r"\s*<!--.*?-->", "", vector.getvalue(), flags=re.DOTALL)
    text = re.sub(r' d="[^"]*"', lambda path: re.sub(r"(\.\d\d)\d+", r"\1", path[0]), text)
    return text, pixels.getvalue()
