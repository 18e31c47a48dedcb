"""Which systems differ: paired comparisons of cells by seed, corrected for how many are asked for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from analysis.stats.cells import Average, Cell
from analysis.stats.paired import Paired, compare, holm
from analysis.stats.valid_bounds import tightest

ALPHA = 0.05

Words = Literal["significant at 5% after Holm", "not significant", "too few seeds"]

METRICS = ("nll", "nll_valid", "ppl", "ppl_valid", "kl", "mi", "au")
"""What cells are compared by: nll and ppl follow the paper's convention, no bound for some systems;
in nll_valid and ppl_valid each cell has its tightest valid bound: the only fair comparison of models."""

FAMILY = (
    "A family is every comparison asked for of one metric on one dataset in one setting. Holm's correction "
    "is over it: calling what is below 5% afterwards significant is wrong about even one of the family at "
    "most 5% of the time. The verdict follows the sign-flip test, which assumes nothing of the "
    "distribution; the paired t test stands beside it."
)


@dataclass(frozen=True)
class Comparison:
    """Two cells by one metric, ``a`` minus ``b``."""

    metric: str
    a: Cell
    b: Cell
    estimates: tuple[str, str]
    """Of ``a`` and of ``b``: what stands behind the metric, as result.json names it."""
    paired: Paired
    family: int
    """Comparisons in the family that could be tested."""
    t_holm: float | None
    flip_holm: float | None
    """p of the tests in ``paired`` after Holm's correction over the family."""

    @property
    def words(self) -> Words:
        """What may be said of it.

        Too few seeds: whatever their differences, the test could not have called them significant.
        """
        lowest = self.paired.smallest_p
        if self.flip_holm is not None and self.flip_holm <= ALPHA:
            return "significant at 5% after Holm"
        if lowest is None or lowest * self.family > ALPHA:
            return "too few seeds"
        return "not significant"

    @property
    def averages(self) -> tuple[Average, Average]:
        """Of ``a`` and of ``b``, over the seeds that each has."""
        return self.a.averages[self.estimates[0]], self.b.averages[self.estimates[1]]


def compare_all(cells: Sequence[Cell], rng: np.random.Generator) -> list[Comparison]:
    """Every family of comparisons that the cells that are shown give rise to, by :func:`questions`."""
    cells = [cell for cell in cells if cell.shown]
    places = dict.fromkeys((cell.dataset, cell.setting) for cell in cells)
    found: list[Comparison] = []
    for dataset, setting in places:
        pairs = questions([c for c in cells if (c.dataset, c.setting) == (dataset, setting)])
        for metric in METRICS:
            found += compare_family(pairs, metric, rng)
    return found


def compare_family(
    pairs: Iterable[tuple[Cell, Cell]], metric: str, rng: np.random.Generator
) -> list[Comparison]:
    """Compare pairs of cells by a metric and correct over all of them; pairs that lack it are left out."""
    compared = []
    for a, b in pairs:
        names = estimate_of(a, metric), estimate_of(b, metric)
        if names[0] is not None and names[1] is not None:
            samples = a.averages[names[0]].by_seed(), b.averages[names[1]].by_seed()
            compared.append((a, b, (names[0], names[1]), compare(*samples, rng)))
    t_holm = holm([paired.t_p for *_, paired in compared])
    flip_holm = holm([paired.flip_p for *_, paired in compared])
    tested = sum(p is not None for p in flip_holm)
    return [
        Comparison(metric, a, b, names, paired, tested, t, flip)
        for (a, b, names, paired), t, flip in zip(compared, t_holm, flip_holm, strict=True)
    ]


def estimate_of(cell: Cell, metric: str) -> str | None:
    """The estimate behind one of METRICS in a cell; None where no run that is done has it."""
    if metric.endswith("_valid"):
        lowest = tightest(cell)
        name = None if lowest is None else metric.removesuffix("_valid") + lowest
    else:
        name = cell.estimate(metric)
    return name if name in cell.averages else None


def questions(cells: Sequence[Cell]) -> list[tuple[Cell, Cell]]:
    """The pairs of cells, all of one dataset and setting, that a reader asks for.

    Each system against LSTM-LM; each other system against LSTM-VAE with as many samples; and each variant
    of a system against its first. Not every pair: the more is asked, the less can be shown.
    """
    done = [cell for cell in cells if cell.counts.done]
    pairs: dict[tuple[int, int], tuple[Cell, Cell]] = {}
    for cell in done:
        models = [c for c in done if c.system == "lstm-lm"]
        plain = [c for c in done if (c.system, c.num_samples) == ("lstm-vae", cell.num_samples)]
        same = [c for c in done if (c.system, c.num_samples) == (cell.system, cell.num_samples)]
        asked = [] if cell.system == "lstm-lm" else [_counterpart(cell, models)]
        asked += [] if cell.system == "lstm-vae" else [_counterpart(cell, plain)]
        for other in (*asked, same[0]):
            if other is not None and other is not cell:
                pairs[id(cell), id(other)] = cell, other
    return list(pairs.values())


def _counterpart(cell: Cell, candidates: Sequence[Cell]) -> Cell | None:
    """The candidate of the cell's own variant, or the only one there is."""
    if len(candidates) == 1:
        return candidates[0]
    return next((c for c in candidates if c.variant == cell.variant), None)
