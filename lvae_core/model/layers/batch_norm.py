"""Batch normalisation with a fixed scale, which keeps a posterior's KL away from 0 (Zhu et al. 2020)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

_EPSILON = 1e-5
"""Added to the variance, as in torch."""

_MOMENTUM = 0.1
"""Weight of a batch in the running statistics, as in torch."""


class BatchNorm(nn.Module):
    """x' = γ (x − mean) / sqrt(variance + ε) + b for each of n features, with γ fixed and b trained.

    In training, mean and variance are those of the batch, so that E x'² ≥ γ² up to ε, independent of the
    layers below. In evaluation they are the running ones, so that a row does not depend on its batch. A
    batch of one row has no variance: it is treated as in evaluation and leaves the running
    statistics alone.
    """

    running_mean: Tensor
    running_variance: Tensor

    def __init__(self, features: int, scale: float) -> None:
        super().__init__()
        self.scale = scale
        self.bias = nn.Parameter(torch.empty(features))
        self.register_buffer("running_mean", torch.zeros(features))
        self.register_buffer("running_variance", torch.ones(features))

    def forward(self, x: Tensor, training: bool) -> Tensor:
        """Normalise x (rows, n); in training update the running statistics."""
        mean, variance = self.running_mean, self.running_variance
        if training and len(x) > 1:
            mean, variance = x.mean(0), x.var(0, correction=0)
            with torch.no_grad():
                self.running_mean.lerp_(mean, _MOMENTUM)
                self.running_variance.lerp_(x.var(0), _MOMENTUM)
        return self.scale * (x - mean) * torch.rsqrt(variance + _EPSILON) + self.bias

    def __call__(self, x: Tensor, training: bool) -> Tensor:
        """Call ``forward``, with types."""
        result: Tensor = super().__call__(x, training)
        return result
