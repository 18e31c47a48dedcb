"""Names and signs of points. Where a name stands is decided last, see finish.py."""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke
from matplotlib.text import Annotation

from analysis.figures.elements.style import INK, MUTED, PAPER


class Label(Annotation):
    """The name of a point, which :func:`settle` moves so that it overlaps no other text."""

    leader: str = MUTED
    """Colour of the line to its point, if it is far away."""


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


BESIDE_MARK = 5
"""Points from the middle of a mark to its sign."""


class Sign(Annotation):
    """A mark made of text, whose place is fixed: :func:`settle` keeps labels away from it."""


def sign(ax: Axes, text: str, at: tuple[float, float]) -> None:
    """Put a sign above the mark at a point, or below it at the upper end of the panel."""
    placed = Sign(
        text,
        at,
        (0, BESIDE_MARK),
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
