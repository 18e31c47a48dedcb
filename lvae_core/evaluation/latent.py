"""Use of the latent variable: mutual information and active units."""

from __future__ import annotations

import math
from typing import Any

import torch

from lvae_core import rng
from lvae_core.config import RunConfig
from lvae_core.data.batches import collate, eval_order
from lvae_core.data.corpus import Split
from lvae_core.model.gaussian import Gaussian
from lvae_core.model.layers.precision import compute_in
from lvae_core.model.text_model import TextModel

ACTIVE_VARIANCE = 0.01
"""A latent dimension is active where its posterior mean varies more than this (Burda et al. 2016)."""


def latent_estimates(model: TextModel, split: Split, config: RunConfig) -> dict[str, dict[str, Any]]:
    """Mutual information (He et al. 2019, §2) and active units over a split; {} without a latent.

    I_q(x; z) = E_x KL(q(z|x) || q(z)) with the aggregated posterior q(z) = 1/N Σ_n q(z|x_n) over all N
    sentences of the split, so that it is at most log N. The encoder computes in config.eval_precision.
    """
    if model.encoder is None:
        return {}
    device = next(model.parameters()).device
    M = config.mi_samples
    with torch.inference_mode():
        compute_in(model, config.eval_precision)
        means, log_variances, noises = [], [], []
        for indices in eval_order(split.lengths, config.eval_batch_size):
            q = model.encoder(collate(split, indices).to(device))
            means.append(q.mean)
            log_variances.append(q.log_variance)
            noises += [
                rng.normal(config.seed, "evaluation", "mi", int(i), size=(M, q.mean.shape[1]))
                for i in indices
            ]
        q = Gaussian(torch.cat(means), torch.cat(log_variances)).double()
        noise = torch.stack(noises, dim=1).to(q.mean)  # (M, N, Z)
        z = q.sample(noise).flatten(0, 1)  # (M N, Z)
        N = len(q.mean)
        rows = max(1, 2**22 // N)
        log_q = torch.cat([q.log_prob(part).logsumexp(-1) for part in torch.split(z, rows)])
        marginal = log_q.view(M, N) - math.log(N)
        own = -0.5 * (noise.square() + q.log_variance + math.log(2 * math.pi)).sum(-1)  # (M, N)
        # Both terms at the same z: their noise cancels, which an entropy in closed form would not do.
        gain = own - marginal
        mi = float(gain.mean())
        stderr = math.sqrt(float((gain.var(0) / M).sum())) / N
        # One sentence alone does not vary.
        active = int((q.mean.var(0, correction=min(1, N - 1)) > ACTIVE_VARIANCE).sum())
    return {"mi": {"value": mi, "stderr": stderr}, "au": {"value": active}}
