"""Use of the latent variable: mutual information and active units."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from lvae_core.config import RunConfig
from lvae_core.data.batches import collate, eval_order
from lvae_core.data.corpus import Split
from lvae_core.evaluation.likelihood import sentence_noise
from lvae_core.model.contracts import Posterior
from lvae_core.model.layers.precision import Arithmetic, compute_in
from lvae_core.model.text_model import TextModel

ACTIVE_VARIANCE = 0.01
"""A latent dimension is active if its posterior mean varies more than this (Burda et al. 2016)."""

MI_BATCH = 32
"""Sentences among which He et al. (2019) compute the mutual information that they print."""


def latent_estimates(
    model: TextModel,
    split: Split,
    config: RunConfig,
) -> dict[str, dict[str, Any]]:
    """Mutual information (He et al. 2019, §2) and active units over a split; {} without a latent.

    I_q(x; z) = E_x KL(q(z|x) || q(z)) with the aggregated posterior q(z) = 1/N Σ_n q(z|x_n) over all N
    sentences of the split, so that it is at most log N. With config.mi_batch_size it is also computed
    within batches of so many sentences, where it is at most log of their number.

    Args:
        model: evaluated without dropout.
        split: N sentences.
        config: seed, batch size, draws of z per sentence, and the precision, in which the encoder is left.
    """
    if model.encoder is None:
        return {}
    q, drawn = infer_split(model, split, config, samples=config.mi_samples, precision=config.eval_precision)
    N = len(q.mean)
    # One sentence alone does not vary.
    active = int((q.mean.var(0, correction=min(1, N - 1)) > ACTIVE_VARIANCE).sum())
    estimates = {"mi": mutual_information(q, drawn), "au": {"value": active}}
    if config.mi_batch_size:
        estimates["mi_batch"] = mutual_information(q, drawn, config.mi_batch_size)
    return estimates


def infer_split(
    model: TextModel, split: Split, config: RunConfig, *, samples: int, precision: Arithmetic
) -> tuple[Posterior, Tensor]:
    """Infer the posteriors of N sentences by ascending length, float64, and M draws of noise, (M, N, n).

    Args:
        model: evaluated without dropout.
        split: N sentences.
        config: seed and batch size.
        samples: M, draws of noise per sentence.
        precision: of the encoder, in which it is left.
    """
    device = next(model.parameters()).device
    parts, noises = [], []
    with torch.no_grad():  # inference may need gradients, for itself
        compute_in(model, precision)
        for indices in eval_order(split.lengths, config.eval_batch_size):
            noise = sentence_noise(model, config, [("mi", int(index)) for index in indices])
            parts.append(model.infer(collate(split, indices).to(device), noise=noise))
            noises.append(noise(size=(samples,)))
        q = model.posterior.join(parts).double()
    return q, torch.cat(noises, dim=1).to(q.mean)


@torch.inference_mode()
def mutual_information(q: Posterior, drawn: Tensor, group: int = 0) -> dict[str, Any]:
    """I_q(x; z) of N sentences in nats, with its standard error.

    Args:
        q: their posteriors, float64.
        drawn: noise of M draws per sentence, (M, N, n).
        group: the aggregated posterior of a sentence is that of so many neighbours, so that the value is at
            most log ``group``: with 32, what He et al. (2019) report. 0: that of all N.
    """
    M, N = drawn.shape[:2]
    size = group or N
    gain = torch.cat(
        [_gain(q.rows(slice(k, k + size)), drawn[:, k : k + size]) for k in range(0, N, size)], dim=1
    )
    stderr = math.sqrt(float((gain.var(0) / M).sum())) / N
    return {"value": float(gain.mean()), "stderr": stderr}


def _gain(q: Posterior, drawn: Tensor) -> Tensor:
    """log q(z|x) − log q(z) of each draw, (M, N)."""
    M, N = drawn.shape[:2]
    z = q.sample(drawn).flatten(0, 1)  # (M N, Z)
    rows = max(1, 2**22 // N)
    log_q = torch.cat([q.log_prob(part).logsumexp(-1) for part in torch.split(z, rows)])
    marginal = log_q.view(M, N) - math.log(N)
    # Both terms at the same z: their noise cancels, which an entropy in closed form would not do.
    return q.log_density(drawn) - marginal
