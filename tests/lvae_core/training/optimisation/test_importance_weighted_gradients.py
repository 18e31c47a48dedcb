"""Gradients of the importance-weighted objective: one sample gives the ELBO's, two those of integrals."""

import math

import pytest
import torch

from lvae_core import rng
from lvae_core.training.optimisation.importance_weighted import importance_weighted
from lvae_core.training.optimisation.objective import objective

from ... import tiny
from ...oracles import hand_model, quadrature
from .test_importance_weighted import CLASSES, SENTENCES, config_of, log_prior, log_q

ESTIMATORS = ("reparameterised", "doubly_reparameterised")


# --- L = 1 ---


def gradients(model, batch, config, *, beta, step):
    model.zero_grad()
    objective(model, batch, config, kl_weight=beta, step=step).loss.backward()
    return {name: p.grad.to_dense().clone() for name, p in model.named_parameters()}


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("beta", [1.0, 0.3])
def test_with_one_sample_the_decoder_has_the_gradient_of_the_elbo(beta, estimator):
    config = config_of(1, encoder_gradient=estimator)
    model, batch = tiny.double_model(config, CLASSES), tiny.batch(SENTENCES)
    found = gradients(model, batch, config, beta=beta, step=17)
    expected = gradients(model, batch, config_of(1, objective="elbo"), beta=beta, step=17)
    decoder = [name for name in expected if not name.startswith("encoder.")]
    assert {"decoder.initial.weight", "output.weight"} <= set(decoder)
    for name in decoder:
        assert expected[name].abs().max() > 1e-3, name
        torch.testing.assert_close(found[name], expected[name], rtol=1e-10, atol=1e-13, msg=name)


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("beta", [1.0, 0.3])
def test_with_one_sample_the_encoder_has_the_mean_gradient_of_the_elbo(beta, estimator):
    """The ELBO has its KL in closed form, the objective at one draw: equal in the mean over draws alone."""
    config = config_of(1, encoder_gradient=estimator)
    model, batch = tiny.double_model(config, CLASSES), tiny.batch(SENTENCES[:1] * 60)
    rows = []
    for step in range(20):
        ours = gradients(model, batch, config, beta=beta, step=step)
        elbo = gradients(model, batch, config_of(1, objective="elbo"), beta=beta, step=step)
        rows.append(torch.cat([(ours[name] - elbo[name]).flatten() for name in encoder_heads(ours)]))
    gaps = torch.stack(rows)
    error = gaps.std(0) / math.sqrt(len(gaps))
    assert (error > 0).all(), "two equal gradients would test nothing"
    assert (gaps.mean(0).abs() <= 4.5 * error).all()
    size = torch.cat([elbo[name].flatten() for name in encoder_heads(elbo)]).abs().max()
    assert 10 * error.max() < size, "an error as large as the gradient would hide a wrong one"


def encoder_heads(names):
    return [name for name in names if name.startswith("encoder.to_")]


# --- L = 2, Z = 1: expectations as integrals over both draws ---

WORDS = SENTENCES[2]
SIZES = {"latent_size": 1, "hidden_size": 3, "embedding_size": 2, "seed": 6}


def normal_rule(nodes):
    """Nodes ε and weights that add up to 1: E f(ε) for ε ~ N(0, 1)."""
    rule = quadrature.gauss_hermite(nodes)
    return rule.z, (rule.log_weight + quadrature.log_normal(rule.z)).exp()


def expected_bound(p, beta, nodes):
    """−E log (w_1 + w_2)/2 of the hand model, nats."""
    epsilon, weight = normal_rule(nodes)
    mean, log_variance = hand_model.posterior(p, WORDS)
    z = mean + torch.exp(0.5 * log_variance) * epsilon.unsqueeze(-1)  # (n, 1)
    log_w = hand_model.log_p(p, hand_model.states(p, WORDS, z, hide=False), WORDS)
    log_w = log_w + beta * (log_prior(z) - log_q(z, mean, log_variance))
    values = torch.logaddexp(log_w.unsqueeze(0), log_w.unsqueeze(1)) - math.log(2)
    return -float(weight @ values @ weight)


def central_difference(p, name, beta, nodes, step=1e-5):
    ends = []
    for sign in (1, -1):
        moved = p[name].clone()
        moved[0, 1] += sign * step
        ends.append(expected_bound({**p, name: moved}, beta, nodes))
    return (ends[0] - ends[1]) / (2 * step)


def mean_gradients(model, config, beta, nodes):
    """The expected gradient of the code: every pair of nodes is a copy of the sentence, with its weight."""
    epsilon, weight = normal_rule(nodes)
    pairs = torch.cartesian_prod(epsilon, epsilon)  # (n², 2)
    share = torch.outer(weight, weight).flatten()
    batch = tiny.batch([WORDS] * len(pairs))
    q = model.infer(batch, noise=lambda size: None)
    for parameter in q.parameters.values():  # the loss is a mean of equal shares
        parameter.register_hook(lambda gradient: gradient * (share * len(share)).unsqueeze(-1))
    loss, _ = importance_weighted(
        model,
        batch,
        q,
        pairs.T[:, None, :, None],
        rng.torch_generator(0, "dropout"),
        kl_weight=beta,
        doubly=config.encoder_gradient == "doubly_reparameterised",
    )
    loss.backward()
    return {name: p.grad for name, p in model.named_parameters() if name.startswith("encoder.to_")}


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("beta", [1.0, 0.4])
def test_the_expected_gradient_of_two_samples_is_the_difference_quotient_of_the_expected_bound(
    beta, estimator
):
    config = config_of(2, encoder_gradient=estimator, **SIZES)
    model = tiny.double_model(config, CLASSES)
    p = {name: value.detach() for name, value in tiny.parameters(model).items()}
    found = mean_gradients(model, config, beta, nodes=40)
    for name in ("encoder.to_mean.weight", "encoder.to_log_variance.weight"):
        expected = central_difference(p, name, beta, nodes=40)
        assert expected == pytest.approx(central_difference(p, name, beta, nodes=60), rel=1e-6)
        assert abs(expected) > 1e-3
        assert float(found[name][0, 1]) == pytest.approx(expected, rel=1e-4), name
