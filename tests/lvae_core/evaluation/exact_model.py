"""A model whose log p(x) is known: four classes, one latent dimension, quadrature; and its estimates."""

import math
from dataclasses import replace
from functools import cache

import torch

from lvae_core.evaluation.likelihood import columns_of, likelihood_estimates, sentence_statistics

from .. import tiny
from ..oracles import quadrature

CLASSES = 4
SENTENCES = [[1, 3, 2, 0], [0], [2, 2, 0], [3, 1, 1, 2, 0], [1, 0]]
TOKENS = sum(map(len, SENTENCES))
SIZES = {"latent_size": 1, "hidden_size": 3, "embedding_size": 2, "dropout": 0.0}
RULE = quadrature.trapezoid(241)
CASES = [(s, t) for s in ("lstm-vae", "lstm-vae-avg") for t in tiny.SETTINGS]


@cache
def model_of(system, setting="standard", scale=1.5, seed=4):
    """A model whose posteriors are far from the prior and from each other, and its config.

    They are no narrower than the prior's half variance: importance weights would else have no variance
    that a standard error could estimate.
    """
    config = tiny.config(system, setting=setting, init_scale=scale, seed=seed, num_samples=2, **SIZES)
    model = tiny.double_model(config, CLASSES)
    with torch.no_grad():
        for parameter in model.encoder.parameters():
            parameter.mul_(2.0 / scale)
        model.encoder.to_mean.weight.mul_(2.0)
    return model, config


def frozen(model):
    return {name: value.detach() for name, value in tiny.parameters(model).items()}


@cache
def truth(system, setting):
    model, _ = model_of(system, setting)
    group = 2 if system == "lstm-vae-avg" else 1
    hide = setting == "inputless"
    p = frozen(model)
    return [quadrature.exact(p, words, group=group, hide=hide, rule=RULE) for words in SENTENCES]


def mean(values):
    return math.fsum(values) / len(SENTENCES)


def statistics(model, config, samples, *, sentences=SENTENCES, seed=0, split_name="test", unknown=None):
    """Rows in the order of ``sentences``, as a dictionary of columns."""
    split = tiny.split(sentences)
    config = replace(config, seed=seed)
    parts = sentence_statistics(
        model, split, config, split_name=split_name, samples=samples, unknown=unknown
    )
    rows = torch.cat(list(parts))
    order = sorted(range(len(sentences)), key=lambda i: len(sentences[i]))  # shorter ones come first
    unsorted = torch.empty_like(rows)
    unsorted[order] = rows
    names = columns_of(split_name, config, unknown)
    return dict(zip(names, unsorted.unbind(1), strict=True)), rows


def estimates(model, config, samples, *, sentences=SENTENCES, seed=0, unknown=None):
    _, rows = statistics(model, config, samples, sentences=sentences, seed=seed, unknown=unknown)
    names = columns_of("test", config, unknown)
    return likelihood_estimates(rows, sum(map(len, sentences)), config, names)


def assert_within(entry, expected, errors=4.0):
    assert abs(entry["value"] - expected) < errors * entry["stderr"], (entry, expected)


def variance(values):
    centre = sum(values) / len(values)
    return sum((value - centre) ** 2 for value in values) / (len(values) - 1)
