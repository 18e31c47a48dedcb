"""Whether our runs reproduce a published ``mean ± std``: an interval against a margin set beforehand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from analysis.published import OURS, SEEDS, Fact
from analysis.stats.cells import Average
from analysis.stats.intervals import Interval, Moments, welch

Word = Literal["reproduced", "better", "worse", "higher", "lower", "cannot tell"]

LOWER_IS_BETTER = ("nll", "ppl", "nll_iw")

RULE = (
    "The verdict on a published mean ± std over 5 seeds follows from the 95% interval of ours - published "
    "(Welch's, from means, standard deviations and numbers of seeds) and from a margin of two published "
    "standard deviations, within which nearly all of the paper's own runs lie. reproduced: the whole "
    "interval lies within the margin; better or worse (for the KL: lower or higher): it does not, and 0 "
    "lies outside of it; cannot tell: neither, or there is one seed, or no std was published. What "
    "rounding hides is allowed for: the published std is taken at the largest value that is printed so, "
    "and the interval is widened by half a unit of the published mean's last digit. The margin owes "
    "nothing to our runs: noisy ones make it harder to reproduce, never easier. Each verdict stands alone: "
    "of 100 numbers that agree in truth, up to 5 are called better or worse by chance."
)
"""For the report."""


@dataclass(frozen=True)
class Verdict:
    """Ours beside a published number."""

    word: Word
    difference: float
    """Ours - published."""
    interval: Interval | None
    """95%, rounding included; None where there is one seed, or no published std."""
    margin: float | None
    p: float | None
    """Two-sided, Welch's: that both means are the same, as if the printed digits were all."""


def judge(ours: Average, fact: Fact) -> Verdict:
    """The verdict by RULE.

    Where our runs have the published ones' true mean and a true std of 1.0, printed with one decimal, it
    says (in 20,000 simulated cases; ``tests/analysis/test_coverage.py`` holds these figures):

        5 seeds: reproduced 50%, cannot tell 47%, better or worse 3%
        10 seeds: reproduced 68%, cannot tell 28%, better or worse 4%
        20 seeds: reproduced 78%, cannot tell 18%, better or worse 4%

    Five seeds beside five published ones often cannot tell; what would be called reproduced more often
    would be called so as well where it is not.
    """
    difference = ours.mean - fact.mean
    if ours.std is None or fact.std is None or fact.source != OURS:
        return Verdict("cannot tell", difference, None, None, None)
    half_unit = 0.5 * 10.0**-fact.decimals
    std = fact.std + half_unit
    margin = 2 * std
    sample = Moments(ours.n, ours.mean, ours.std)
    interval = welch(sample, Moments(SEEDS, fact.mean, std))[0].widened(half_unit)
    _, p = welch(sample, Moments(SEEDS, fact.mean, fact.std))
    return Verdict(_word(interval, margin, fact.metric), difference, interval, margin, p)


def _word(interval: Interval, margin: float, metric: str) -> Word:
    if interval.within(margin):
        return "reproduced"
    if 0 in interval:
        return "cannot tell"
    below = interval.high < 0
    if metric in LOWER_IS_BETTER:
        return "better" if below else "worse"
    return "lower" if below else "higher"
