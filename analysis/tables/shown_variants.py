"""Of a row with very many variants those that a table for reading, or a figure, has room for."""

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
"""Of one system and L on one dataset that are shown; the CSV files have them all."""


def leading(cells: Sequence[Cell], most: int) -> list[Cell]:
    """The cells, in their order, of at most ``most`` variants of each dataset, system and L.

    Where there are more the settings take turns, each with its variant of the lowest valid NLL that has not
    been chosen yet; one without such a number comes last. Both settings have the same variants.
    """
    rows: dict[tuple[str, str, int], dict[str, list[Cell]]] = defaultdict(lambda: defaultdict(list))
    for cell in cells:
        rows[_row(cell)][cell.setting].append(cell)
    chosen = {row: _chosen(list(settings.values()), most) for row, settings in rows.items()}
    return [cell for cell in cells if cell.variant in chosen[_row(cell)]]


def mark_shown(cells: Sequence[Cell], most: int = MOST_VARIANTS) -> list[Cell]:
    """The same cells, :attr:`Cell.shown` only where they are among the leading."""
    shown = set(map(id, leading(cells, most)))
    return [cell if id(cell) in shown else dataclasses.replace(cell, shown=False) for cell in cells]


def choice_notes(cells: Sequence[Cell], dataset: str) -> Iterable[str]:
    """What a reader must know of what is not shown; nothing where all is."""
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
            "by the numbers that are shown, which flatters them and makes p-values too small: run those "
            "that matter with fresh seeds"
        )


def _row(cell: Cell) -> tuple[str, str, int]:
    return cell.dataset, cell.system, cell.num_samples


def _chosen(settings: Sequence[Sequence[Cell]], most: int) -> set[str]:
    ranked = [sorted(cells, key=_valid_nll) for cells in settings]
    turns = (cell for turn in itertools.zip_longest(*ranked) for cell in turn if cell is not None)
    return set(list(dict.fromkeys(cell.variant for cell in turns))[:most])


def _valid_nll(cell: Cell) -> float:
    way = tightest(cell)
    return math.inf if way is None else cell.averages[f"nll{way}"].mean
