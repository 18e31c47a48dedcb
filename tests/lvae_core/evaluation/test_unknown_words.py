"""What unknown words cost: word by word by hand, and what is left as a bound on that of the known ones."""

import math
from dataclasses import replace
from functools import cache

import pytest
import torch

from lvae_core import rng, rough_scoring
from lvae_core.evaluation.likelihood import COLUMNS, UNKNOWN_COLUMNS, columns_of

from .. import tiny
from ..oracles import hand_model, noise, quadrature
from .exact_model import (
    CASES,
    CLASSES,
    RULE,
    SENTENCES,
    estimates,
    frozen,
    mean,
    model_of,
    statistics,
    variance,
)

UNKNOWN = 2
"""A class that stands twice in one sentence, once in two, and not at all in two."""


def cost_by_hand(p, states, words, *, of_unknown=True):
    """-log p of the words of the class, or of all others: (...,)."""
    chosen = [(h, w) for h, w in zip(states, words, strict=True) if (w == UNKNOWN) == of_unknown]
    if not chosen:
        return torch.zeros(states[0].shape[:-1], dtype=torch.float64)
    return -hand_model.log_p(p, *zip(*chosen, strict=True))


def averaged(p, words, group, *, hide):
    """The decoder's states for a group of samples, averaged: Eq. 7."""
    paths = [hand_model.states(p, words, z, hide=hide) for z in group]
    return [sum(path[t] for path in paths) / len(paths) for t in range(len(words))]


@pytest.mark.parametrize(("system", "setting"), CASES)
def test_it_is_the_sum_over_unknown_words_under_the_documented_noise(system, setting):
    model, config = model_of(system, setting)
    S, seed, G = 6, 12, 2 if system == "lstm-vae-avg" else 1
    p = frozen(model)
    columns, _ = statistics(model, config, S, seed=seed, unknown=UNKNOWN)
    for i, words in enumerate(SENTENCES):
        mu, log_variance = hand_model.posterior(p, words)
        sigma = math.exp(float(log_variance) / 2)
        epsilon = noise.normal(seed, "evaluation", "test", i, size=(S, G, 1))
        costs = []
        for s in range(S):
            group = [mu + sigma * epsilon[s, g] for g in range(G)]
            states = averaged(p, words, group, hide=setting == "inputless")
            costs.append(float(cost_by_hand(p, states, words)))
        found = [float(columns[name][i]) for name in UNKNOWN_COLUMNS]
        assert found == pytest.approx([sum(costs) / S, variance(costs) / S], rel=1e-10, abs=1e-30)


@pytest.mark.parametrize("setting", tiny.SETTINGS)
def test_of_a_language_model_it_is_exact(setting):
    config = tiny.config("lstm-lm", setting=setting, init_scale=1.5, hidden_size=3, embedding_size=2)
    model = tiny.double_model(config, CLASSES)
    p = frozen(model)
    states = [hand_model.states(p, w, None, hide=setting == "inputless") for w in SENTENCES]
    costs = [float(cost_by_hand(p, h, w)) for h, w in zip(states, SENTENCES, strict=True)]
    found = estimates(model, config, 1, unknown=UNKNOWN)
    assert found.keys() == {"nll", "ppl", "unknown_words"}
    assert found["unknown_words"] == {"value": pytest.approx(mean(costs), rel=1e-11)}
    assert 0 < mean(costs) < found["nll"]["value"]


@cache
def known_words(system, setting):
    """The exact values of the known words alone, by quadrature, for each sentence."""
    model, _ = model_of(system, setting)
    p, found = frozen(model), []
    for words in SENTENCES:
        path = hand_model.states(p, words, RULE.z.unsqueeze(-1), hide=setting == "inputless")
        if system == "lstm-vae-avg":
            path = [(h.unsqueeze(0) + h.unsqueeze(1)) / 2 for h in path]
        table = -cost_by_hand(p, path, words, of_unknown=False)
        found.append(quadrature.exact_from_table(table, *map(float, hand_model.posterior(p, words)), RULE))
    return found


@pytest.mark.parametrize(("system", "setting"), CASES)
def test_without_it_the_elbo_bounds_the_known_words_given_the_unknown_ones(system, setting):
    model, config = model_of(system, setting)
    found = estimates(model, config, 2000, unknown=UNKNOWN)
    name = "nll_joint" if system == "lstm-vae-avg" else "nll_elbo"
    left = found[name]["value"] - found["unknown_words"]["value"]
    error = found[name]["stderr"] + found["unknown_words"]["stderr"]
    exact = known_words(system, setting)
    assert abs(left - mean([e.nll_joint for e in exact])) < 3 * error
    assert left > mean([e.nll for e in exact])


def test_rough_scores_leave_it_to_the_draws_that_are_chosen_for_the_mean(monkeypatch):
    monkeypatch.setattr(rough_scoring, "SHORTLIST", 1)  # so that scores over four classes can be rough
    model, config = model_of("lstm-vae")
    S, seed = 10, 3
    chosen, _ = statistics(model, replace(config, iw_exact_samples=6), S, seed=seed, unknown=UNKNOWN)
    p = frozen(model)
    for i, words in enumerate(SENTENCES):
        mu, log_variance = hand_model.posterior(p, words)
        epsilon = noise.normal(seed, "evaluation", "test", i, size=(S, 1, 1))[:, 0]
        z = mu + torch.exp(log_variance / 2) * epsilon
        costs = cost_by_hand(p, hand_model.states(p, words, z, hide=False), words)
        # Half of six, in the order of the mean's own permutation.
        first = rng.permutation(seed, "evaluation", "test", i, "mean", size=S)[:3]
        values = costs[torch.from_numpy(first)].tolist()
        found = [float(chosen[name][i]) for name in UNKNOWN_COLUMNS]
        assert found == pytest.approx([sum(values) / 3, variance(values) / 3], rel=1e-10, abs=1e-30)


def test_only_a_test_split_with_an_unknown_class_has_it():
    for system in ("lstm-lm", "lstm-vae", "lstm-vae-avg", "sa-vae"):
        config = tiny.config(system)
        assert columns_of("valid", config, UNKNOWN) == COLUMNS
        without = columns_of("test", config, None)
        assert columns_of("test", config, UNKNOWN) == (*without, *UNKNOWN_COLUMNS)
        # The class of number 0 is one, too.
        assert columns_of("test", config, 0) == (*without, *UNKNOWN_COLUMNS)
    model, config = model_of("lstm-vae")
    with_it, without = (estimates(model, config, 5, unknown=u) for u in (UNKNOWN, None))
    del with_it["unknown_words"]
    assert with_it == without
