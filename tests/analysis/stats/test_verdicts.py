"""The rule for claims: every kind of pair of numbers against a table of conclusions made by hand."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from analysis.stats.average import average
from analysis.stats.cells import Cell, Counts
from analysis.stats.paired import Paired, compare
from analysis.stats.verdicts import REASONS, RULE, Verdict, decide
from lvae_core.run_folder.estimates import Bound

Kind = Bound | None

ESTIMATES: dict[Kind, tuple[str, str, str, int]] = {
    "exact": ("nll", "lstm-lm", "none", 0),
    "upper bound": ("nll_elbo", "lstm-vae", "loss", 1),
    "upper bound in expectation": ("nll_iw", "lstm-vae", "loss", 1),
    "not a bound": ("nll_elbo", "lstm-vae-avg", "hidden", 5),
}


def cell(
    kind: Kind, *, mi: float | None = 2.0, khat_above: float | None = None, beta: float | None = None
) -> tuple[Cell, str]:
    estimate, system, averaging, L = ESTIMATES[kind]
    number = average(np.arange(2), np.array([99.0, 101.0]), np.full(2, np.nan))
    averages = {estimate: replace(number, khat_above=khat_above)}
    if mi is not None and averaging != "none":
        averages["mi"] = replace(number, mean=mi, values=(mi, mi))
    found = Cell(
        "toy", system, L, "standard", "", averaging, Counts(done=2), averages, tested_kl_weight=beta
    )
    assert found.bound(estimate) == kind
    return found, estimate


def differences(mean: float, n: int, *, mixed: bool = False) -> Paired:
    """n differences of one sign, or of both signs around their mean."""
    values = {seed: mean * (1 if not mixed else (-3) ** (seed % 2)) for seed in range(n)}
    return compare(values, dict.fromkeys(values, 0.0), np.random.default_rng(0))


def verdict(paired: Paired, a: tuple[Cell, str], b: tuple[Cell, str], family: int = 1) -> Verdict:
    """The verdict in a family of comparisons of which this has the smallest p."""
    flip, reach = (None if p is None else min(1.0, family * p) for p in (paired.flip_p, paired.smallest_p))
    return decide(paired, flip, reach, a, b)


EXACT, BOUND, EXPECTED, NONE = ESTIMATES
WORDS = {
    # Kinds of a and b -> the verdict if a is lower, and if a is higher.
    (EXACT, EXACT): ("better", "worse"),
    (EXACT, BOUND): ("undecided: exact below bound", "worse (at least)"),
    (EXACT, EXPECTED): ("undecided: exact below bound", "worse (at least)"),
    (BOUND, EXACT): ("better (at least)", "undecided: bound above exact"),
    (EXPECTED, EXACT): ("better (at least)", "undecided: bound above exact"),
    **dict.fromkeys(itertools.product((BOUND, EXPECTED), repeat=2), ("undecided: two bounds",) * 2),
    **dict.fromkeys(
        [pair for pair in itertools.product(ESTIMATES, repeat=2) if NONE in pair],
        ("undecided: not a bound",) * 2,
    ),
}


@pytest.mark.parametrize("n", [1, 2, 8])
@pytest.mark.parametrize("lm", [100.0, -1e308])
def test_differences_too_large_for_a_number_conclude_nothing(n: int, lm: float) -> None:
    huge = dict.fromkeys(range(n), 1e308)
    paired = compare(huge, dict.fromkeys(huge, lm), np.random.default_rng(0))
    found = verdict(paired, cell(EXACT), cell(EXACT))
    if n == 1 and lm == 100.0:  # one number is as good as any other one
        assert found.words == "too few seeds"
        return
    assert (paired.std, paired.interval, paired.t_p, paired.flip_p, paired.smallest_p) == (None,) * 5
    assert paired.too_large
    assert (found.words, found.model, found.needs_seeds) == ("undecided: too large", "", False)
    said = found.sentence("A", "B", paired)
    assert said.startswith("no conclusion, the numbers of ")
    assert said.endswith(" are too large to be compared")


def test_one_huge_seed_among_many_concludes_nothing() -> None:
    values = {seed: 1e308 if seed == 3 else 102.0 for seed in range(8)}
    paired = compare(values, dict.fromkeys(values, 100.0), np.random.default_rng(0))
    assert verdict(paired, cell(EXACT), cell(EXACT)).words == "undecided: too large"
    assert paired.below_paired == 0.0


@pytest.mark.parametrize(("kinds", "words"), WORDS.items())
def test_what_follows_from_each_pair_of_kinds(kinds: tuple[Kind, Kind], words: tuple[str, str]) -> None:
    sides = cell(kinds[0]), cell(kinds[1])
    assert tuple(verdict(differences(mean, 8), *sides).words for mean in (-2.0, 2.0)) == words
    for n, mixed in itertools.product((1, 2, 5, 8), (False, True)):
        for mean, word in zip((-2.0, 2.0), words, strict=True):
            found = verdict(differences(mean, n, mixed=mixed), *sides)
            lasting = word in ("undecided: two bounds", "undecided: not a bound")
            if lasting or (word.startswith("undecided") and (n == 1 or not mixed)):
                assert (found.words, found.model, found.needs_seeds) == (word, "", False)
            # Six differences of one sign are the fewest with p <= 0.05: 2 of 64 flips.
            elif n < 6:
                assert (found.words, found.model, found.needs_seeds) == ("too few seeds", "", True)
            elif mixed:
                assert (found.words, found.model, found.needs_seeds) == ("not significant", "", False)


def test_every_pair_of_kinds_is_in_the_table() -> None:
    assert set(WORDS) == set(itertools.product(ESTIMATES, repeat=2))


def test_the_correction_for_many_comparisons_raises_the_seeds_that_are_needed() -> None:
    sides = cell(BOUND), cell(EXACT)
    # 2 of 256 flips, times 6 comparisons, is 0.047; times 7 it is 0.055.
    assert verdict(differences(-2.0, 8), *sides, family=6).words == "better (at least)"
    assert verdict(differences(-2.0, 8), *sides, family=7).words == "too few seeds"


def test_seeds_are_not_said_to_be_lacking_if_the_reason_is_another() -> None:
    """Three seeds: z unused, an unreliable number, or a bound above an exact number at every seed."""
    above, below = differences(2.0, 3), differences(-2.0, 3)
    for paired, a, word in (
        (above, cell(BOUND, mi=0.0), "collapsed"),
        (below, cell(BOUND, mi=0.0, beta=0.2), "annealing"),
        (below, cell(EXPECTED, khat_above=0.5), "unreliable"),
        (above, cell(BOUND), "bound above exact"),
    ):
        found = verdict(paired, a, cell(EXACT))
        assert (found.words, found.needs_seeds) == (f"undecided: {word}", False)
        assert "seed" not in found.sentence("a", "b", paired)
    # The bound is lower at one seed and higher at two, and may turn out to be lower.
    assert verdict(differences(2.0, 3, mixed=True), cell(BOUND), cell(EXACT)).needs_seeds


@pytest.mark.parametrize("kinds", WORDS)
def test_equal_numbers_are_called_equal(kinds: tuple[Kind, Kind]) -> None:
    for n in (1, 2, 8):
        paired = differences(0.0, n)
        found = verdict(paired, cell(kinds[0]), cell(kinds[1]))
        assert (found.words, found.model) == ("equal", "")
        assert found.sentence("a", "b", paired).endswith("are equal")


def test_a_collapsed_posterior_supports_no_claim() -> None:
    for mi, words in ((0.099, "undecided: collapsed"), (0.1, "better (at least)")):
        assert verdict(differences(-2.0, 8), cell(BOUND, mi=mi), cell(EXACT)).words == words
    assert verdict(differences(2.0, 8), cell(EXACT), cell(BOUND, mi=0.0)).words == "undecided: collapsed"


def test_an_unused_latent_variable_within_annealing_supports_no_claim_and_is_no_collapse() -> None:
    annealing, collapsed = cell(BOUND, mi=0.0, beta=0.2), cell(BOUND, mi=0.0)
    assert verdict(differences(-2.0, 8), annealing, cell(EXACT)).words == "undecided: annealing"
    for pair in ((annealing, collapsed), (collapsed, annealing)):
        assert verdict(differences(-2.0, 8), *pair).words == "undecided: collapsed"
    used = cell(BOUND, mi=0.1, beta=0.2)
    assert verdict(differences(-2.0, 8), used, cell(EXACT)).words == "better (at least)"


def test_an_unreliable_number_supports_no_claim() -> None:
    for share, words in ((0.06, "undecided: unreliable"), (0.05, "better (at least)")):
        assert verdict(differences(-2.0, 8), cell(EXPECTED, khat_above=share), cell(EXACT)).words == words


def test_a_number_that_is_no_likelihood_is_lower_or_higher_and_never_better() -> None:
    found = average(np.arange(2), np.array([1.0, 2.0]), np.full(2, np.nan))
    of_kl = replace(cell(BOUND)[0], averages={"kl": found}), "kl"
    for mean, word in ((-2.0, "lower"), (2.0, "higher")):
        assert verdict(differences(mean, 8), of_kl, of_kl).words == word


def test_sentences_state_the_size_and_whether_it_is_a_least_one() -> None:
    paired = differences(-2.6, 8)
    below = verdict(paired, cell(BOUND), cell(EXACT)).sentence("b", "a", paired)
    assert below == "b is better than a by at least 2.6 (95%: 2.6 to 2.6) over 8 common seeds"
    exact = verdict(paired, cell(EXACT), cell(EXACT)).sentence("b", "a", paired)
    assert exact == "b is better than a by 2.6 (95%: 2.6 to 2.6) over 8 common seeds"
    for kinds in WORDS:
        found = verdict(paired, cell(kinds[0]), cell(kinds[1]))
        if not found.model:
            assert found.sentence("b", "a", paired) == f"no conclusion, {REASONS[found.obstacle]}"


def test_a_size_is_called_unclear_if_its_interval_includes_0() -> None:
    """The sign-flip test can be significant where the t interval is wide: one seed lies far off."""
    # All of one sign, so p = 2/64. The mean is 7.58/6 = 1.263 and the std 2.811 by hand; t of 5 is 2.571.
    values = dict(enumerate([-0.1, -0.12, -0.11, -0.13, -0.1, -7.02]))
    zeros = dict.fromkeys(values, 0.0)
    below, above = (compare(*pair, np.random.default_rng(0)) for pair in ((values, zeros), (zeros, values)))
    for paired, sides, (model, side) in (
        (below, (cell(BOUND), cell(EXACT)), ("better", "lower")),
        (above, (cell(EXACT), cell(BOUND)), ("worse", "higher")),
    ):
        assert verdict(paired, *sides).sentence("b", "a", paired) == (
            f"b is {model} than a by an unclear amount (95%: -1.7 to 4.2), {side} at 6 of 6 common seeds"
        )


@pytest.mark.parametrize("sign", [1, -1])
def test_no_end_of_an_interval_is_minus_zero(sign: int) -> None:
    # All of one sign, so p = 2/64. The mean is 15.2/6 = 2.533 and the std 2.442 by hand; t of 5 is
    # 2.571, so the interval begins at -0.03.
    values = {seed: sign * value for seed, value in enumerate([0.5, 1.0, 1.5, 2.0, 3.0, 7.2])}
    paired = compare(values, dict.fromkeys(values, 0.0), np.random.default_rng(0))
    said = verdict(paired, cell(EXACT), cell(EXACT)).sentence("b", "a", paired)
    assert "by an unclear amount (95%: 0.0 to 5.1)" in said


def test_the_rule_in_words_names_its_conditions() -> None:
    for word in ("common seeds", "Holm", "exact", "bound", "unreliable", "collapsed", "sign-flip"):
        assert word in RULE
