"""The style of all figures: colours and markers that remain distinct to the colour-blind and in print."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any

import matplotlib as mpl

from analysis.stats.cells import SYSTEM_ORDER

INK, MUTED, GRID, PAPER = "#1c1c1f", "#6d6d72", "#e4e4e8", "#fefefe"
BLUE, VERMILION = "#0072b2", "#d55e00"

# Colours of Okabe and Ito, or near theirs, then others, each with another marker. The others make the
# smallest distance of two colours in CIE Lab as large as a search found, as they are and as deuteranopes
# see them, with a contrast of at least 3 with the paper. style.css has those for dark paper.
_LOOKS = (
    ("#4a4a4d", "o"),
    (BLUE, "s"),
    (VERMILION, "D"),
    ("#009e73", "^"),
    ("#aa4499", "v"),
    ("#b58c45", "P"),
    ("#40178a", "X"),
    ("#257a05", "h"),
    ("#ff5878", "*"),
    ("#6a1c00", "<"),
    ("#2c70eb", ">"),
    ("#432355", "p"),
    ("#00421a", "d"),
    ("#709ba0", "H"),
)

COLOURS = (INK, MUTED, GRID, PAPER, *(colour for colour, _ in _LOOKS))
"""Every colour of the figures; a page may replace them."""

_LINES = (
    "-",
    (0, (5, 1.5)),
    (0, (1.5, 1.2)),
    (0, (5, 1.5, 1.5, 1.5)),
    (0, (9, 2)),
    (0, (5, 1.5, 1.5, 1.5, 1.5, 1.5)),
)

FAMILY = "DejaVu Sans"
"""The font of all text; matplotlib brings it along."""

_STYLE: Any = {
    "figure.facecolor": PAPER,
    "axes.facecolor": PAPER,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 9,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.formatter.useoffset": False,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "text.color": INK,
    # A $ in a variant is text, not mathematics.
    "text.parse_math": False,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "font.family": FAMILY,
    "font.size": 9,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "lines.linewidth": 1.3,
    "figure.constrained_layout.use": True,
    "figure.constrained_layout.h_pad": 0.06,
    "figure.constrained_layout.w_pad": 0.06,
    "svg.fonttype": "path",
    # Fixed ids, so that equal figures are equal files.
    "svg.hashsalt": "lvae",
    "path.simplify": False,
}


def style() -> Any:
    """The context in which figures are drawn and saved."""
    # A user's matplotlibrc must not change the figures.
    mpl.rcdefaults()
    return mpl.rc_context(_STYLE)


Look = tuple[str, str]
"""Colour and marker."""

Looks = dict[tuple[str, str], Look]
"""System and variant -> colour and marker."""


def looks(rows: Iterable[tuple[str, str]]) -> Looks:
    """Colour and marker of each system and variant, no two of which are the same.

    The first variant of a system has the system's own, which it has in every figure; the others have those
    of systems that are not in ``rows``, then markers of one system in the colour of another.
    """
    keys = list(dict.fromkeys(rows))
    systems = list(dict.fromkeys(system for system, _ in keys))
    order = [*SYSTEM_ORDER, *sorted({*systems} - {*SYSTEM_ORDER})]
    every = [
        (_LOOKS[k][0], _LOOKS[(k + turn) % len(_LOOKS)][1])
        for turn in range(len(_LOOKS))
        for k in range(len(_LOOKS))
    ]
    chosen = {}
    free = dict.fromkeys(every)
    for system in systems:
        first = next(key for key in keys if key[0] == system)
        chosen[first] = every[order.index(system) % len(every)]
        free.pop(chosen[first])
    rest = (key for key in keys if key not in chosen)
    return chosen | dict(zip(rest, itertools.cycle(free), strict=False))


def looks_of_samples(rows: Iterable[tuple[str, int]]) -> dict[tuple[str, int], tuple[str, str]]:
    """Colour and marker of each system and L: the system's colour, and a marker for each L.

    The first L of a system has the system's own marker, the others those that no system in ``rows`` has, as
    far as there are any.
    """
    keys = list(dict.fromkeys(rows))
    own = {system: look for (system, _), look in looks((system, "") for system, _ in keys).items()}
    used = {marker for _, marker in own.values()}
    markers = [marker for _, marker in _LOOKS]
    free = [marker for marker in markers if marker not in used] or markers
    chosen: dict[tuple[str, int], tuple[str, str]] = {}
    for system, (colour, marker) in own.items():
        counts = [num_samples for name, num_samples in keys if name == system]
        # A system with more L than there are markers repeats them.
        chosen |= {
            (system, L): (colour, each)
            for L, each in zip(counts, itertools.chain([marker], itertools.cycle(free)), strict=False)
        }
    return chosen


def line_of(position: int) -> Any:
    """The dashes of the first, second, … variant of a system."""
    return _LINES[position % len(_LINES)]


def line_and_face(position: int) -> tuple[Any, bool]:
    """The dashes of the first, second, … line of a colour and marker, and whether its marks are hollow."""
    return line_of(position), position // len(_LINES) % 2 == 1
