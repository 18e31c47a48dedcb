"""The one rule by which a text may say that a cell is better or worse than another.

Every sentence and every table takes its words from :func:`decide`; nothing else compares two cells in
words. All conditions must hold: both cells have enough common seeds, the sign-flip test over them is
significant after Holm's correction, each number is exact or a valid bound, the two numbers decide
(a bound must lie below an exact number), and no latent variable is unused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from analysis.stats.cells import Cell
from analysis.stats.intervals import HUGE, Interval, decimals
from analysis.stats.paired import ALPHA, Paired
from lvae_core.messages import numbered
from lvae_core.run_folder.estimates import UNUSED

Test = Literal["significant", "not significant", "too few seeds", "no common seed", "too large", "equal"]
"""The outcome of the sign-flip test after Holm's correction. "too few seeds": no differences over these
seeds, however large, could have been significant beside the other comparisons of the family. "too large":
the spread of the differences cannot be computed. "equal": the numbers of every common seed are the same."""

Model = Literal["better", "worse", ""]

Obstacle = Literal[
    "",
    "not a bound",
    "unreliable",
    "collapsed",
    "annealing",
    "two bounds",
    "bound above exact",
    "exact below bound",
]

REASONS: dict[Obstacle, str] = {
    "not a bound": "one of the numbers is not a bound",
    "unreliable": "one of the importance-weighted numbers is unreliable",
    "collapsed": "a posterior has collapsed, so in effect its model is a language model",
    "annealing": "the tested epoch lies within KL annealing, and z says next to nothing yet",
    "two bounds": "both numbers are bounds, and how far each lies above the truth is unknown",
    "bound above exact": "a bound above an exact number shows nothing",
    "exact below bound": "an exact number below a bound shows nothing",
}
"""Why a difference of two numbers decides nothing about the models, even if it is significant."""

OF_DIRECTION: tuple[Obstacle, ...] = ("bound above exact", "exact below bound")
"""The obstacles that go away if the other number turns out to be lower."""

OF_KIND: tuple[Obstacle, ...] = ("not a bound", "two bounds")
"""The obstacles that no number of seeds removes. All others depend on means over seeds."""

RULE = (
    "A model is called better or worse only if all of this holds: the difference over common seeds is "
    "significant by the sign-flip test after Holm's correction; each number is exact or a valid bound, and "
    "not unreliable (if a model's tightest bound is, its tightest reliable one is compared); if one is a "
    "bound, it lies below the exact other one, and the true difference is then at least as large; and each "
    f"model with z uses it (mutual information of at least {UNUSED} nats in at least half of its runs, or "
    f"a decoder that reads z: an importance-weighted number at least {UNUSED} nats below the mean of "
    "-log p(x|z); else its posterior has collapsed, or the tested epoch lies within KL annealing). Two "
    "bounds decide nothing"
)
"""The rule in words, for reports."""


@dataclass(frozen=True)
class Verdict:
    """The conclusion that one metric allows about cell ``a`` against cell ``b``."""

    test: Test
    lower: bool | None
    """Whether the mean of ``a`` is below that of ``b``; None if they are equal, or have no common seed."""
    model: Model = ""
    """What follows for model ``a``; "" if nothing does."""
    at_least: bool = False
    """Whether the lower number is a bound, so that the true difference may be larger."""
    obstacle: Obstacle = ""
    """Why nothing would follow from the numbers with more seeds of the same kind."""

    @property
    def words(self) -> str:
        """The verdict in a few words, for a column of a table."""
        if self.test in ("equal", "no common seed"):
            return self.test
        if self.obstacle:
            return f"undecided: {self.obstacle}"
        if self.test == "too large":
            return "undecided: too large"
        if self.test != "significant":
            return self.test
        if self.model:
            return f"{self.model} (at least)" if self.at_least else self.model
        return "lower" if self.lower else "higher"

    @property
    def needs_seeds(self) -> bool:
        """Whether more seeds could lead to a conclusion that these are too few for."""
        return self.test == "too few seeds" and not self.obstacle

    def reason(self, seeds: int) -> str:
        """The reason that so many common seeds allow no conclusion on the models; "" if they allow one."""
        common = numbered(seeds, "common seed")
        if self.test == "equal":
            return f"the numbers of {common} are equal"
        if self.test == "no common seed":
            return "they have no common seed"
        if self.obstacle:
            return REASONS[self.obstacle]
        if self.test == "too large":
            return f"the numbers of {common} are too large to be compared"
        if self.test == "too few seeds":
            return f"{numbered(seeds, 'common seed', 'is')} too few"
        return f"the difference is not significant over {common}" if self.test == "not significant" else ""

    def sentence(self, a: str, b: str, paired: Paired) -> str:
        """The conclusion on the models named ``a`` and ``b`` from their NLL, without a full stop."""
        n = len(paired.seeds)
        seeds = numbered(n, "common seed")
        if not self.model or paired.mean is None:
            return ", ".join(filter(None, ["no conclusion", self.reason(n)]))
        # The sign-flip test decides, and can be significant where one seed far off widens the interval.
        if paired.interval and 0 in paired.interval:
            alike = sum((difference < 0) is self.lower for difference in paired.differences)
            side, apart = "lower" if self.lower else "higher", _interval(paired.mean, paired.interval)
            return (
                f"{a} is {self.model} than {b} by an unclear amount ({apart}), {side} at {alike} of {seeds}"
            )
        # Of a bound: the true difference is at least that of the numbers, and the interval is of theirs.
        least = "at least " if self.at_least else ""
        return f"{a} is {self.model} than {b} by {least}{_size(paired.mean, paired.interval)} over {seeds}"


def decide(
    paired: Paired, flip_holm: float | None, reach: float | None, a: tuple[Cell, str], b: tuple[Cell, str]
) -> Verdict:
    """Apply the rule to the numbers of two cells.

    Args:
        paired: ``a`` minus ``b`` over their common seeds.
        flip_holm: the p of the sign-flip test after Holm's correction; None if there was no test.
        reach: the lowest ``flip_holm`` that any differences over these seeds could have.
        a: a cell, and the name of its estimate.
        b: the cell that it is compared with, and the name of its estimate.
    """
    test = _test(paired, flip_holm, reach)
    if test == "no common seed":
        return Verdict(test, lower=None)
    lower = None if not paired.mean else paired.mean < 0
    kinds = [cell.bound(estimate) for cell, estimate in (a, b)]
    if None in kinds:  # no likelihood, such as the KL: neither direction is better
        return Verdict(test, lower)
    obstacle = _obstacle(a, b, lower)
    if obstacle in OF_DIRECTION and not _is_settled(test, paired):
        obstacle = ""
    if test != "significant" or obstacle or lower is None:
        return Verdict(test, lower, obstacle=obstacle)
    return Verdict(
        test,
        lower,
        model="better" if lower else "worse",
        at_least=kinds[0 if lower else 1] != "exact",
    )


def _test(paired: Paired, flip_holm: float | None, reach: float | None) -> Test:
    if not paired.seeds:
        return "no common seed"
    if paired.differences and not any(paired.differences):
        return "equal"
    if paired.too_large:
        return "too large"
    if flip_holm is not None and flip_holm <= ALPHA:
        return "significant"
    return "too few seeds" if reach is None or reach > ALPHA else "not significant"


def _is_settled(test: Test, paired: Paired) -> bool:
    """Whether the direction of a difference is significant, or that of all of too few seeds."""
    one_sign = min(paired.differences, default=0.0) > 0 or max(paired.differences, default=0.0) < 0
    return test == "significant" or (test == "too few seeds" and one_sign)


def _obstacle(a: tuple[Cell, str], b: tuple[Cell, str], lower: bool | None) -> Obstacle:
    """Say why two likelihoods decide nothing; ``lower``: whether that of ``a`` is the lower one."""
    kinds = [cell.bound(estimate) for cell, estimate in (a, b)]
    if "not a bound" in kinds:
        return "not a bound"
    if any(cell.averages[estimate].unreliable for cell, estimate in (a, b)):
        return "unreliable"
    unused = [cell for cell, _ in (a, b) if cell.unused_latent]
    if unused:
        return "collapsed" if any(cell.collapsed for cell in unused) else "annealing"
    exact = [kind == "exact" for kind in kinds]
    if not any(exact):
        return "two bounds"
    if all(exact) or lower is None or exact[1 if lower else 0]:
        return ""
    return "exact below bound" if exact[0] else "bound above exact"


def _size(mean: float, interval: Interval | None) -> str:
    """The size of a difference, with its interval in words: ± is the standard deviation elsewhere."""
    if interval is None:
        return f"{abs(mean):.{decimals(None)}f}"
    return f"{abs(mean):{_form(mean, interval)}} ({_interval(mean, interval)})"


def _interval(mean: float, interval: Interval) -> str:
    low, high = (interval.low, interval.high) if mean > 0 else (-interval.high, -interval.low)
    form = _form(mean, interval)
    return f"95%: {low:{form}} to {high:{form}}"


def _form(mean: float, interval: Interval) -> str:
    high = interval.high if mean > 0 else -interval.low
    return "z.3g" if high >= HUGE else f"z.{decimals(interval.half_width)}f"  # z: no -0.0
