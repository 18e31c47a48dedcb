"""Notes on cells: variants, unused latent variables, huge estimates, sampling errors."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from analysis.stats.cells import Cell
from analysis.stats.intervals import HUGE
from analysis.tables.elements.table import cell_label, cell_names, row_label
from analysis.tables.notes.capped import capped
from lvae_core.run_folder.estimates import UNUSED


def huge_notes(cells: Iterable[Cell]) -> list[str]:
    """Name the cells whose estimates are so huge that tables print them in short, or that have no spread.

    A huge seed hides in no mean, so a reader sees such a number in any table of these cells.
    """
    rows: list[str] = []
    without_spread = False
    for cell in cells:
        huge = {n: a for n, a in cell.averages.items() if max(map(abs, a.values), default=0.0) >= HUGE}
        if huge and cell.shown:
            rows.append(f"{_row(cell)} ({', '.join(huge)})")
            without_spread |= any(average.n > 1 and average.std is None for average in huge.values())
    if not rows:
        return []
    note = (
        f"estimates of {HUGE:.0e} and more: {capped(rows)}; training diverged, a bound is very loose, "
        "or a file is wrong"
    )
    if without_spread:
        note += (
            ". Where no ± is given for several seeds, the spread is too large to be computed, and there is "
            "no interval, no test and no verdict"
        )
    return [note]


def variants(cells: Sequence[Cell]) -> Iterable[str]:
    """Name the rows that were run in several variants."""
    labels: dict[str, list[str]] = {}
    for cell in cells:
        row = labels.setdefault(row_label(cell.system, cell.num_samples), [])
        if cell.shown and cell.variant_name not in row:
            row.append(cell.variant_name)
    alike: dict[tuple[str, ...], list[str]] = {}
    for row_name, names in labels.items():
        if len(names) > 1:
            alike.setdefault(tuple(names), []).append(row_name)
    for together, rows in alike.items():
        yield (
            f"{capped(rows, ', ')} {'was' if len(rows) == 1 else 'were'} run in {len(together)} variants "
            f"({capped(together)}): each has its own row; they are never averaged together"
        )


def other_objectives(cells: Sequence[Cell]) -> Iterable[str]:
    """Name the rows whose NLL in the first table is not what they were trained by."""
    rows = dict.fromkeys(
        row_label(cell.system, cell.num_samples)
        for cell in cells
        if cell.shown and cell.objective == "importance_weighted" and cell.num_samples > 1
    )
    if rows:
        yield (
            f"trained by the importance-weighted bound: {capped(list(rows), ', ')}; training need not "
            "lower the ELBO, which is the NLL of the first table; their bound is in the table of bounds"
        )


def unused_latents(cells: Sequence[Cell]) -> Iterable[str]:
    """Name the cells, and count the runs, whose posterior says next to nothing about a sentence."""
    collapsed: list[Cell] = []
    annealing: dict[str, list[Cell]] = {}
    decoders: list[Cell] = []
    mixed: list[str] = []
    for cell in cells:
        if cell.collapsed:
            collapsed.append(cell)
        elif cell.unused_latent:
            annealing.setdefault(f"{cell.tested_kl_weight:.2g}", []).append(cell)
        elif cell.idle_posterior:
            decoders.append(cell)
        if 0 < cell.idle_runs < cell.averages["mi"].n:
            mixed.append(f"{_row(cell)} {cell.idle_runs} of {cell.averages['mi'].n}")
    little = f"z says next to nothing about a sentence (mutual information below {UNUSED} nats)"
    in_most = f"in most runs {little}"
    if collapsed:
        yield (f"posterior collapse, {in_most}: {_rows(collapsed)}; in effect these are language models")
    for weight, annealed in annealing.items():
        yield (
            f"{in_most}: {_rows(annealed)}; the tested epoch of at least half of the runs lies within "
            f"KL annealing (β up to {weight}), before the KL had its full weight, so this need not be "
            "posterior collapse"
        )
    yield from _tested_while_annealing(cells)
    if decoders:
        yield (
            f"{in_most}: {_rows(decoders)}; but the decoder reads z: the importance-weighted number "
            f"lies at least {UNUSED} nats below the mean of -log p(x|z)"
        )
    if mixed:
        yield f"runs in which {little}, so that means mix two kinds of runs: {capped(mixed, ', ')}"


def _tested_while_annealing(cells: Sequence[Cell]) -> Iterable[str]:
    """Count the runs tested within KL annealing of the cells of which no other note says it."""
    said = [cell for cell in cells if cell.unused_latent and not cell.collapsed]
    rows = [cell for cell in cells if cell.shown and cell.annealing_runs and cell not in said]
    if rows:
        counts = [f"{_row(cell)} {cell.annealing_runs} of {cell.counts.done}" for cell in rows]
        yield (
            "tested at an epoch within KL annealing, before the KL had its full weight in training: "
            f"{capped(counts, ', ')}"
        )


def _row(cell: Cell) -> str:
    return f"{cell_label(cell)} {cell.setting}"


def _rows(cells: Sequence[Cell]) -> str:
    return capped(cell_names(cells, with_setting=True), ", ")


def monte_carlo(cells: Sequence[Cell]) -> Iterable[str]:
    """Give the largest sampling error of a run's NLL, in nats per sentence."""
    errors = [
        error
        for cell in cells
        for name, average in cell.averages.items()
        for error in average.mc_stderrs
        if name.startswith("nll") and error is not None
    ]
    if errors:
        yield f"Monte Carlo standard error of a run's NLL: at most {max(errors):.2g} nats"
