"""Choose which variants are shown, and give them short names that a key explains."""

from __future__ import annotations

import dataclasses
import itertools
import math
import string
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence

from analysis.stats.cells import Cell, Counts
from analysis.stats.valid_bounds import tightest
from analysis.tables.elements.table import row_label
from lvae_core.run_folder.search_record import RECIPE

MOST_VARIANTS = 12
"""The largest number of variants shown of one system and L on one dataset; the CSV files have all."""

_LONGEST_NAME = 28
"""Letters of the longest ``field=value`` that names a variant in tables and figures."""


Score = Callable[[Cell], float]
"""Rates a cell; the lowest are shown first."""


def tightest_nll(cell: Cell) -> float:
    """The tightest bound of a cell on the test split; infinite if it has none."""
    best = tightest(cell)
    return cell.averages[best.nll].mean if best else math.inf


def shown_variants(cells: Sequence[Cell], most: int, score: Score = tightest_nll) -> list[Cell]:
    """Keep the cells of at most ``most`` variants of each dataset, system and L, in their order.

    Both settings show the same variants. They are chosen in turns, by each setting and text its variant
    with the lowest score that is not chosen yet; those with an infinite one come last.
    """
    rows: dict[tuple[str, str, int], dict[object, list[Cell]]] = defaultdict(lambda: defaultdict(list))
    texts = {_row(cell): cell.text for cell in reversed(cells) if cell.text}
    for cell in cells:
        # A cell without a finished run has no text yet: it takes its turn with others.
        rows[_row(cell)][cell.setting, cell.text or texts.get(_row(cell))].append(cell)
    chosen = {row: _choose(list(settings.values()), most, score) for row, settings in rows.items()}
    return [cell for cell in cells if cell.variant in chosen[_row(cell)]]


def mark_shown(cells: Sequence[Cell], most: int = MOST_VARIANTS, score: Score = tightest_nll) -> list[Cell]:
    """Set :attr:`Cell.shown` to whether the cell is among the shown variants, and name these.

    A variant all of whose runs failed is a result too, and has a row. One that is merely unfinished is not
    shown beside others.
    """
    ended = _variants(cells, lambda counts: counts.done > 0 or counts.all_failed)
    candidates = [c for c in cells if not ended[_row(c)] or c.variant in ended[_row(c)]]
    # Of a row without any result, one variant says so.
    first = {_row(cell): cell.variant for cell in reversed(candidates)}
    candidates = [c for c in candidates if ended[_row(c)] or c.variant == first[_row(c)]]
    shown = set(map(id, shown_variants(candidates, most, score)))
    return name_variants(
        [cell if id(cell) in shown else dataclasses.replace(cell, shown=False) for cell in cells]
    )


def name_variants(cells: Sequence[Cell]) -> list[Cell]:
    """Give the shown variants of systems that show several short names: ``latent_size=4``, or A, B, …

    A variant is named by its value if all of them differ in the same one field, and by a letter otherwise,
    which :func:`variant_key` explains. The same fields have the same name in every row and dataset: also
    where a row shows one variant only, while the system has several at another L.
    """
    of_rows: dict[tuple[str, str, int], set[str]] = defaultdict(set)
    of_systems: dict[tuple[str, str], set[str]] = defaultdict(set)
    for cell in cells:
        if cell.shown:
            of_rows[_row(cell)].add(cell.variant)
            of_systems[cell.dataset, cell.system].add(cell.variant)

    def is_named(cell: Cell) -> bool:
        among_several = cell.variant and len(of_systems[cell.dataset, cell.system]) > 1
        return len(of_rows[_row(cell)]) > 1 or bool(among_several)

    several = [cell for cell in cells if cell.shown and is_named(cell)]
    variants = list(dict.fromkeys(cell.variant for cell in several))
    letters = {variant: _letter(k) for k, variant in enumerate(variants)}
    names = {variant: variant for variant in variants} if can_be_names(several) else letters
    return [
        dataclasses.replace(cell, short_name=names[cell.variant] if is_named(cell) else "")
        if cell.shown
        else cell
        for cell in cells
    ]


def can_be_names(cells: Sequence[Cell]) -> bool:
    """Whether the cells' variants can be named by their values: all are short and differ in one field."""
    fields = {field for cell in cells for field in cell.varied}
    short = all(len(cell.variant) <= _LONGEST_NAME for cell in cells)
    return len(fields) == 1 and short and all(cell.varied for cell in cells)


def variant_key(cells: Sequence[Cell], *datasets: str) -> list[str]:
    """Explain the letters of the variants that tables or figures of some datasets show."""
    named = {c.short_name: c.variant for c in cells if c.dataset in datasets and c.shown and c.short_name}
    return [
        f"{letter}: {variant}"
        for letter, variant in sorted(named.items(), key=_by_letter)
        if letter != variant
    ]


def unfinished_variants(cells: Sequence[Cell], dataset: str) -> list[str]:
    """Name the variants that are not shown because they have no finished run, and say why, in one line."""
    finished = _finished(cells)
    rows: dict[str, dict[str, None]] = defaultdict(dict)
    for cell in cells:
        if cell.dataset == dataset and cell.variant not in finished[_row(cell)] and not cell.shown:
            states = rows.setdefault(f"{row_label(cell.system, cell.num_samples)} {cell.variant}", {})
            states |= dict.fromkeys(states_of(cell))
    if not rows:
        return []
    listed = "; ".join(f"{row}: {', '.join(states) or 'no run'}" for row, states in rows.items())
    return [f"{len(rows)} variant{'s have' if len(rows) > 1 else ' has'} no finished run: {listed}"]


def states_of(cell: Cell) -> list[str]:
    """The states of a cell's runs in words: ``failed (diverged)``, ``unfinished``."""
    counts = cell.counts
    failed = [f"failed ({name.replace('_', ' ')})" for name, _ in counts.failures]
    failed += ["failed"] if counts.failed and not failed else []
    begun = [status for status, number in counts.by_status.items() if number and status != "failed"]
    # A missing run is worth a word only if there is no other.
    return [*failed, *(s for s in begun if s != "missing")] or begun


def _finished(cells: Sequence[Cell]) -> dict[tuple[str, str, int], set[str]]:
    """The variants of each row that have a finished run in any setting."""
    return _variants(cells, lambda counts: counts.done > 0)


def _variants(cells: Sequence[Cell], has: Callable[[Counts], bool]) -> dict[tuple[str, str, int], set[str]]:
    """The variants of each row that have such counts in any setting."""
    found: dict[tuple[str, str, int], set[str]] = defaultdict(set)
    for cell in cells:
        if has(cell.counts):
            found[_row(cell)].add(cell.variant)
    return found


def _letter(position: int) -> str:
    more, last = divmod(position, len(string.ascii_uppercase))
    return (_letter(more - 1) if more else "") + string.ascii_uppercase[last]


def _by_letter(named: tuple[str, str]) -> tuple[bool, int, str]:
    return named[0] != RECIPE, len(named[0]), named[0]


def hidden_variant_notes(cells: Sequence[Cell], dataset: str) -> Iterable[str]:
    """Warn that some variants are not shown, and that the choice biases the numbers of those that are."""
    finished = _finished(cells)
    variants: dict[str, set[tuple[str, bool]]] = defaultdict(set)
    for cell in cells:
        if cell.dataset == dataset and cell.variant in finished[_row(cell)]:
            variants[row_label(cell.system, cell.num_samples)].add((cell.variant, cell.shown))
    thinned = {row: found for row, found in variants.items() if not all(shown for _, shown in found)}
    if thinned:
        counts = ", ".join(
            f"{sum(shown for _, shown in found)} of {len(found)} ({row})" for row, found in thinned.items()
        )
        if any(cell.dataset == dataset and cell.of_search for cell in cells):
            yield f"trials with the lowest validation perplexity only: {counts}; the CSV files have all"
            return
        yield (
            f"variants with the lowest bounds on the test split only: {counts}; the CSV files have all. "
            "They were chosen by the test numbers that are shown, so these numbers are too good and the "
            "p-values too small: rerun the variants that matter on fresh seeds"
        )


def _row(cell: Cell) -> tuple[str, str, int]:
    return cell.dataset, cell.system, cell.num_samples


def _choose(settings: Sequence[Sequence[Cell]], most: int, score: Score) -> set[str]:
    ranked = [sorted(cells, key=score) for cells in settings]
    # First the best of each setting, then the second best of each, and so on.
    turns = (cell for turn in itertools.zip_longest(*ranked) for cell in turn if cell is not None)
    return set(list(dict.fromkeys(cell.variant for cell in turns))[:most])
