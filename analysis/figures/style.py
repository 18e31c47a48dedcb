"""The style of all figures: colours and markers that remain distinct to the colour-blind and in print."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Sequence
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.patheffects import withStroke

from analysis.stats.cells import SYSTEM_ORDER

INK, MUTED, GRID, PAPER = "#1c1c1f", "#6d6d72", "#e4e4e8", "#fefefe"

# Okabe and Ito's colours, with a darker yellow that is visible on white, then others for further systems.
# Each has another marker.
_LOOKS = (
    ("#4a4a4d", "o"),
    ("#0072b2", "s"),
    ("#d55e00", "D"),
    ("#009e73", "^"),
    ("#aa4499", "v"),
    ("#a87900", "P"),
    ("#56b4e9", "X"),
    ("#8b5a2b", "h"),
    ("#cc3344", "*"),
    ("#117755", "<"),
    ("#443399", ">"),
    ("#b8860b", "p"),
    ("#888800", "d"),
    ("#7744aa", "H"),
)

COLOURS = (INK, MUTED, GRID, PAPER, *(colour for colour, _ in _LOOKS))
"""Every colour of the figures; a page may replace them."""

_LINES = ("-", (0, (5, 1.5)), (0, (1.5, 1.2)), (0, (5, 1.5, 1.5, 1.5)))

WIDTH = 7.2
"""Width of two panels side by side, in inches."""

_NARROW = 4.6
"""Width of a single panel, in inches."""

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
    "font.family": "DejaVu Sans",
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


def look(system: str, systems: Iterable[str] = ()) -> tuple[str, str]:
    """Colour and marker of a system; one outside SYSTEM_ORDER gets them by its order in ``systems``."""
    others = sorted({*systems, system} - {*SYSTEM_ORDER})
    order = [*SYSTEM_ORDER, *others]
    return _LOOKS[order.index(system) % len(_LOOKS)]


def line_of(position: int) -> Any:
    """The dashes of the first, second, … variant of a system."""
    return _LINES[position % len(_LINES)]


def panels(
    count: int, height: float, *, rows: int = 1, width: float | None = None, **shared: Any
) -> tuple[Figure, list[list[Axes]]]:
    """Make a figure of ``rows`` × ``count`` axes, ``height`` inches high."""
    figure = Figure(figsize=(width or (WIDTH if count > 1 else _NARROW), height))
    axes = figure.subplots(rows, count, squeeze=False, **shared)
    return figure, [list(row) for row in axes]


def name_rows(axes: Sequence[Axes], labels: Sequence[str]) -> None:
    """Give each label a row, from the top, in panels side by side that share their y axis."""
    for ax in axes:
        ax.grid(visible=False, axis="y")
    axes[0].set_yticks(range(len(labels)), labels)
    axes[0].set_ylim(len(labels) - 0.4, -0.6)


def title(figure: Figure, text: str) -> None:
    """Put a title above all panels."""
    figure.suptitle(text, x=0.01, ha="left", fontsize=11, fontweight="bold")


def halo() -> list[Any]:
    """A white outline for text that lies on lines."""
    return [withStroke(linewidth=2.5, foreground=PAPER)]


def legend(figure: Figure, handles: Sequence[Line2D | Patch], columns: int = 3) -> None:
    """Put a legend below all panels, in as many columns as fit, ``columns`` at most."""
    for ncols in range(columns, 0, -1):
        box = figure.legend(handles=list(handles), loc="outside lower left", ncols=ncols, handlelength=2.4)
        if ncols == 1 or box.get_window_extent().width <= figure.bbox.width:
            return
        box.remove()


def save(figure: Figure) -> tuple[str, bytes]:
    """SVG text and PNG bytes without date and program, so that equal figures are equal files."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # the layout is computed once, not for each format
    vector, pixels = io.StringIO(), io.BytesIO()
    figure.savefig(
        vector, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None}
    )
    figure.savefig(pixels, format="png", dpi=200, metadata={"Software": None})
    # Smaller files: drop the comments, which repeat every text, and thousandths of a point.
    text = re.sub(r"\s*<!--.*?-->", "", vector.getvalue(), flags=re.DOTALL)
    text = re.sub(r' d="[^"]*"', lambda path: re.sub(r"(\.\d\d)\d+", r"\1", path[0]), text)
    return text, pixels.getvalue()
