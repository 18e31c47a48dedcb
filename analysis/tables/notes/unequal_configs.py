"""Fields in which compared cells differ by more than their recipes."""

from __future__ import annotations

from collections.abc import Sequence

from analysis.stats.cells import Cell
from analysis.stats.comparisons import Comparison
from analysis.stats.departures import unequal_fields
from analysis.tables.elements.table import cell_label
from analysis.tables.notes.capped import capped


def unequal_caveat(a: Cell, b: Cell) -> str:
    """Name the fields in a few words; "" if there are none."""
    names = unequal_fields(a, b)
    return f"not the same config: {capped(names, ', ')}" if names else ""


def unequal_notes(compared: Sequence[Comparison]) -> list[str]:
    """Name the pairs and their fields in a note; nothing if there are none."""
    pairs: dict[str, dict[str, None]] = {}
    for c in compared:
        if said := unequal_caveat(c.a, c.b):
            pairs.setdefault(said, {})[f"{cell_label(c.a)} against {cell_label(c.b)}"] = None
    if not pairs:
        return []
    named = "; ".join(f"{said} ({capped(list(those))})" for said, those in pairs.items())
    return [f"{named}: by more than the recipes of the systems, so a difference may come from these fields"]
