"""The training objective: the negative ELBO, L samples, annealed KL (Kruengkrai 2019, Eqs. 3 and 7)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from lvae_core import rng
from lvae_core.config import RunConfig
from lvae_core.data.batches import Batch, send
from lvae_core.model.text_model import TextModel


class Objective(NamedTuple):
    """The objective's value on a batch; every term is a mean over its sentences, nats a sentence."""

    loss: Tensor
    """What is minimised: ``nll`` with its KL weighted by β."""
    nll: Tensor
    """Reconstruction and KL at β = 1, dropout on."""
    kl: Tensor


def draws_and_group(config: RunConfig) -> tuple[int, int]:
    """(S, G) at a gradient step: L draws of one sample each, or one draw of a group of L."""
    L = config.num_samples
    return (1, L) if config.averaging == "hidden" else (L, 1)


def objective(
    model: TextModel, batch: Batch, config: RunConfig, *, kl_weight: float, step: int
) -> Objective:
    """−E log p(x|z) + β KL(q(z|x) || p(z)), differentiable in the model's parameters.

    Dropout and latent noise are functions of (config.seed, step).
    """
    device = batch.words.device
    masks = rng.torch_generator(config.seed, "dropout", step, device=device)
    if model.encoder is None:
        nll = model.mean_nll(batch, None, masks)
        return Objective(nll, nll.detach(), torch.zeros_like(nll))
    q = model.encoder(batch, masks)
    size = (*draws_and_group(config), *q.mean.shape)  # (S, G, B, Z)
    noise = send(rng.normal(config.seed, "latent", step, size=size), device).to(q.mean.dtype)
    reconstruction = model.mean_nll(batch, q.sample(noise), masks)
    kl = q.kl().mean()
    return Objective(reconstruction + kl_weight * kl, (reconstruction + kl).detach(), kl.detach())
