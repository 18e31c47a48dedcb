"""The curves of the figure of bounds over L: which estimates they show, and of which rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from analysis.figures import series
from analysis.figures.series import Row
from analysis.stats.average import Average
from analysis.stats.cells import Cell, same_with_one_sample


@dataclass(frozen=True)
class Curve:
    """One convention as a curve over L."""

    estimate: str
    one_sample: str
    """The estimate for L = 1, for which both conventions are the same."""
    name: str
    words: str
    """Its name in a sentence."""
    marker: str
    valid: bool
    weighted: bool
    """Whether it is importance-weighted: the ELBOs share a place, as do the weighted numbers."""

    def estimate_of(self, cell: Cell) -> str:
        """The estimate that the curve shows of a cell."""
        return self.estimate if cell.num_samples > 1 else self.one_sample


CURVES = (
    Curve("nll_joint", "nll_elbo", "ELBO, KL of all L: valid bound", "the valid ELBO", "D", True, False),
    Curve(
        "nll_iw_joint",
        "nll_iw",
        "IW, KL of all L: valid in expectation",
        "the valid IW number",
        "^",
        True,
        True,
    ),
    Curve(
        "nll_elbo",
        "nll_elbo",
        "ELBO, KL of one: as published, not a bound",
        "the published ELBO",
        "D",
        False,
        False,
    ),
    Curve(
        "nll_iw",
        "nll_iw",
        "IW, mean of the ratios: not a bound",
        "the mean of the ratios",
        "^",
        False,
        True,
    ),
)


def joint_lines(rows: Sequence[Row]) -> dict[tuple[str, str], list[Row]]:
    """The lines of systems whose decoder reads several samples at once."""
    return {
        key: members
        for key, members in series.lines(rows).items()
        if any(row.cell.joint_latent for row in members)
    }


def start_of(rows: Sequence[Row], members: Sequence[Row]) -> list[Row]:
    """The row of L = 1 at which a line begins that has none itself; empty if there is none.

    With one sample, averaging hidden states or losses is the same model, so it is the row of the system
    that averages losses, of the same variant.
    """
    if members[0].cell.num_samples == 1:
        return []
    first = same_with_one_sample(members[0].cell.system), members[0].cell.variant
    return [row for row in rows if row.cell.num_samples == 1 and row.key == first]


def averages_of(curve: Curve, start: Sequence[Row], members: Sequence[Row]) -> list[tuple[int, Average]]:
    """L and the number of each row of a line that has the curve's estimate."""
    return [
        (row.cell.num_samples, average)
        for row in [*start, *members]
        if (average := row.cell.averages.get(curve.estimate_of(row.cell)))
    ]


def weighted_estimates(rows: Sequence[Row]) -> Iterator[tuple[Cell, str]]:
    """The cells with their importance-weighted estimates that are drawn."""
    for members in series.lines(rows).values():
        joint = any(row.cell.joint_latent for row in members)
        for cell in (row.cell for row in members):
            if joint:
                of_curves = [curve.estimate_of(cell) for curve in CURVES if curve.weighted]
            else:
                of_curves = ["nll_iw"] if cell.objective == "importance_weighted" else []
            yield from ((cell, estimate) for estimate in dict.fromkeys(of_curves))
