"""The estimates under von Mises-Fisher posteriors on a circle, against integrals over its angle."""

import math
from dataclasses import replace
from functools import cache

import pytest
import torch
from scipy import special

from lvae_core.evaluation.latent import latent_estimates

from .. import tiny
from ..oracles import hand_model
from .exact_model import CLASSES, SENTENCES, assert_within, estimates, frozen, mean, variance

KAPPA = 3.0
NODES = 400
"""Evenly spaced angles, for which the rule of equal weights is exact to float64 here."""


def circle(nodes=NODES):
    angle = torch.arange(nodes, dtype=torch.float64) * (2 * math.pi / nodes)
    return torch.stack([angle.cos(), angle.sin()], dim=-1)


@cache
def model_of(setting):
    """A model whose decoder depends much on z, and whose posteriors point in different directions."""
    config = tiny.config(
        "lstm-vmf-vae",
        setting=setting,
        **{"latent_size": 2, "hidden_size": 3, "embedding_size": 2, "dropout": 0.0},
        **{"init_scale": 1.5, "seed": 5, "num_samples": 1, "vmf_kappa": KAPPA},
    )
    return tiny.double_model(config, CLASSES), config


def log_q(mu, z):
    """log q(z|x) relative to the uniform density 1/2π, where M = I_0(κ)."""
    return KAPPA * z @ mu - math.log(special.iv(0, KAPPA))


def exact(p, words, *, hide, nodes=NODES):
    """−log p(x), KL and −ELBO of one sentence, nats."""
    z = circle(nodes)
    log_p = hand_model.log_p(p, hand_model.states(p, words, z, hide=hide), words)
    density = log_q(hand_model.direction(p, words), z)
    kl = float((density.exp() * density).mean())
    nll = math.log(nodes) - float(log_p.logsumexp(0))
    return nll, kl, kl - float((density.exp() * log_p).mean())


def information(p, sentences):
    """I_q(x; z) of the sentences' posteriors, nats."""
    z = circle()
    rows = torch.stack([log_q(hand_model.direction(p, words), z) for words in sentences])
    aggregated = rows.logsumexp(0) - math.log(len(rows))
    return float((rows.exp() * (rows - aggregated)).mean())


@pytest.mark.parametrize("setting", tiny.SETTINGS)
def test_the_integrals_have_converged_and_differ_visibly(setting):
    p = frozen(model_of(setting)[0])
    hide = setting == "inputless"
    values = [exact(p, words, hide=hide) for words in SENTENCES]
    coarse = [exact(p, words, hide=hide, nodes=NODES // 2) for words in SENTENCES]
    for value, other in zip(values, coarse, strict=True):
        assert value == pytest.approx(other, abs=1e-12)
    assert mean([elbo - nll for nll, _, elbo in values]) > 0.1


@pytest.mark.parametrize("setting", tiny.SETTINGS)
def test_the_bounds_converge_to_the_integrals(setting):
    model, config = model_of(setting)
    p = frozen(model)
    values = [exact(p, words, hide=setting == "inputless") for words in SENTENCES]
    nll, kl, elbo = (mean(column) for column in zip(*values, strict=True))
    found = estimates(model, config, samples=4000)
    assert_within(found["nll_iw"], nll)
    assert_within(found["nll_elbo"], elbo)
    assert found["kl"] == {"value": pytest.approx(kl, rel=1e-9)}
    for name in ("nll_iw", "nll_elbo"):
        assert elbo - nll > 10 * found[name]["stderr"], name


def test_the_mutual_information_is_the_integral():
    model, config = model_of("standard")
    expected = information(frozen(model), SENTENCES)
    found = latent_estimates(model, tiny.split(SENTENCES), replace(config, mi_samples=3000))["mi"]
    assert_within(found, expected)
    assert expected > 20 * found["stderr"]


@pytest.mark.parametrize(("bias", "active"), [(5.0, 0), (0.5, 1), (0.0, 2)])
def test_active_units_are_the_components_of_the_direction_that_vary(bias, active):
    """With a bias towards (1, 0), the directions vary less, and first of all in their first component."""
    config = replace(model_of("standard")[1], linear_bias=True)
    model = tiny.double_model(config, CLASSES)
    with torch.no_grad():
        model.encoder.to_mean.bias.copy_(torch.tensor([bias, 0.0]))
    p = frozen(model)
    directions = [hand_model.direction(p, words) for words in SENTENCES]
    varying = [variance([float(mu[k]) for mu in directions]) > 0.01 for k in (0, 1)]
    assert sum(varying) == active
    assert latent_estimates(model, tiny.split(SENTENCES), config)["au"] == {"value": active}
