"""Room for text in figures: titles and legends wrap and make the figure higher; texts never overlap.

Sizes of text are measured before anything is drawn, so that a figure grows by what its texts need.
"""

from __future__ import annotations

import functools
import io
import math
import re
from collections.abc import Iterator, Sequence
from typing import Any, Literal

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.legend import Legend
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.patheffects import withStroke
from matplotlib.text import Annotation, Text
from matplotlib.textpath import text_to_path
from matplotlib.ticker import FixedFormatter, FixedLocator, FuncFormatter, NullFormatter
from matplotlib.transforms import Bbox

from analysis.figures.elements.style import FAMILY, INK, MUTED, PAPER

WIDTH = 7.2
"""Width of two panels side by side, in inches."""

_NARROW = 5.2
"""Width of a single panel, in inches."""

_BESIDE, _HIGH = 2.4, 0.9
"""Width of a legend beside a single panel, and the height from which on it stands there, in inches."""

_NAMES = 1.9
"""The largest width of the names of rows, in inches."""

_TITLE, _LEGEND, _TICKS = 11.0, 8.0, 8.5
"""Sizes of text in points."""

_LINE = 1.25
"""Height of a line of text, in units of its size."""

_HANDLE = 2.4
"""Length of a legend's lines, in units of its text size."""

_MARGIN = 0.12
"""Inches that stay free at each side of titles and legends."""

_MOST_NOTE_LINES = 8

_NEAR = (6, 14)
"""Distances, in points, at which a label is seen to name the nearest point; from further away a line leads
to its point."""

_FAR = (26, 40, 55, 70, 90, 110, 140, 170)

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


class Label(Annotation):
    """The name of a point, which :func:`settle` moves so that it overlaps no other text."""

    leader: str = MUTED
    """Colour of the line to its point, if it is far away."""


@functools.cache
def width(text: str, size: float, weight: str = "normal") -> float:
    """The width of one line of text in inches."""
    font = FontProperties(family=FAMILY, size=size, weight=weight)
    # Renderers round the advance of each letter, at few dots per inch by several percent.
    return 1.06 * float(text_to_path.get_text_width_height_descent(text, font, False)[0]) / 72


def wrap(text: str, inches: float, size: float, weight: str = "normal") -> str:
    """Break text into lines that are at most so wide: at spaces, or within a word that is wider, if
    possible after a hyphen or the like.
    """
    lines: list[str] = []
    for paragraph in text.split("\n"):
        line = ""
        for piece in _pieces(paragraph, inches, size, weight):
            if line and width((line + piece).rstrip(), size, weight) > inches:
                lines.append(line.rstrip())
                line = ""
            line += piece
        lines.append(line.rstrip())
    return "\n".join(lines)


def cut(text: str, inches: float, height: float, size: float) -> str:
    """Break text into lines, and leave out those that a height in inches has no room for.

    "…" stands at the end of a text that was cut.
    """
    lines = wrap(text, inches, size).split("\n")
    most = max(1, int(height / (size * _LINE / 72)))
    if len(lines) <= most:
        return "\n".join(lines)
    last = lines[most - 1]
    while last and width(f"{last}…", size) > inches:
        last = last[:-1]
    return "\n".join([*lines[: most - 1], f"{last}…"])


def _pieces(text: str, inches: float, size: float, weight: str) -> Iterator[str]:
    for word in re.findall(r"\s*\S+\s*", text):
        for part in (
            [word] if _fits(word, inches, size, weight) else re.findall(r"\s*[^-_/=,]*[-_/=,]*\s*", word)
        ):
            yield from [part] if _fits(part, inches, size, weight) else part


def _fits(piece: str, inches: float, size: float, weight: str) -> bool:
    return width(piece.rstrip(), size, weight) <= inches


def panels(
    count: int, height: float, *, rows: int = 1, width: float | None = None, **shared: Any
) -> tuple[Figure, list[list[Axes]]]:
    """Make a figure of ``rows`` × ``count`` axes, ``height`` inches high without its title and legend."""
    figure = Figure(figsize=(width or (WIDTH if count > 1 else _NARROW), height))
    axes = figure.subplots(rows, count, squeeze=False, **shared)
    return figure, [list(row) for row in axes]


def named_rows(labels: Sequence[str]) -> tuple[list[str], float]:
    """Wrap the names of rows; returns them, and the height of a row in inches."""
    wrapped = [wrap(name, _NAMES, _TICKS) for name in labels]
    most = max((name.count("\n") + 1 for name in wrapped), default=1)
    return wrapped, max(0.36, 0.14 + most * _TICKS * _LINE / 72)


def name_rows(axes: Sequence[Axes], labels: Sequence[str]) -> None:
    """Give each label a row, from the top, in panels side by side that share their y axis."""
    for ax in axes:
        ax.grid(visible=False, axis="y")
    axes[0].set_yticks(range(len(labels)), labels)
    axes[0].set_ylim(len(labels) - 0.4, -0.6)


def title(figure: Figure, text: str) -> None:
    """Put a title above all panels."""
    text = wrap(text, figure.get_figwidth() - 2 * _MARGIN, _TITLE, "bold")
    figure.suptitle(text, x=0.01, ha="left", fontsize=_TITLE, fontweight="bold")
    _grow(figure, (text.count("\n") + 1) * _TITLE * _LINE / 72 + _MARGIN)


def legend(
    figure: Figure, handles: Sequence[Line2D | Patch], columns: int = 3, notes: Sequence[str] = ()
) -> None:
    """Put a legend below all panels, in as many columns as fit, ``columns`` at most.

    A high legend of a single panel stands beside it, unless its notes would be cut there. ``notes`` stand
    above the keys: what a reader of the figure alone must know.
    """
    room = figure.get_figwidth() - 2 * _MARGIN
    for ncols in range(min(columns, len(handles)), 0, -1):
        box = _legend(figure, handles, notes, room, "outside lower left", ncols)
        extent = box.get_window_extent()
        if ncols == 1 or extent.width <= room * figure.dpi:
            break
        box.remove()
    cut_beside = len(_note_lines(notes, _BESIDE - 2 * _MARGIN)) > _MOST_NOTE_LINES
    if figure.get_figwidth() > _NARROW or extent.height < _HIGH * figure.dpi or cut_beside:
        _grow(figure, extent.height / figure.dpi)
        return
    box.remove()
    figure.set_figwidth(_NARROW + _BESIDE)
    box = _legend(figure, handles, notes, _BESIDE - 2 * _MARGIN, "outside right upper", 1)
    needed = box.get_window_extent().height / figure.dpi + 2 * _MARGIN
    _grow(figure, max(0.0, needed - figure.get_figheight()))


def _legend(
    figure: Figure,
    handles: Sequence[Line2D | Patch],
    notes: Sequence[str],
    room: float,
    place: Literal["outside lower left", "outside right upper"],
    columns: int,
) -> Legend:
    """A legend whose notes and keys wrap to ``room`` inches."""
    heading = _note_lines(notes, room)
    if len(heading) > _MOST_NOTE_LINES:
        heading = [*heading[: _MOST_NOTE_LINES - 1], "and more, in report.md"]
    shown: dict[str, Any] = {"title": "\n".join(heading)} if heading else {}
    # The room of a key without its text: its line, the space beside it and that between columns.
    beside = (_HANDLE + 0.8) * _LEGEND / 72
    box: Legend = figure.legend(
        handles=list(handles),
        labels=[wrap(str(handle.get_label()), room - beside, _LEGEND) for handle in handles],
        loc=place,
        ncols=columns,
        handlelength=_HANDLE,
        fontsize=_LEGEND,
        title_fontsize=_LEGEND,
        alignment="left",
        **shown,
    )
    box.get_title().set_color(MUTED)
    return box


def _note_lines(notes: Sequence[str], room: float) -> list[str]:
    return wrap("\n".join(notes), room, _LEGEND).split("\n") if notes else []


def _grow(figure: Figure, inches: float) -> None:
    figure.set_figheight(figure.get_figheight() + inches)


def halo(width: float = 2.5) -> list[Any]:
    """A white outline, in points, for text that lies on lines."""
    return [withStroke(linewidth=width, foreground=PAPER)]


def label(ax: Axes, text: str, at: tuple[float, float], colour: str, **look: Any) -> None:
    """Name a point of a colour; :func:`settle` finds the place beside it.

    The text is in ink: it is small, and many of the colours of marks are too pale for text.
    """
    look = {"fontsize": 7.5, "zorder": 4, "annotation_clip": True, **look}
    named = Label(text, at, (6, 5), textcoords="offset points", color=INK, path_effects=halo(), **look)
    named.leader = colour
    # Labels stay within their panel and do not make it smaller.
    named.set_in_layout(False)
    ax.add_artist(named)


_BESIDE_MARK = 5
"""Points from the middle of a mark to its sign."""


class Sign(Annotation):
    """A mark made of text, whose place is fixed: :func:`settle` keeps labels away from it."""


def sign(ax: Axes, text: str, at: tuple[float, float]) -> None:
    """Put a sign above the mark at a point, or below it at the upper end of the panel."""
    placed = Sign(
        text,
        at,
        (0, _BESIDE_MARK),
        textcoords="offset points",
        color=INK,
        path_effects=halo(1.5),
        ha="center",
        va="bottom",
        fontsize=9,
        fontweight="bold",
        zorder=5,
        annotation_clip=True,
    )
    placed.set_in_layout(False)
    ax.add_artist(placed)


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
    taken: list[Bbox] = []
    for ax in figure.axes:
        for placed in (child for child in ax.get_children() if isinstance(child, Sign)):
            if placed.get_window_extent().y1 > ax.get_window_extent().y1:
                placed.xyann = (0, -_BESIDE_MARK)
                placed.set_verticalalignment("top")
            taken.append(Bbox(placed.get_window_extent()))
    for ax in figure.axes:
        named = [child for child in ax.get_children() if isinstance(child, Label)]
        points = [tuple(map(float, ax.transData.transform(label.xy))) for label in named]
        for label, point in zip(named, points, strict=True):
            _place(ax, label, point, points, taken)


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
) -> None:
    """Put a label where it overlaps no other, or else where it overlaps the others least."""
    panel = ax.get_window_extent()
    least: tuple[float, _Place] | None = None
    for place in (*_PLACES, *_FAR_PLACES):
        box = _box_at(named, place)
        if not (panel.x0 <= box.x0 and box.x1 <= panel.x1 and panel.y0 <= box.y0 and box.y1 <= panel.y1):
            continue
        # A label that is nearer to another point would be read as the name of that one.
        own = _distance(box, point) + 0.5
        if place in _PLACES and any(_distance(box, other) < own for other in points if _far(point, other)):
            continue
        overlap = sum(_overlap(box, other) for other in taken)
        if least is None or overlap < least[0]:
            least = overlap, place
        if not overlap:
            break
    place = least[1] if least else _PLACES[0]
    taken.append(_box_at(named, place))
    if place in _FAR_PLACES:
        _lead(ax, named)


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
