"""Judge whether our runs reproduce a published ``mean ± std``: an interval against a fixed margin."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from analysis.published.facts import Fact
from analysis.stats.average import Average
from analysis.stats.intervals import Interval, Moments, welch

Word = Literal["reproduced", "higher", "lower", "cannot tell", "no verdict"]

REPRODUCTION_RULE = (
    "The verdict on a published mean ± std compares the 95% interval of ours - published (Welch's, from "
    "means, standard deviations and numbers of seeds) with a margin of two published standard deviations. "
    "reproduced: the whole interval lies within the margin. lower or higher: it does not, and 0 lies "
    "outside the interval; this is about two numbers and says nothing of better or worse models. cannot "
    "tell: neither, or we have one seed, or no std or number of runs was "
    "published. no verdict: the publication does not say how the number was computed."
)
"""The rule behind the verdicts, without which they cannot be read."""

ASSUMPTIONS = (
    "The margin is our choice of what still counts as the same number: twice the spread of the published "
    "runs. The published std is assumed to have the divisor n - 1, which the paper does not say; if it is "
    "n, the true one is larger (by 12% for five runs) and our intervals are too narrow. "
    "Rounding is allowed for: the interval is the widest over the published stds that are printed so, "
    "widened by half a unit of the published mean's last digit. The margin does not depend on "
    "our runs, so noisy runs make a reproduction harder to show, never easier. Verdicts are not corrected "
    "for their number: of 100 numbers that agree in truth, up to 5 are called lower or higher by chance."
)
"""What the verdicts assume, for readers who judge the rule."""


@dataclass(frozen=True)
class Judgement:
    """The judgement of one of our averages against a published number, and the numbers behind it."""

    word: Word
    difference: float
    """Ours - published."""
    interval: Interval | None
    """95%, rounding included; None if we have one seed, no std or number of runs was published, or the
    spread is too large to be computed."""
    margin: float | None
    """None as for the interval, and if there is no verdict."""
    p: float | None
    """Welch's two-sided p that both means are equal, the printed digits taken as exact."""


def judge(ours: Average, fact: Fact) -> Judgement:
    """Judge an average by :data:`REPRODUCTION_RULE`.

    If our runs and the published ones have the same true mean and a true std of 1.0, printed with one
    decimal, the verdicts are (20,000 simulated cases; ``tests/analysis/stats/test_coverage.py`` checks
    them):

        2 seeds: reproduced 24%, cannot tell 71%, lower or higher 5%
        5 seeds: reproduced 50%, cannot tell 47%, lower or higher 3%
        10 seeds: reproduced 68%, cannot tell 28%, lower or higher 4%
        20 seeds: reproduced 78%, cannot tell 18%, lower or higher 4%

    Five seeds against five published ones often give "cannot tell". A rule that says "reproduced" more
    often would also say it more often when it is false.
    """
    difference = ours.mean - fact.mean
    # The interval needs a std and its number of seeds on both sides.
    if ours.std is None or fact.std is None or fact.runs is None:
        word: Word = "cannot tell" if fact.defined else "no verdict"
        return Judgement(word, difference, None, None, None)
    # The digits that printing cut off could all speak against a reproduction: assume the worst of them.
    half_unit, half_unit_of_std = (0.5 * 10.0**-n for n in (fact.decimals, fact.std_decimals))
    std = fact.std + half_unit_of_std
    margin = 2 * std
    sample = Moments(ours.n, ours.mean, ours.std)
    # A larger std also has more degrees of freedom, so that of the widest interval may be any.
    stds = (max(0.0, fact.std - half_unit_of_std), fact.std, std)
    found = [welch(sample, Moments(fact.runs, fact.mean, printed_so))[0] for printed_so in stds]
    interval = max(filter(None, found), key=lambda one: one.half_width, default=None)
    interval = interval and interval.widened(half_unit)
    if not fact.defined:
        return Judgement("no verdict", difference, interval, None, None)
    # The p-value is for the CSV file; the verdict does not use it.
    _, p = welch(sample, Moments(fact.runs, fact.mean, fact.std))
    return Judgement(_word(interval, margin), difference, interval, margin if interval else None, p)


def _word(interval: Interval | None, margin: float) -> Word:
    if interval is None:
        return "cannot tell"
    if interval.within(margin):
        return "reproduced"
    if 0 in interval:
        return "cannot tell"
    return "lower" if interval.high < 0 else "higher"
