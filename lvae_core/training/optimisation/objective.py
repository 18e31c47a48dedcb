"""The training objective: the negative ELBO, L samples, annealed KL (Kruengkrai 2019, Eqs. 3 and 7).

With free bits each dimension of the KL counts λ/Z nats at least and has no gradient below (Kingma et al.
2016; Li et al. 2019). ``importance_weighted.py`` holds the bound that replaces the ELBO in LSTM-IWAE.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from lvae_core import rng
from lvae_core.config import RunConfig
from lvae_core.data.batches import Batch, send
from lvae_core.model.contracts import Noise
from lvae_core.model.noise import BatchNoise
from lvae_core.model.text_model import TextModel
from lvae_core.training.optimisation.importance_weighted import importance_weighted


class Objective(NamedTuple):
    """The objective's value on a batch; every term is a mean over its sentences, nats per sentence."""

    loss: Tensor
    """The loss to minimise: ``nll`` with its KL weighted by β and with free bits."""
    nll: Tensor
    """The bound at β = 1 without free bits, dropout on."""
    kl: Tensor


def objective(
    model: TextModel, batch: Batch, config: RunConfig, *, kl_weight: float, step: int, inner: int = 0
) -> Objective:
    """−E log p(x|z) + β KL(q(z|x) || p(z)), differentiable in the model's parameters.

    Dropout and latent noise are functions of (config.seed, step), or of (config.seed, step, inner) for the
    inner updates of a step, counted from 1.
    """
    device = batch.words.device
    place = (step, inner) if inner else (step,)
    masks = rng.torch_generator(config.seed, "dropout", *place, device=device)
    key = rng.Key(config.seed, "latent", place)
    noise = BatchNoise(model.posterior, model.latent_size, key, len(batch.words))
    return objective_under(model, batch, config, masks, noise, kl_weight=kl_weight)


def objective_under(
    model: TextModel,
    batch: Batch,
    config: RunConfig,
    masks: torch.Generator,
    noise: Noise,
    *,
    kl_weight: float,
) -> Objective:
    """:func:`objective` under given randomness: dropout from ``masks`` and draws from ``noise``."""
    device = batch.words.device
    if model.encoder is None:
        nll = model.mean_nll(batch, None, masks)
        return Objective(nll, nll.detach(), nll.new_zeros(()))
    q = model.infer(batch, masks, noise=noise, kl_weight=kl_weight)
    drawn = noise(size=(config.draws, config.group))  # (S, G, B, n)
    drawn = send(drawn, device).to(q.mean.dtype)
    if config.objective == "importance_weighted":
        doubly = config.encoder_gradient == "doubly_reparameterised"
        loss, nll = importance_weighted(model, batch, q, drawn, masks, kl_weight=kl_weight, doubly=doubly)
        return Objective(loss, nll, q.kl().mean().detach())
    reconstruction = model.mean_nll(batch, q.sample(drawn), masks)
    # After the reconstruction: gradients are added in the order in which the graph is built, and another
    # order changes the last bits of every run.
    kl = q.kl().mean()
    counted = _with_free_bits(q.kl_terms(), config.free_bits) if config.free_bits else kl
    return Objective(reconstruction + kl_weight * counted, (reconstruction + kl).detach(), kl.detach())


def _with_free_bits(terms: Tensor, free_bits: float) -> Tensor:
    """Mean over sentences of Σ_d max(λ/Z, KL_d), for terms of shape (B, Z): a scalar."""
    return terms.clamp(min=free_bits / terms.shape[1]).sum(-1).mean()
