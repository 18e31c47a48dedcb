"""The training objective of every system by hand in float64: loops and formulas, sentence by sentence.

Nothing here comes from the code under test but the names of its parameters and the values of its config. No
layer, no distribution and no fused operation: products, exp, tanh and sums, differentiated by autograd.
There is no padding and no dropout.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from gpu.checks import oracle_posteriors
from lvae_core.config import RunConfig

Parameters = Mapping[str, Tensor]
Words = Sequence[int]
"""w_1..w_T of one sentence, ``</s>`` included."""
Draw = Callable[..., Tensor]
"""The noise of a batch: (*purpose, size=(...)) -> (*size, B, n), as an input of both computations."""


class Terms(NamedTuple):
    """Means over the sentences, nats: a loss with the right gradient, and the bound at β = 1 and the KL."""

    loss: Tensor
    nll: Tensor
    kl: Tensor


def objective(
    p: Parameters, sentences: Sequence[Words], config: RunConfig, noise: Draw, beta: float
) -> Terms:
    """Compute the objective that ``config`` names, differentiable in the parameters ``p``."""
    if config.encoder == "none":
        nll = torch.stack([-log_p(p, words, None, config) for words in sentences]).mean()
        return Terms(nll, nll.detach(), torch.zeros((), dtype=torch.float64))
    drawn = noise(size=(config.draws, config.group)).double()  # (S, G, B, n)
    steps = range(config.svi_steps if config.inference == "semi_amortised" else 0)
    inner = [noise("inference", k, size=(1, config.group)).double() for k in steps]
    terms = []
    for b, words in enumerate(sentences):
        q = descend(p, words, config, [epsilon[:, :, b] for epsilon in inner], beta)
        bound = _importance_weighted if config.objective == "importance_weighted" else _elbo
        terms.append(bound(p, words, config, q, drawn[:, :, b], beta))
    loss, nll, kl = (torch.stack(values).mean() for values in zip(*terms, strict=True))
    return Terms(loss, nll.detach(), kl.detach())


def _elbo(p: Parameters, words: Words, config: RunConfig, q: Tensor, noise: Tensor, beta: float) -> Terms:
    family = oracle_posteriors.of(config)
    by_dimension = family.kl_terms(q)
    kl = counted = by_dimension.sum()
    if config.free_bits:
        least = torch.full_like(by_dimension, config.free_bits / config.latent_size)
        counted = torch.where(by_dimension > least, by_dimension, least).sum()
    reconstruction = -log_p(p, words, family.sample(q, noise), config).mean()
    return Terms(reconstruction + beta * counted, reconstruction + kl, kl)


def _importance_weighted(
    p: Parameters, words: Words, config: RunConfig, q: Tensor, noise: Tensor, beta: float
) -> Terms:
    family = oracle_posteriors.of(config)
    z, L = family.sample(q, noise), len(noise)
    ratio = family.log_ratio(q, z).squeeze(1)
    values = log_p(p, words, z, config)
    log_w = values + beta * ratio
    nll = math.log(L) - (values + ratio).logsumexp(0)
    kl = family.kl_terms(q).sum()
    if config.encoder_gradient == "reparameterised":
        return Terms(math.log(L) - log_w.logsumexp(0), nll, kl)
    # Tucker et al. (2019): the decoder sees weights w, the encoder, through z alone, βw² + (1 − β)w.
    w = log_w.detach().softmax(0)
    fixed = {name: value.detach() for name, value in p.items()}
    of_decoder = (w * log_p(p, words, z.detach(), config)).sum()
    of_z = log_p(fixed, words, z, config) + beta * family.log_ratio(q.detach(), z).squeeze(1)
    of_encoder = ((beta * w * w + (1 - beta) * w) * of_z).sum()
    gradient = -(of_decoder + of_encoder)
    value = (math.log(L) - log_w.logsumexp(0)).detach()
    return Terms(gradient - gradient.detach() + value, nll, kl)


def descend(p: Parameters, words: Words, config: RunConfig, noise: Sequence[Tensor], beta: float) -> Tensor:
    """Return q(z|x): the encoder's after one gradient step for each of ``noise``, differentiable."""
    family = oracle_posteriors.of(config)
    q = family.head(p, _encoder_state(p, words))
    velocity = torch.zeros_like(q)
    for epsilon in noise:
        nats = -log_p(p, words, family.sample(q, epsilon), config).mean()
        energy = nats + beta * family.kl_terms(q).sum()
        (gradient,) = torch.autograd.grad(energy, q, create_graph=True)
        if config.svi_max_sentence_norm:
            gradient = gradient * (config.svi_max_sentence_norm / gradient.norm()).clamp(max=1)
        velocity = config.svi_momentum * velocity - gradient
        q = q + config.svi_step_size / 32 * velocity
    return q


def log_p(p: Parameters, words: Words, z: Tensor | None, config: RunConfig) -> Tensor:
    """log p(x|z), z (S, G, Z) -> (S,), the states of a group averaged; () for a language model."""
    inputs = _inputs(p, words, config)
    states = _cnn(p, inputs, z, config.dilations) if config.decoder == "cnn" else _decoder(p, inputs, z)
    total = torch.zeros((), dtype=torch.float64)
    for hidden, word in zip(states, words, strict=True):
        state = hidden if z is None else hidden.mean(1)
        logits = state @ p["output.weight"].T
        total = total + logits[..., word] - torch.log(torch.exp(logits).sum(-1))
    return total


def _inputs(p: Parameters, words: Words, config: RunConfig) -> list[Tensor]:
    if config.setting == "inputless":
        return [p["decoder.hidden_word"]] * len(words)
    start = len(p["output.weight"])
    return [p["decoder.embedding.weight"][word] for word in (start, *words[:-1])]


def _encoder_state(p: Parameters, words: Words) -> Tensor:
    zeros = torch.zeros(p["encoder.lstm.weight_hh_l0"].shape[1], dtype=torch.float64)
    vectors = [p["encoder.embedding.weight"][word] for word in words]
    return _lstm(p, "encoder.lstm", vectors, zeros, zeros)[-1]


def _decoder(p: Parameters, inputs: Sequence[Tensor], z: Tensor | None) -> list[Tensor]:
    if z is None:
        zeros = torch.zeros(p["decoder.lstm.weight_hh_l0"].shape[1], dtype=torch.float64)
        return _lstm(p, "decoder.lstm", inputs, zeros, zeros)
    h = z @ p["decoder.initial.weight"].T
    joined = [torch.cat([x.expand(*z.shape[:-1], -1), z], -1) for x in inputs]
    return _lstm(p, "decoder.lstm", joined, h, torch.zeros_like(h))


def _lstm(p: Parameters, name: str, inputs: Sequence[Tensor], h: Tensor, c: Tensor) -> list[Tensor]:
    states = []
    for x in inputs:
        gates = x @ p[f"{name}.weight_ih_l0"].T + p[f"{name}.bias_ih_l0"]
        gates = gates + h @ p[f"{name}.weight_hh_l0"].T + p[f"{name}.bias_hh_l0"]
        i, f, g, o = gates.unflatten(-1, (4, -1)).unbind(-2)
        c = c / (1 + torch.exp(-f)) + torch.tanh(g) / (1 + torch.exp(-i))
        h = torch.tanh(c) / (1 + torch.exp(-o))
        states.append(h)
    return states


def _cnn(
    p: Parameters, inputs: Sequence[Tensor], z: Tensor | None, dilations: Sequence[int]
) -> list[Tensor]:
    if z is None:
        rows = [_affine(p, "decoder.project", x) for x in inputs]
    else:
        image = _affine(p, "decoder.from_latent", z)
        rows = [torch.cat([x.expand(*z.shape[:-1], -1), image], -1) for x in inputs]
    for number, delta in enumerate(dilations):
        block = f"decoder.blocks.{number}"
        u = [torch.relu(_affine(p, f"{block}.reduce", x)) for x in rows]
        nothing = torch.zeros_like(u[0])
        after = []
        for t, x in enumerate(rows):
            taps = [u[t - k * delta] if t >= k * delta else nothing for k in range(3)]
            v = torch.relu(_affine(p, f"{block}.convolve", torch.cat(taps, -1)))
            after.append(torch.relu(x + _affine(p, f"{block}.expand", v)))
        rows = after
    return rows


def _affine(p: Parameters, name: str, x: Tensor) -> Tensor:
    return x @ p[f"{name}.weight"].T + p[f"{name}.bias"]
