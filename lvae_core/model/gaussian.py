"""The diagonal Gaussian posterior q(z|x) beside the standard normal prior p(z)."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor


class Gaussian(NamedTuple):
    """q(z|x) for B sentences.

    Attributes:
        mean: μ, (B, Z).
        log_variance: log σ², (B, Z).
    """

    mean: Tensor
    log_variance: Tensor

    def sample(self, noise: Tensor) -> Tensor:
        """z = μ + σ ⊙ ε for ``noise`` ε of shape (..., B, Z)."""
        return self.mean + torch.exp(0.5 * self.log_variance) * noise

    def kl(self) -> Tensor:
        """KL(q(z|x) || N(0, I)), (B,), nats."""
        terms = self.mean.square() + self.log_variance.exp() - 1 - self.log_variance
        return 0.5 * terms.sum(-1)

    def log_ratio(self, noise: Tensor) -> Tensor:
        """log p(z) − log q(z|x) at z = ``sample(noise)``: (..., B), nats; the 2π cancel."""
        z = self.sample(noise)
        return 0.5 * (noise.square() + self.log_variance - z.square()).sum(-1)

    def log_prob(self, z: Tensor) -> Tensor:
        """log q(z_n | x_b) of every z under every sentence's posterior: (N, Z) -> (N, B), nats.

        Expanded into matrix products, which cancels digits where σ is small: call it in float64.
        """
        precision = torch.exp(-self.log_variance)  # (B, Z)
        square = z.square() @ precision.T - 2 * z @ (self.mean * precision).T
        constant = (self.mean.square() * precision + self.log_variance).sum(-1)  # (B,)
        return -0.5 * (square + constant + z.shape[-1] * math.log(2 * math.pi))

    def double(self) -> Gaussian:
        """The same in float64."""
        return Gaussian(self.mean.double(), self.log_variance.double())
