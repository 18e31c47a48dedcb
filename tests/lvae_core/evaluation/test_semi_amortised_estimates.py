"""Estimates under semi-amortised inference: at the posteriors that the steps by hand reach."""

import math
from dataclasses import replace
from functools import cache

import pytest
import torch

from lvae_core.evaluation.latent import latent_estimates
from lvae_core.evaluation.likelihood import AMORTISED_COLUMNS, COLUMNS

from .. import tiny
from ..oracles import hand_model, noise
from .exact_model import (
    CLASSES,
    SENTENCES,
    assert_within,
    estimates,
    frozen,
    model_of,
    statistics,
    truth,
    variance,
)
from .test_latent import information_by_integration

STEPS = {"svi_steps": 4, "svi_step_size": 8.0}


@cache
def semi_amortised(setting="standard", **fields):
    """The exact model, with semi-amortised inference."""
    model, config = model_of("lstm-vae", setting)
    config = replace(config, system="sa-vae", inference="semi_amortised", **{**STEPS, **fields})
    found = tiny.double_model(config, CLASSES)
    found.load_state_dict(model.state_dict())
    return found, config


def steps_by_hand(p, words, key, *, hide):
    """(μ, log σ²) of a sentence after the steps, β = 1 and without dropout."""
    place = [value.detach() for value in hand_model.posterior(p, words)]
    speed = [torch.zeros(1, dtype=torch.float64)] * 2
    for k in range(STEPS["svi_steps"]):
        mean, log_variance = (value.clone().requires_grad_() for value in place)
        z = mean + torch.exp(log_variance / 2) * noise.normal(*key, "inference", k, size=(1, 1, 1))[0, 0]
        states = hand_model.states(p, words, z, hide=hide)
        cost = hand_model.kl(mean, log_variance) - hand_model.log_p(p, states, words)
        gradient = torch.autograd.grad(cost, [mean, log_variance])
        speed = [0.5 * v - g for v, g in zip(speed, gradient, strict=True)]
        place = [x + STEPS["svi_step_size"] / 32 * v for x, v in zip(place, speed, strict=True)]
    return place


@pytest.mark.parametrize("setting", tiny.SETTINGS)
@pytest.mark.parametrize("exact_samples", [0, 6])
def test_statistics_are_those_of_the_posterior_after_the_steps_by_hand(setting, exact_samples):
    S, seed, hide = 8, 12, setting == "inputless"
    model, config = semi_amortised(setting, iw_exact_samples=exact_samples)
    p = frozen(model)
    columns, _ = statistics(model, config, S, seed=seed)
    for i, words in enumerate(SENTENCES):
        key = (seed, "evaluation", "test", i)
        epsilon = noise.normal(*key, size=(S, 1, 1))[:, 0]

        def scores(mean, log_variance, epsilon=epsilon, words=words):
            z = mean + torch.exp(log_variance / 2) * epsilon
            log_p = hand_model.log_p(p, hand_model.states(p, words, z, hide=hide), words)
            ratio = 0.5 * (epsilon**2 + log_variance - z**2).sum(-1)
            return log_p, torch.exp(log_p + ratio)

        after = steps_by_hand(p, words, key, hide=hide)
        log_p, weights = (values.tolist() for values in scores(*after))
        before = hand_model.posterior(p, words)
        first = scores(*before)[0].tolist()[: exact_samples or S]
        kl, kl_before = (float(hand_model.kl(*q)) for q in (after, before))
        expected = {
            "kl": kl,
            "nll_elbo": kl - sum(log_p) / S,
            "elbo_var": variance(log_p) / S,
            "nll_iw": -math.log(sum(weights) / S),
            "iw_var": variance(weights) / (sum(weights) / S) ** 2 / S,
            "nll_elbo_amortised": kl_before - sum(first) / len(first),
            "elbo_amortised_var": variance(first) / len(first),
        }
        assert {name: float(columns[name][i]) for name in expected} == pytest.approx(expected, rel=1e-9)
        assert abs(kl - kl_before) > 1e-3


def test_the_importance_weighted_estimate_is_a_bound_under_any_posterior():
    model, config = semi_amortised()
    found = estimates(model, config, samples=4000)
    exact = truth("lstm-vae", "standard")
    assert_within(found["nll_iw"], sum(e.nll for e in exact) / len(exact))
    # Before the steps it is the ELBO of LSTM-VAE.
    assert_within(found["nll_elbo_amortised"], sum(e.nll_elbo for e in exact) / len(exact))
    assert found["nll_elbo"]["value"] < found["nll_elbo_amortised"]["value"]


def test_mutual_information_is_of_the_posteriors_after_the_steps():
    _, config = semi_amortised(mi_samples=2000)
    model = tiny.double_model(config, CLASSES)
    model.load_state_dict(model_of("lstm-vae")[0].state_dict())
    with torch.no_grad():
        model.encoder.to_mean.weight.mul_(5.0)  # apart, so that there is much information
    p = frozen(model)
    before = [hand_model.posterior(p, words) for words in SENTENCES]
    after = [
        steps_by_hand(p, words, (config.seed, "evaluation", "mi", i), hide=False)
        for i, words in enumerate(SENTENCES)
    ]
    information = [
        information_by_integration(*([float(value) for value in part] for part in zip(*q, strict=True)))
        for q in (before, after)
    ]
    found = latent_estimates(model, tiny.split(SENTENCES), config)["mi"]
    assert_within(found, information[1])
    assert abs(information[0] - information[1]) > 20 * found["stderr"]


def test_validation_scores_the_posterior_after_the_steps_and_no_other():
    model, config = semi_amortised()
    columns, rows = statistics(model, config, 2, split_name="valid")
    assert rows.shape[1] == len(COLUMNS)
    assert not columns.keys() & set(AMORTISED_COLUMNS)
    vae, plain = model_of("lstm-vae")
    assert not torch.equal(statistics(vae, plain, 2, split_name="valid")[0]["kl"], columns["kl"])
