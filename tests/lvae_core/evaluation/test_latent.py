"""Mutual information and active units against integration and counting by hand."""

import math
from dataclasses import replace

import pytest
import torch

from lvae_core.evaluation.latent import infer_split, latent_estimates, mutual_information

from .. import tiny
from ..oracles import hand_model, quadrature
from .exact_model import (
    CLASSES,
    SENTENCES,
    assert_within,
    frozen,
    model_of,
    variance,
)


def information_by_integration(means, log_variances):
    """I_q(x; z) of the sentences' posteriors in one dimension, by the trapezoidal rule."""
    rule = quadrature.trapezoid(4001, -15, 15)
    log_q = torch.stack(
        [quadrature.log_normal(rule.z, m, v) for m, v in zip(means, log_variances, strict=True)]
    )
    aggregated = log_q.logsumexp(0) - math.log(len(means))
    weight = rule.log_weight.exp()
    return float(sum((row.exp() * (row - aggregated) * weight).sum() for row in log_q)) / len(means)


def spread_out(gain):
    """The exact model with posteriors moved apart by ``gain``."""
    model, config = model_of("lstm-vae")
    model = tiny.double_model(config, CLASSES)
    model.load_state_dict(model_of("lstm-vae")[0].state_dict())
    with torch.no_grad():
        model.encoder.to_mean.weight.mul_(gain)
    p = frozen(model)
    posteriors = [tuple(float(v) for v in hand_model.posterior(p, w)) for w in SENTENCES]
    return model, config, posteriors


@pytest.mark.parametrize("gain", [1.0, 5.0])
def test_mutual_information_equals_integration(gain):
    model, config, posteriors = spread_out(gain)
    expected = information_by_integration(*zip(*posteriors, strict=True))
    found = latent_estimates(model, tiny.split(SENTENCES), replace(config, mi_samples=3000))["mi"]
    assert_within(found, expected)
    assert expected > 20 * found["stderr"]


def test_mutual_information_within_groups_is_the_mean_of_that_of_each_group():
    model, config, _ = spread_out(5.0)
    config = replace(config, eval_batch_size=3)
    by_length = sorted(SENTENCES, key=len)  # stable, as the groups are
    p = frozen(model)
    posteriors = [tuple(float(v) for v in hand_model.posterior(p, words)) for words in by_length]
    sizes = [len(posteriors[k : k + 2]) for k in range(0, len(posteriors), 2)]
    assert len(sizes) > 2
    expected = sum(
        size * information_by_integration(*zip(*posteriors[2 * k : 2 * k + size], strict=True))
        for k, size in enumerate(sizes)
    ) / len(posteriors)
    q, drawn = infer_split(model, tiny.split(SENTENCES), config, samples=3000, precision="float32")
    found = mutual_information(q, drawn, 2)
    assert_within(found, expected)
    assert expected > 20 * found["stderr"]
    assert 1.2 * found["value"] < mutual_information(q, drawn)["value"]


def test_the_config_asks_for_the_mutual_information_within_batches():
    model, config, _ = spread_out(5.0)
    split = tiny.split(SENTENCES)
    plain, both = (latent_estimates(model, split, replace(config, mi_batch_size=batch)) for batch in (0, 2))
    q, drawn = infer_split(model, split, config, samples=config.mi_samples, precision="float32")
    assert both == plain | {"mi_batch": mutual_information(q, drawn, 2)}


def test_a_group_that_holds_all_sentences_is_the_whole():
    model, config, _ = spread_out(5.0)
    q, drawn = infer_split(model, tiny.split(SENTENCES), config, samples=20, precision="float32")
    assert mutual_information(q, drawn, 32) == mutual_information(q, drawn)


def test_mutual_information_of_posteriors_far_apart_is_log_n_and_never_more():
    model, config, _ = spread_out(1000.0)
    found = latent_estimates(model, tiny.split(SENTENCES), config)["mi"]
    assert found["value"] == pytest.approx(math.log(len(SENTENCES)), rel=1e-6)
    assert found["value"] <= math.log(len(SENTENCES)) + 1e-9


def test_mutual_information_has_a_calibrated_error():
    model, config, posteriors = spread_out(5.0)
    expected = information_by_integration(*zip(*posteriors, strict=True))
    split = tiny.split(SENTENCES)
    runs = [
        latent_estimates(model, split, replace(config, mi_samples=50, seed=seed))["mi"]
        for seed in range(200)
    ]
    values = [run["value"] for run in runs]
    reported = math.sqrt(sum(run["stderr"] ** 2 for run in runs) / len(runs))
    assert 1 / 1.25 < math.sqrt(variance(values)) / reported < 1.25
    assert abs(sum(values) / len(values) - expected) < 4 * reported / math.sqrt(len(runs))


def test_mutual_information_is_zero_if_the_posterior_ignores_the_sentence():
    model, config, _ = spread_out(0.0)
    with torch.no_grad():
        model.encoder.to_log_variance.weight.zero_()
    found = latent_estimates(model, tiny.split(SENTENCES), config)
    assert found == {"mi": {"value": pytest.approx(0, abs=1e-12), "stderr": pytest.approx(0, abs=1e-12)},
                     "au": {"value": 0}}  # fmt: skip


def test_active_units_are_counted_by_hand():
    config = tiny.config("lstm-vae", latent_size=3, init_scale=0.8)
    model = tiny.double_model(config, 6)
    sentences = tiny.sentences(40, 6, seed=2)
    p = frozen(model)
    means = [hand_model.posterior(p, words)[0] for words in sentences]
    now = [variance([float(m[k]) for m in means]) for k in range(3)]
    # μ is linear in its weights, so each dimension's variance can be set directly.
    with torch.no_grad():
        for k, wanted in enumerate((0.011, 0.009, 4.0)):
            model.encoder.to_mean.weight[k].mul_(math.sqrt(wanted / now[k]))
    found = latent_estimates(model, tiny.split(sentences), config)
    assert found["au"] == {"value": 2}


def test_one_sentence_has_no_mutual_information_and_no_active_units():
    model, config = model_of("lstm-vae")
    found = latent_estimates(model, tiny.split(SENTENCES[:1]), config)
    assert found["au"] == {"value": 0}
    assert found["mi"]["value"] == pytest.approx(0, abs=1e-12)


def test_language_model_has_no_latent_estimates():
    config = tiny.config("lstm-lm")
    assert latent_estimates(tiny.double_model(config, 6), tiny.split(SENTENCES), config) == {}
