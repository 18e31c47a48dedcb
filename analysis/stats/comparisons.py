"""Compare cells seed by seed, and correct for the number of comparisons that are reported together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from analysis.stats.average import Average
from analysis.stats.cells import Cell
from analysis.stats.paired import Paired, compare, holm, holm_reach
from analysis.stats.pairs import OWN_BASELINES, Baseline, pairs_to_compare
from analysis.stats.text_groups import same_text
from analysis.stats.valid_bounds import to_compare
from analysis.stats.verdicts import Verdict, decide
from lvae_core.run_folder.estimates import LATENT_USE

METRICS = ("nll", "nll_valid", "ppl", "ppl_valid", *LATENT_USE)
"""The metrics by which cells are compared. nll and ppl follow the published convention, which gives no
bound for some systems. nll_valid and ppl_valid take each cell's tightest valid bound, of the reliable ones
if there are any: only they compare models."""

FAMILY = (
    "A family is all comparisons of one metric on one dataset in one setting. p-values are corrected over "
    "the family by Holm's method: if every corrected p of at most 5% is called significant, the chance of "
    "even one false call in the family is at most 5%. The verdict follows the sign-flip test, which "
    "assumes that differences are distributed symmetrically around 0 if neither system is better (skewed "
    "ones are called significant too often: in 10 to 15% of cases instead of 5% with 8 seeds); the paired "
    "t test is also shown."
)


@dataclass(frozen=True)
class Comparison:
    """Two cells by one metric, ``a`` minus ``b``."""

    metric: str
    a: Cell
    b: Cell
    estimates: tuple[str, str]
    """The estimates of ``a`` and of ``b`` that the metric stands for, as result.json names them."""
    paired: Paired
    reported: int
    """Comparisons in the family."""
    family: int
    """Those of them that could be tested."""
    t_holm: float | None
    flip_holm: float | None
    """The p-values of ``paired`` after Holm's correction over the family."""
    reach: float | None
    """The lowest ``flip_holm`` that any differences over these seeds could have, beside the other
    comparisons as they are; None if there is no test."""

    @property
    def verdict(self) -> Verdict:
        """The conclusion that the metric allows about ``a`` against ``b``."""
        sides = zip((self.a, self.b), self.estimates, strict=True)
        return decide(self.paired, self.flip_holm, self.reach, *sides)

    @property
    def averages(self) -> tuple[Average, Average]:
        """The averages of ``a`` and of ``b``, each over all of its seeds."""
        return self.a.averages[self.estimates[0]], self.b.averages[self.estimates[1]]


def compare_all(
    cells: Sequence[Cell], rng: np.random.Generator, baseline: Baseline = OWN_BASELINES
) -> list[Comparison]:
    """Compare the pairs of :func:`pairs_to_compare` by every metric, in every dataset and setting."""
    cells = [cell for cell in cells if cell.shown]
    families = dict.fromkeys((cell.dataset, cell.setting) for cell in cells)
    compared: list[Comparison] = []
    for dataset, setting in families:
        of_one = [c for c in cells if (c.dataset, c.setting) == (dataset, setting)]
        pairs = pairs_to_compare(of_one, baseline)
        for metric in METRICS:
            compared += compare_family(pairs, metric, rng)
    return compared


def compare_family(
    pairs: Iterable[tuple[Cell, Cell]], metric: str, rng: np.random.Generator
) -> list[Comparison]:
    """Compare pairs of cells by one metric and correct over all of them.

    Pairs without the metric are skipped, and pairs over different text, which are different problems.
    """
    compared = []
    for a, b in pairs:
        if not same_text(a, b):
            continue
        names = estimate_of(a, metric), estimate_of(b, metric)
        if names[0] is not None and names[1] is not None:
            samples = a.averages[names[0]].by_seed(), b.averages[names[1]].by_seed()
            compared.append((a, b, (names[0], names[1]), compare(*samples, rng)))
    t_holm = holm([paired.t_p for *_, paired in compared])
    flip_p = [paired.flip_p for *_, paired in compared]
    flip_holm = holm(flip_p)
    reach = holm_reach(flip_p, [paired.smallest_p for *_, paired in compared])
    # Pairs with too few seeds have no p-value and do not count in the correction.
    tested = sum(p is not None for p in flip_holm)
    return [
        Comparison(metric, a, b, names, paired, len(compared), tested, t, flip, least)
        for (a, b, names, paired), t, flip, least in zip(compared, t_holm, flip_holm, reach, strict=True)
    ]


def estimate_of(cell: Cell, metric: str) -> str | None:
    """The estimate that one of METRICS stands for in a cell; None if no finished run has it."""
    if metric.endswith("_valid"):
        convention = to_compare(cell)
        name = metric.removesuffix("_valid") + convention.suffix if convention else None
    else:
        name = cell.estimate(metric)
    return name if name in cell.averages else None
