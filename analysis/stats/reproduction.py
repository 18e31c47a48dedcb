"""Judge whether our runs reproduce a published ``mean ± std``: an interval against a fixed margin."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from analysis.published.catalogue import averaging_of
from analysis.published.facts import Fact
from analysis.stats.cells import Average
from analysis.stats.intervals import Interval, Moments, welch

Word = Literal["reproduced", "better", "worse", "higher", "lower", "cannot tell", "no verdict"]

LOWER_IS_BETTER = ("nll", "ppl", "nll_iw")

RULE = (
    "The verdict on a published mean ± std compares the 95% interval of ours - published (Welch's, from "
    "means, standard deviations and numbers of seeds) with a margin of two published standard deviations, "
    "within which nearly all of the published runs lie. reproduced: the whole "
    "interval lies within the margin. better or worse (for the KL: lower or higher): it does not, and 0 "
    "lies outside the interval. cannot tell: neither, or we have one seed, or no std or number of runs was "
    "published. no verdict: no formula was published (IW with averaged decoder states). "
    "Rounding is allowed for: the published std is taken at the largest value that is printed so, and the "
    "interval is widened by half a unit of the published mean's last digit. The margin does not depend on "
    "our runs, so noisy runs make a reproduction harder to show, never easier. Verdicts are not corrected "
    "for their number: of 100 numbers that agree in truth, up to 5 are called better or worse by chance."
)
"""The rule behind the verdicts, for the report."""


@dataclass(frozen=True)
class Verdict:
    """The verdict on one of our averages against a published number, and the numbers behind it."""

    word: Word
    difference: float
    """Ours - published."""
    interval: Interval | None
    """95%, rounding included; None if we have one seed, or no std or number of runs was published."""
    margin: float | None
    """None as for the interval, and if there is no verdict."""
    p: float | None
    """Welch's two-sided p that both means are equal, the printed digits taken as exact."""


def judge(ours: Average, fact: Fact) -> Verdict:
    """Judge an average by RULE.

    If our runs and the published ones have the same true mean and a true std of 1.0, printed with one
    decimal, the verdicts are (20,000 simulated cases; ``tests/analysis/stats/test_coverage.py`` checks
    them):

        5 seeds: reproduced 50%, cannot tell 47%, better or worse 3%
        10 seeds: reproduced 68%, cannot tell 28%, better or worse 4%
        20 seeds: reproduced 78%, cannot tell 18%, better or worse 4%

    Five seeds against five published ones often give "cannot tell". A rule that says "reproduced" more
    often would also say it more often when it is false.
    """
    difference = ours.mean - fact.mean
    # The interval needs a std and its number of seeds on both sides.
    if ours.std is None or fact.std is None or fact.runs is None:
        word: Word = "no verdict" if is_without_formula(fact) else "cannot tell"
        return Verdict(word, difference, None, None, None)
    # The digits that printing cut off could all speak against a reproduction: assume the worst of them.
    half_unit = 0.5 * 10.0**-fact.decimals
    std = fact.std + half_unit
    margin = 2 * std
    sample = Moments(ours.n, ours.mean, ours.std)
    interval = welch(sample, Moments(fact.runs, fact.mean, std))[0].widened(half_unit)
    if is_without_formula(fact):
        return Verdict("no verdict", difference, interval, None, None)
    # The p-value is for the CSV file; the verdict does not use it.
    _, p = welch(sample, Moments(fact.runs, fact.mean, fact.std))
    return Verdict(_word(interval, margin, fact.metric), difference, interval, margin, p)


def is_without_formula(fact: Fact) -> bool:
    """Whether the published formula is missing, as for IW with averaged states of several samples.

    The ratio p(z)/q(z|x) in the weight may be the mean of the L, that of one sample or their product; see
    analysis/tables/importance_weights.py.
    """
    averaging = averaging_of(fact.system, fact.num_samples)
    return fact.metric == "nll_iw" and fact.num_samples > 1 and averaging == "hidden"


def _word(interval: Interval, margin: float, metric: str) -> Word:
    if interval.within(margin):
        return "reproduced"
    if 0 in interval:
        return "cannot tell"
    below = interval.high < 0
    if metric in LOWER_IS_BETTER:
        return "better" if below else "worse"
    return "lower" if below else "higher"
