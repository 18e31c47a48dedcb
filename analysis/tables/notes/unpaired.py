"""Rows that are not compared with a baseline, because none of its variants is their counterpart."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from analysis.published.catalogue import display_name
from analysis.stats.cells import Cell
from analysis.stats.pairs import Baseline, unpaired
from analysis.tables.elements.table import cell_label
from analysis.tables.notes.capped import capped


def unpaired_notes(families: Iterable[Sequence[Cell]], baseline: Baseline) -> list[str]:
    """Name them and say how to choose a variant; nothing if there are none.

    Args:
        families: the cells of each setting of a dataset.
        baseline: what the user chose.
    """
    rows: dict[tuple[str, str], dict[str, None]] = {}
    for cells in families:
        for cell, system, candidates in unpaired(cells, baseline):
            field, text = next(iter(candidates[0].varied.items()))
            rows.setdefault((system, f"{field}={text}"), {})[cell_label(cell)] = None
    return [
        f"not compared with {display_name(system)}: {capped(list(labels))}; they agree with none of its "
        f"variants, or with several, in what both read; --baseline {example} chooses one"
        for (system, example), labels in rows.items()
    ]
