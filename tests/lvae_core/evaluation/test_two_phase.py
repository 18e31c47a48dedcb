"""Two-phase estimates are unbiased, to the last digits: every sample that could have been drawn is drawn.

A systematic sample is a function of one uniform number, constant between the points at which one of the
cumulative probabilities is passed: an integral over it is a finite sum. A simple random sample is one of
finitely many subsets.
"""

import math
from collections.abc import Iterator
from itertools import combinations, pairwise

import numpy as np
import pytest
import torch

from lvae_core import rng, rough_scoring
from lvae_core.evaluation import likelihood as evaluate
from lvae_core.evaluation.likelihood import columns_of, sentence_statistics
from lvae_core.evaluation.two_phase import (
    corrected_log_mean_weight,
    corrected_mean,
    inclusion_probabilities,
    log_mean_weight,
    systematic_sample,
)

from .. import tiny

S, COUNT = 14, 5

LOG_WEIGHTS = {
    "like": np.linspace(-0.1, 0.1, S),
    "equal": np.zeros(S),
    "spread": np.random.default_rng(0).normal(-90, 2, S),
    "one has nearly all": np.array([0.0, *np.random.default_rng(1).normal(-40, 3, S - 1)]),
    "some cannot be": np.array([*np.random.default_rng(2).normal(0, 2, S - 4), *[-math.inf] * 4]),
}


def pieces(pi: np.ndarray) -> Iterator[tuple[float, float]]:
    """(start, length) of the stretches of [0, 1) on which the systematic sample by ``pi`` is the same."""
    order = np.argsort(-pi, kind="stable")
    passed = sorted({0.0, 1.0, *(math.fsum(pi[order[: k + 1]]) % 1.0 for k in range(len(pi)))})
    for low, high in pairwise(passed):
        if high - low > 1e-12:  # shorter intervals are rounding
            yield (low + high) / 2, high - low


def column(values: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(values).unsqueeze(1)


def by_bisection(weights: np.ndarray, count: int) -> np.ndarray:
    """min(1, c w) with the c for which they add up to ``count``."""
    low, high = 0.0, 1.0
    while np.minimum(1, high * weights).sum() < count:
        high *= 2
    for _ in range(2000):
        c = (low + high) / 2
        low, high = (c, high) if np.minimum(1, c * weights).sum() < count else (low, c)
    return np.minimum(1, high * weights)


@pytest.mark.parametrize("name", LOG_WEIGHTS)
def test_inclusion_probabilities_are_proportional_to_the_weights_up_to_one(name):
    log_weights = LOG_WEIGHTS[name]
    pi = inclusion_probabilities(column(log_weights), COUNT)[:, 0].numpy()
    expected = by_bisection(np.exp(log_weights - log_weights.max()), COUNT)
    np.testing.assert_allclose(pi, expected, rtol=1e-9, atol=1e-15)
    assert pi.sum() == pytest.approx(COUNT, rel=1e-14)


def test_columns_are_chosen_independently():
    together = torch.from_numpy(np.stack(list(LOG_WEIGHTS.values()), axis=1))
    pi = inclusion_probabilities(together, COUNT)
    starts = torch.linspace(0, 0.99, pi.shape[1], dtype=torch.float64)
    chosen = systematic_sample(pi, starts, COUNT)
    for b, log_weights in enumerate(LOG_WEIGHTS.values()):
        alone = inclusion_probabilities(column(log_weights), COUNT)
        torch.testing.assert_close(pi[:, b], alone[:, 0], rtol=1e-14, atol=0)
        assert torch.equal(chosen[:, b], systematic_sample(alone, starts[b : b + 1], COUNT)[:, 0])


@pytest.mark.parametrize("name", LOG_WEIGHTS)
def test_a_draw_is_chosen_as_often_as_its_probability_says_and_never_twice(name):
    pi = inclusion_probabilities(column(LOG_WEIGHTS[name]), COUNT)
    often = np.zeros(S)
    for start, length in [(0.0, 0.0), *pieces(pi[:, 0].numpy())]:
        chosen = systematic_sample(pi, torch.tensor([start], dtype=torch.float64), COUNT)[:, 0].numpy()
        assert chosen.shape == (COUNT,)
        assert len(set(chosen.tolist())) == COUNT
        often[chosen] += length
    np.testing.assert_allclose(often, pi[:, 0].numpy(), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("place", [0, 1], ids=["first", "second"])
def test_a_column_that_is_not_a_number_keeps_the_others_as_they_are(place):
    log_weights = column(LOG_WEIGHTS["like"]).repeat(1, 2)
    log_weights[:, place] = math.nan
    pi = inclusion_probabilities(log_weights, COUNT)
    starts = torch.tensor([0.3, 0.3], dtype=torch.float64)
    chosen = systematic_sample(pi, starts, COUNT)
    assert chosen.shape == (COUNT, 2)
    assert set(chosen.flatten().tolist()) <= set(range(S))
    alone = inclusion_probabilities(column(LOG_WEIGHTS["like"]), COUNT)
    assert torch.equal(chosen[:, 1 - place], systematic_sample(alone, starts[:1], COUNT)[:, 0])


@pytest.mark.parametrize("name", LOG_WEIGHTS)
@pytest.mark.parametrize("error", [0.0, 0.1, 3.0], ids=["rough = exact", "near", "useless"])
def test_the_mean_weight_is_unbiased_however_rough_the_rough_weights(name, error):
    exact = LOG_WEIGHTS[name]
    rough = exact + error * np.random.default_rng(3).normal(size=S)
    pi = inclusion_probabilities(column(rough), COUNT)
    values, lengths = [], []
    for start, length in pieces(pi[:, 0].numpy()):
        chosen = systematic_sample(pi, torch.tensor([start], dtype=torch.float64), COUNT)
        value, _ = log_mean_weight(column(exact).gather(0, chosen), pi.gather(0, chosen), S)
        values.append(float(value))
        lengths.append(length)
    top = exact.max()
    expected = math.fsum(np.exp(exact - top)) / S
    estimates = np.exp(np.array(values) - top)
    assert math.fsum(estimates * lengths) == pytest.approx(expected, rel=1e-11)
    if error == 0.0:
        # Weights in proportion to their chances: every sample gives the whole.
        np.testing.assert_allclose(estimates, expected, rtol=1e-12)
    elif name != "one has nearly all":
        assert estimates.std() > 0.01 * error * expected


@pytest.mark.slow  # the next test enumerates all choices
def test_the_variance_of_choosing_few_is_the_spread_of_what_is_chosen():
    """Over rough weights of every order: the variance formula is an approximation of the real one."""
    generator = np.random.default_rng(4)
    said, real = [], []
    for _ in range(100):
        exact = generator.normal(0, 1, 60)
        rough = exact + generator.normal(0, 0.3, 60)
        pi = inclusion_probabilities(column(rough), 12)
        values, variances, lengths = [], [], []
        for start, length in pieces(pi[:, 0].numpy()):
            chosen = systematic_sample(pi, torch.tensor([start], dtype=torch.float64), 12)
            value, variance = log_mean_weight(column(exact).gather(0, chosen), pi.gather(0, chosen), 60)
            values.append(float(value))
            variances.append(float(variance))
            lengths.append(length)
        mean = np.average(values, weights=lengths)
        real.append(np.average((np.array(values) - mean) ** 2, weights=lengths))
        said.append(np.average(variances, weights=lengths))
    assert np.mean(said) == pytest.approx(np.mean(real), rel=0.05)


def test_the_corrected_mean_and_its_variance_are_unbiased_over_all_subsets():
    generator = np.random.default_rng(5)
    exact = generator.normal(-80, 3, (8, 2))
    rough = exact + generator.normal(0.7, 0.5, (8, 2))
    found = []
    for subset in combinations(range(8), 3):
        chosen = torch.tensor(subset).unsqueeze(1).expand(3, 2)
        found.append(corrected_mean(torch.from_numpy(rough), chosen, torch.from_numpy(exact)[list(subset)]))
    means = np.array([mean.numpy() for mean, _ in found])
    np.testing.assert_allclose(means.mean(0), exact.mean(0), rtol=1e-13)
    assert means.std(0).min() > 0.05
    variances = np.array([variance.numpy() for _, variance in found])
    np.testing.assert_allclose(variances.mean(0), means.var(0), rtol=1e-11)


def chosen_by_three_plans(rough, other, exact, generator):
    """Draws chosen at random, by ``rough`` and by ``other``, for weights ``exact``: (value, variance)."""
    n = len(rough)
    plans = [torch.full((n, 1), COUNT / n, dtype=torch.float64)]
    plans += [inclusion_probabilities(column(log_w), COUNT) for log_w in (rough, other)]
    starts = torch.from_numpy(generator.uniform(size=(2, 1)))
    chosen = [torch.from_numpy(generator.permutation(n)[:COUNT]).unsqueeze(1)]
    chosen += [systematic_sample(pi, start, COUNT) for pi, start in zip(plans[1:], starts, strict=True)]
    every = torch.cat(chosen)
    often = sum(plans).gather(0, every)
    return corrected_log_mean_weight(column(rough), every, often, column(exact - rough).gather(0, every))


def test_the_mean_weight_by_draws_of_other_plans_has_the_error_that_is_said():
    generator = np.random.default_rng(7)
    errors, said = [], []
    for _ in range(2000):
        log_p, r = generator.normal(-90, 1, 60), generator.normal(0, 1, (2, 60))
        exact = log_p + generator.normal(0, 0.1, 60)  # of log p(x|z); the ratio is known
        value, variance = chosen_by_three_plans(log_p + r[0], log_p + r.sum(0), exact + r[0], generator)
        true = np.log(np.mean(np.exp(exact + r[0])))
        errors.append(float(value) - true)
        said.append(float(variance))
    assert abs(np.mean(errors)) < 4 * np.std(errors) / math.sqrt(2000) + 0.001
    # Three plans choose 15 of 60 and seldom the same draw: as if independent, the error is overstated.
    assert 1 < np.mean(said) / np.mean(np.square(errors)) < 2


def test_the_mean_weight_by_draws_of_other_plans_is_exact_for_exact_rough_weights():
    generator = np.random.default_rng(8)
    for log_weights in (w for w in LOG_WEIGHTS.values() if np.isfinite(w).all()):
        other = generator.normal(-90, 2, S)
        value, variance = chosen_by_three_plans(log_weights, other, log_weights, generator)
        top = log_weights.max()
        expected = math.log(math.fsum(np.exp(log_weights - top)) / S) + top
        assert float(value) == pytest.approx(expected, rel=1e-12, abs=1e-12)
        assert float(variance) == pytest.approx(0, abs=1e-20)


# --- through the model ---

V, DRAWS = 13, 10
SENTENCES = tiny.split([[3, 1, 5, 0], [2, 12, 6, 4, 1, 3, 0], [6, 0]])


@pytest.fixture
def _few_words(monkeypatch):
    monkeypatch.setattr(rough_scoring, "SHORTLIST", 4)


def statistics(system: str, exact: int, draws: int = DRAWS, seed: int = 0) -> dict[str, np.ndarray]:
    """Columns of the sentences' statistics, in float64, ``exact`` of the draws scored in full; 0: all."""
    config = tiny.config(
        system, num_samples=2, init_scale=1.5, iw_samples=draws, iw_exact_samples=exact, seed=seed,
        linear_bias=True, hidden_size=8, eval_batch_size=2,
    )  # fmt: skip
    model = tiny.double_model(config, V)
    rows = list(sentence_statistics(model, SENTENCES, config, split_name="test", samples=draws))
    return dict(zip(columns_of("test", config, None), torch.cat(rows).T.numpy(), strict=True))


CASES = [("lstm-vae", 6, 3), ("lstm-vae-avg", 9, 3), ("sa-vae", 6, 3)]
"""System, draws to score in full, of these for each estimate: a mean and one or two log-mean weights."""


@pytest.mark.usefixtures("_few_words")
@pytest.mark.parametrize(("system", "exact", "each"), CASES)
def test_the_importance_weighted_likelihood_is_unbiased(system, exact, each, monkeypatch):
    probabilities: list[torch.Tensor] = []

    def spy(log_weights, count):
        assert count == each
        probabilities.append(inclusion_probabilities(log_weights, count))
        return probabilities[-1]

    monkeypatch.setattr(evaluate, "inclusion_probabilities", spy)
    statistics(system, exact)
    names = ("nll_iw", "nll_iw_joint") if system == "lstm-vae-avg" else ("nll_iw",)
    # Two batches, of two sentences and one; of each the two kinds of weights after each other.
    halves = probabilities[: len(names)], probabilities[len(names) :]
    pis = [[half[k][:, b] for half in halves for b in range(half[k].shape[1])] for k in range(len(names))]
    whole = statistics(system, 0)
    order = [2, 0, 1]  # by rising length, as they are evaluated
    for k, name in enumerate(names):
        plans = [list(pieces(pi.numpy())) for pi in pis[k]]
        means = np.zeros(3)
        spread = []
        for turn in range(max(map(len, plans))):
            starts = {order[b]: plan[turn % len(plan)][0] for b, plan in enumerate(plans)}

            def start(seed, stream, split, index, kind, number, starts=starts):
                assert (stream, split, kind) == ("evaluation", "test", "weight")
                return starts[index]

            monkeypatch.setattr(rng, "uniform", start)
            nll = statistics(system, exact)[name]
            for b, plan in enumerate(plans):
                if turn < len(plan):
                    means[b] += plan[turn][1] * np.exp(-nll[b])
            spread.append(nll)
        np.testing.assert_allclose(means, np.exp(-whole[name]), rtol=1e-10)
        assert np.std(spread, axis=0).min() > 1e-4, "the start has a say"


@pytest.mark.usefixtures("_few_words")
@pytest.mark.parametrize(
    ("system", "exact", "each"),
    [CASES[0], *(pytest.param(*case, marks=pytest.mark.slow) for case in CASES[1:])],
)
def test_the_elbo_is_unbiased(system, exact, each, monkeypatch):
    found = []
    for subset in combinations(range(DRAWS), each):
        rest = [s for s in range(DRAWS) if s not in subset]
        monkeypatch.setattr(rng, "permutation", lambda *key, size, o=(*subset, *rest): np.array(o))
        found.append(statistics(system, exact)["nll_elbo"])
    np.testing.assert_allclose(np.mean(found, axis=0), statistics(system, 0)["nll_elbo"], rtol=1e-12)
    assert np.std(found, axis=0).min() > 1e-4


@pytest.mark.usefixtures("_few_words")
def test_standard_errors_are_calibrated(monkeypatch):
    """Against all draws in full: over many models the squares add up to the variances of choosing."""
    said = {"nll_elbo": 0.0, "nll_iw": 0.0}

    def spy(name, estimate):
        def estimated(*arguments):
            value, variance = estimate(*arguments)
            said[name] += float(variance.sum())
            return value, variance

        return estimated

    monkeypatch.setattr(evaluate, "corrected_mean", spy("nll_elbo", corrected_mean))
    monkeypatch.setattr(evaluate, "log_mean_weight", spy("nll_iw", log_mean_weight))
    found, reported = dict.fromkeys(said, 0.0), 0.0
    for seed in range(30):
        few, full = statistics("lstm-vae", 24, 60, seed), statistics("lstm-vae", 0, 60, seed)
        for name, variance in (("nll_elbo", "elbo_var"), ("nll_iw", "iw_var")):
            error = few[name] - full[name]
            found[name] += (error**2).sum()
            assert (np.abs(error) < 2 * np.sqrt(few[variance])).all()
            assert (few["kl"] == full["kl"]).all()
        reported += (few["elbo_var"] - full["elbo_var"]).sum()
    for name in said:
        assert 0.8**2 < found[name] / said[name] < 1.25**2
    # What is reported has the variance of choosing in addition to that of the draws.
    assert 0.8**2 < reported / said["nll_elbo"] < 1.25**2


@pytest.mark.usefixtures("_few_words")
def test_one_more_reading_and_the_diagnostics_are_near_those_of_full_scores():
    """The third reading is from draws chosen for the other two; the diagnostics are of rough weights."""
    score, differences = [], []
    for seed in range(20):
        few, full = (statistics("lstm-vae-avg", exact, 60, seed) for exact in (24, 0))
        score.append((few["nll_iw_one"] - full["nll_iw_one"]) ** 2 / few["iw_one_var"])
        for name in ("iw", "iw_joint", "iw_one"):
            assert (few[f"{name}_jackknife"] >= few[f"{name}_var"] * 0.99).all()
            np.testing.assert_allclose(few[f"{name}_ess"], full[f"{name}_ess"], rtol=0.5)
            differences.append(few[f"{name}_khat"] - full[f"{name}_khat"])
    assert np.mean(score) < 1
    # Rough scores from 4 of 13 words; in use they are from 256 of 10,000 and nearer.
    assert np.mean(np.abs(differences)) < 0.1
    assert abs(np.mean(differences)) < 0.03


@pytest.mark.usefixtures("_few_words")
def test_two_phases_are_used_only_if_the_list_is_short_for_the_vocabulary(monkeypatch):
    two, full = statistics("lstm-vae", 6), statistics("lstm-vae", 0)
    assert (two["nll_iw"] != full["nll_iw"]).all()
    monkeypatch.setattr(rough_scoring, "SHORTLIST", 7)
    np.testing.assert_array_equal(statistics("lstm-vae", 6)["nll_iw"], full["nll_iw"])
