"""The training objective: the negative ELBO, L samples, annealed KL (Kruengkrai 2019, Eqs. 3 and 7)."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from lvae_core import rng
from lvae_core.config import RunConfig
from lvae_core.data.batches import Batch, send
from lvae_core.model.noise import BatchNoise
from lvae_core.model.text_model import TextModel


class Objective(NamedTuple):
    """The objective's value on a batch; every term is a mean over its sentences, nats per sentence."""

    loss: Tensor
    """What is minimised: ``nll`` with its KL weighted by β."""
    nll: Tensor
    """Reconstruction and KL at β = 1, dropout on."""
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
    if model.encoder is None:
        nll = model.mean_nll(batch, None, masks)
        return Objective(nll, nll.detach(), nll.new_zeros(()))
    key = rng.Key(config.seed, "latent", place)
    noise = BatchNoise(model.posterior, model.latent_size, key, len(batch.words))
    q = model.infer(batch, masks, noise=noise, kl_weight=kl_weight)
    drawn = noise(size=(config.draws, config.group))  # (S, G, B, n)
    z = q.sample(send(drawn, device).to(q.mean.dtype))
    reconstruction = model.mean_nll(batch, z, masks)
    kl = q.kl().mean()
    return Objective(reconstruction + kl_weight * kl, (reconstruction + kl).detach(), kl.detach())
