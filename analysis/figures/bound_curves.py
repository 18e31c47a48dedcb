"""The curves of the figure of bounds over L: which estimates they show, and of which rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from analysis.figures import series
from analysis.figures.series import Row
from analysis.stats.average import Average
from analysis.stats.cells import Cell, same_with_one_sample

_LEAST_GAP = 0.05
"""Nats; a smaller gap would be labelled 0.0."""

_LEAST_SHARE = 0.12
"""Share of a panel's height that an arrow between two marks needs to be seen."""


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
        "ELBO, KL of one (published): not a bound",
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
    yield from ((cell, name) for cell, name in drawn_estimates(rows) if name.startswith("nll_iw"))


def bound_of(members: Sequence[Row]) -> str:
    """The bound that a system without joint latent samples is compared by: the one it was trained by."""
    return "nll_iw" if members[0].cell.objective == "importance_weighted" else "nll_elbo"


def drawn_estimates(rows: Sequence[Row]) -> Iterator[tuple[Cell, str]]:
    """The cells of a panel with each estimate that is drawn of them."""
    joint = joint_lines(rows)
    for key, members in series.lines(rows).items():
        for row in [*start_of(rows, members), *members] if key in joint else members:
            if key in joint:
                names = [curve.estimate_of(row.cell) for curve in CURVES]
            else:
                names = [bound_of(members) if row.cell.num_samples else "nll"]
            yield from ((row.cell, name) for name in dict.fromkeys(names) if name in row.cell.averages)


def measured_gap(row: Row, rows: Sequence[Row]) -> float | None:
    """Nats between the two ELBOs of a row of a panel; None if the panel is too high to show them apart."""
    gap = series.gap(row)
    if gap is None or "nll_joint" not in row.cell.averages:
        return None
    heights = [v for cell, name in drawn_estimates(rows) for v in cell.averages[name].values]
    cited = (fact for of in rows for fact in (of.fact("nll"), series.derived_joint(of)))
    heights += [fact.mean for fact in cited if fact]
    return gap if gap >= max(_LEAST_GAP, _LEAST_SHARE * (max(heights) - min(heights))) else None
