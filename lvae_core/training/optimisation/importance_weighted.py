"""The importance-weighted objective of L samples: a valid bound for every L (Burda et al. 2016).

    loss = −log 1/L Σ_l w_l,      log w_l = log p(x|z_l) + β (log p(z_l) − log q(z_l|x))

With ŵ_l = w_l / Σ w, the decoder's gradient is Σ ŵ_l ∂log w_l. The encoder's is the same sum through z and
through q (``reparameterised``), whose signal vanishes as L grows; or the doubly reparameterised one, which
goes through z alone with weights β ŵ_l² + (1 − β) ŵ_l and has the same expectation (Tucker et al. 2019 give
it for β = 1).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from lvae_core.data.batches import Batch
from lvae_core.model.contracts import Posterior
from lvae_core.model.text_model import TextModel


def importance_weighted(
    model: TextModel,
    batch: Batch,
    q: Posterior,
    noise: Tensor,
    masks: torch.Generator,
    *,
    kl_weight: float,
    doubly: bool,
) -> tuple[Tensor, Tensor]:
    """The loss and its value at β = 1, means over the batch's sentences, nats per sentence.

    Args:
        model: with a latent variable.
        batch: B sentences.
        q: their posteriors.
        noise: of L draws, (L, 1, B, n).
        masks: draws the decoder's dropout.
        kl_weight: β.
        doubly: whether the encoder's gradient is the doubly reparameterised one.

    Returns:
        Two scalars: the first is differentiable in the model's parameters, the second is not.
    """
    z = q.sample(noise)  # (L, 1, B, Z)
    L, _, B, _ = z.shape
    found = _Weights()

    def weigh(log_p: Tensor) -> Tensor:
        ratio = q.log_ratio(noise).squeeze(1)  # (L, B)
        log_w = log_p + kl_weight * ratio
        found.weights = log_w.softmax(0)
        found.value = (math.log(L) - log_w.logsumexp(0)).mean()
        found.nll = (math.log(L) - (log_p + ratio).logsumexp(0)).mean()
        # mean_nll takes a mean over L and B; the sum over L wants the factor L back.
        return L * found.weights

    if doubly:
        z = _scaled_gradient(z, lambda: (kl_weight * found.weights + 1 - kl_weight)[:, None, :, None])
        ratio = q.detach().log_ratio_at(z).squeeze(1)
    else:
        ratio = q.log_ratio(noise).squeeze(1)
    surrogate = model.mean_nll(batch, z, masks, weigh) - kl_weight * (found.weights * ratio).sum() / B
    return surrogate + (found.value - surrogate).detach(), found.nll


class _Weights:
    """Values that a pass of the decoder computes on its way: ŵ (L, B), and the objective at β and at 1."""

    weights: Tensor
    value: Tensor
    nll: Tensor


class _ScaledGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, factor: Callable[[], Tensor]) -> Tensor:
        ctx.factor = factor
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0] * ctx.factor(), None


def _scaled_gradient(x: Tensor, factor: Callable[[], Tensor]) -> Tensor:
    """``x`` itself, its gradient multiplied by the factor that is known by then."""
    result: Tensor = _ScaledGradient.apply(x, factor)  # type: ignore[no-untyped-call]
    return result
