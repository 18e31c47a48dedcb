"""Choose which variants are shown if a row has more than a table for reading, or a figure, has room for."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections import defaultdict
from collections.abc import Iterable, Sequence

from analysis.stats.cells import Cell
from analysis.stats.valid_bounds import tightest
from analysis.tables.table import row_label

MOST_VARIANTS = 12
"""The largest number of variants shown of one system and L on one dataset; the CSV files have all."""


def shown_variants(cells: Sequence[Cell], most: int) -> list[Cell]:
    """Keep the cells of at most ``most`` variants of each dataset, system and L, in their order.

    Both settings show the same variants. They are chosen in turns, by each setting its variant with the
    lowest valid NLL that is not chosen yet; variants without a valid NLL come last.
    """
    rows: dict[tuple[str, str, int], dict[str, list[Cell]]] = defaultdict(lambda: defaultdict(list))
    for cell in cells:
        rows[_row(cell)][cell.setting].append(cell)
    chosen = {row: _choose(list(settings.values()), most) for row, settings in rows.items()}
    return [cell for cell in cells if cell.variant in chosen[_row(cell)]]


def mark_shown(cells: Sequence[Cell], most: int = MOST_VARIANTS) -> list[Cell]:
    """Set :attr:`Cell.shown` to whether the cell is among the shown variants."""
    shown = set(map(id, shown_variants(cells, most)))
    return [cell if id(cell) in shown else dataclasses.replace(cell, shown=False) for cell in cells]


def hidden_variant_notes(cells: Sequence[Cell], dataset: str) -> Iterable[str]:
    """Warn that some variants are not shown, and that the choice biases the numbers of those that are."""
    variants: dict[str, set[tuple[str, bool]]] = defaultdict(set)
    for cell in cells:
        if cell.dataset == dataset:
            variants[row_label(cell.system, cell.num_samples)].add((cell.variant, cell.shown))
    thinned = {row: found for row, found in variants.items() if not all(shown for _, shown in found)}
    if thinned:
        counts = ", ".join(
            f"{sum(shown for _, shown in found)} of {len(found)} ({row})" for row, found in thinned.items()
        )
        yield (
            f"variants with the lowest valid NLL only: {counts}; the CSV files have all. They were chosen "
            "by the test numbers that are shown, so these numbers are too good and the p-values too small: "
            "rerun the variants that matter on fresh seeds"
        )


def _row(cell: Cell) -> tuple[str, str, int]:
    return cell.dataset, cell.system, cell.num_samples


def _choose(settings: Sequence[Sequence[Cell]], most: int) -> set[str]:
    ranked = [sorted(cells, key=_valid_nll) for cells in settings]
    # First the best of each setting, then the second best of each, and so on.
    turns = (cell for turn in itertools.zip_longest(*ranked) for cell in turn if cell is not None)
    return set(list(dict.fromkeys(cell.variant for cell in turns))[:most])


def _valid_nll(cell: Cell) -> float:
    best = tightest(cell)
    return cell.averages[best.nll].mean if best else math.inf
