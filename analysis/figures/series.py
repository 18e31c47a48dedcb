"""What figures draw, chosen and arranged from the cells; nothing here draws."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from analysis.published import Derived, Fact, find
from analysis.stats.cells import Average, Cell, joint_latent, paper_order
from analysis.tables.bounds import missing_cells
from analysis.tables.shown_variants import MOST_VARIANTS, leading
from analysis.tables.table import NOT_A_BOUND, SETTINGS, row_label


class TooManyError(Exception):
    """More than a figure can show; the message says of what."""


@dataclass(frozen=True)
class Row:
    """A cell in a figure, with what is published of it."""

    cell: Cell
    label: str

    def fact(self, metric: str) -> Fact | None:
        """The paper's number for the cell; variants share it."""
        c = self.cell
        table = "3" if metric == "nll_iw" else "2"
        return find(table, c.dataset, c.system, c.num_samples, c.setting, metric)

    def average(self, metric: str) -> Average | None:
        """Ours by the paper's convention."""
        return self.cell.averages.get(self.cell.estimate(metric))


MOST_ROWS = 36
"""Cells that one panel can show."""


def fitting(cells: Sequence[Cell], dataset: str, most: int) -> tuple[list[Cell], str]:
    """The cells of a dataset, of its variants only as many as fit into a panel of ``most`` cells.

    Returns:
        The cells, and a sentence on which they are; "" where they are all.
    """
    every = [cell for cell in cells if cell.dataset == dataset]
    own = shown = [cell for cell in every if cell.shown]
    for variants in range(MOST_VARIANTS, 0, -1):
        own = leading(shown, variants)
        if max(Counter(cell.setting for cell in own).values(), default=0) <= most:
            break
    if len(own) == len(every):
        return own, ""
    return own, f" Of the variants of each row only the {variants} with the lowest valid NLL."


def settings_of(cells: Sequence[Cell]) -> list[str]:
    """The settings that have a run that is done, in the paper's order."""
    return [s for s in SETTINGS if any(c.setting == s and c.averages for c in cells)]


def rows(cells: Sequence[Cell], dataset: str, setting: str) -> list[Row]:
    """The cells of a dataset and setting, also those of the paper that no run is in, in the paper's order.

    Raises:
        TooManyError: there are more than MOST_ROWS.
    """
    own = [cell for cell in cells if cell.dataset == dataset]
    chosen = [c for c in [*own, *missing_cells(own, dataset)] if c.setting == setting]
    if len(chosen) > MOST_ROWS:
        raise TooManyError(
            f"{len(chosen)} cells and variants in one setting, of which {MOST_ROWS} can be shown"
        )
    return [Row(cell, _label(cell)) for cell in sorted(chosen, key=paper_order)]


def lines(chosen: Sequence[Row]) -> dict[tuple[str, str], list[Row]]:
    """(system, variant) -> its rows in the order of L: what a line connects."""
    found: dict[tuple[str, str], list[Row]] = {}
    for row in chosen:
        found.setdefault((row.cell.system, row.cell.variant), []).append(row)
    return found


def samples(chosen: Sequence[Row]) -> list[int]:
    """Every L that there is."""
    return sorted({row.cell.num_samples for row in chosen})


def derived_joint(row: Row) -> Derived | None:
    """The valid bound that follows from the published numbers: NLL + (L - 1) KL."""
    nll, kl = row.fact("nll"), row.fact("kl")
    if not nll or not kl or not joint_latent(row.cell):
        return None
    return Derived(nll.mean + (row.cell.num_samples - 1) * kl.mean)


def gap(row: Row) -> float | None:
    """Nats between the paper's ELBO and the valid one: ours, or the published where no run is."""
    ours = [row.cell.averages.get(name) for name in ("nll_joint", "nll_elbo")]
    if ours[0] and ours[1]:
        return ours[0].mean - ours[1].mean
    valid, nll = derived_joint(row), row.fact("nll")
    return valid.mean - nll.mean if valid and nll and not row.cell.averages else None


def _label(cell: Cell) -> str:
    label = row_label(cell.system, cell.num_samples) + (NOT_A_BOUND if joint_latent(cell) else "")
    return label + (f"\n{cell.variant}" if cell.variant else "")
