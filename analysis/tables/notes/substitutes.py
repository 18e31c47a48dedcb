"""A note on the cells that are compared by a reliable bound in place of a lower, unreliable number."""

from __future__ import annotations

from collections.abc import Sequence

from analysis.stats.comparisons import Comparison
from analysis.stats.valid_bounds import Substitute
from analysis.tables.elements.table import cell_label
from analysis.tables.notes.capped import capped


def substitute_notes(compared: Sequence[Comparison], sides: tuple[str, str] = ("", "")) -> list[str]:
    """Name the cells that are not compared by their tightest number; nothing if there are none.

    Args:
        compared: comparisons by any metrics.
        sides: what is appended to the name of the first and of the second cell of a comparison.
    """
    rows = [
        f"{cell_label(cell)}{side} {cell.setting} ({found.used.words} for {found.unreliable.words})"
        for c in compared
        if c.metric.endswith("_valid")
        for cell, side in zip((c.a, c.b), sides, strict=True)
        if (found := Substitute.of(cell))
    ]
    if not rows:
        return []
    return [
        "compared by the tightest reliable bound, as a lower number is unreliable: "
        f"{capped(list(dict.fromkeys(rows)))}. More importance samples may make that number reliable: "
        "--set iw_samples=5000"
    ]
