"""Use of the latent variable: mutual information and active units."""

from __future__ import annotations

import math
from typing import Any

import torch

from lvae_core.config import RunConfig
from lvae_core.data.batches import collate, eval_order
from lvae_core.data.corpus import Split
from lvae_core.evaluation.likelihood import sentence_noise
from lvae_core.model.layers.precision import Arithmetic, compute_in
from lvae_core.model.text_model import TextModel

ACTIVE_VARIANCE = 0.01
"""A latent dimension is active if its posterior mean varies more than this (Burda et al. 2016)."""


def latent_estimates(
    model: TextModel,
    split: Split,
    config: RunConfig,
    *,
    samples: int | None = None,
    precision: Arithmetic | None = None,
) -> dict[str, dict[str, Any]]:
    """Mutual information (He et al. 2019, §2) and active units over a split; {} without a latent.

    I_q(x; z) = E_x KL(q(z|x) || q(z)) with the aggregated posterior q(z) = 1/N Σ_n q(z|x_n) over all N
    sentences of the split, so that it is at most log N.

    Args:
        model: evaluated without dropout.
        split: N sentences.
        config: seed and batch size.
        samples: M, draws of z per sentence; None: config.mi_samples.
        precision: of the encoder, in which it is left; None: config.eval_precision.
    """
    if model.encoder is None:
        return {}
    device = next(model.parameters()).device
    M = samples or config.mi_samples
    parts, noises = [], []
    with torch.no_grad():  # inference may need gradients, for itself
        compute_in(model, precision or config.eval_precision)
        for indices in eval_order(split.lengths, config.eval_batch_size):
            noise = sentence_noise(model, config, [("mi", int(index)) for index in indices])
            parts.append(model.infer(collate(split, indices).to(device), noise=noise))
            noises.append(noise(size=(M,)))
    with torch.inference_mode():
        q = model.posterior.join(parts).double()
        drawn = torch.cat(noises, dim=1).to(q.mean)  # (M, N, n)
        z = q.sample(drawn).flatten(0, 1)  # (M N, Z)
        N = len(q.mean)
        rows = max(1, 2**22 // N)
        log_q = torch.cat([q.log_prob(part).logsumexp(-1) for part in torch.split(z, rows)])
        marginal = log_q.view(M, N) - math.log(N)
        # Both terms at the same z: their noise cancels, which an entropy in closed form would not do.
        gain = q.log_density(drawn) - marginal  # (M, N)
        mi = float(gain.mean())
        stderr = math.sqrt(float((gain.var(0) / M).sum())) / N
        # One sentence alone does not vary.
        active = int((q.mean.var(0, correction=min(1, N - 1)) > ACTIVE_VARIANCE).sum())
    return {"mi": {"value": mi, "stderr": stderr}, "au": {"value": active}}
