"""Room for panels, titles and legends: what wraps makes the figure higher."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from analysis.figures.elements.style import MUTED
from analysis.figures.elements.wrapping import LINE, wrap

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

_HANDLE = 4.2
"""Length of a legend's lines, in units of its text size: long enough for a whole dash and dot."""

_MARGIN = 0.12
"""Inches that stay free at each side of titles and legends."""

_MOST_NOTE_LINES = 8


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
    return wrapped, max(0.36, 0.14 + most * _TICKS * LINE / 72)


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
    _grow(figure, (text.count("\n") + 1) * _TITLE * LINE / 72 + _MARGIN)


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
        heading = [*_whole_entries(notes, room, _MOST_NOTE_LINES - 1), "and more, in report.md"]
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


def _whole_entries(notes: Sequence[str], room: float, most: int) -> list[str]:
    """The lines of as many entries of notes, between semicolons, as fit into ``most`` lines.

    Of a first entry that does not fit, the first lines.
    """
    kept: list[str] = []
    for note in notes:
        entries = note.split("; ")
        fitting = ("; ".join(entries[:count]) for count in range(len(entries), 0, -1))
        part = next((p for p in fitting if len(_note_lines([*kept, p], room)) <= most), None)
        if part is not None:
            kept.append(part)
        if part != note:
            break
    return _note_lines(kept or notes[:1], room)[:most]


def _grow(figure: Figure, inches: float) -> None:
    figure.set_figheight(figure.get_figheight() + inches)
