"""The diagonal Gaussian posterior q(z|x), with the standard normal prior p(z)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lvae_core import rng
from lvae_core.config import RunConfig
from lvae_core.model.contracts import Head, Posterior
from lvae_core.model.layers.batch_norm import BatchNorm


@dataclass(frozen=True, eq=False)
class Gaussian(Posterior):
    """q(z|x) = N(μ, diag σ²) for B sentences, with ``mean`` μ; noise is one normal number per dimension."""

    log_variance: Tensor
    """log σ², (B, Z)."""

    @staticmethod
    def head(config: RunConfig) -> Head:
        """Build M3 and M4."""
        return GaussianHead(config)

    @staticmethod
    def noise(key: rng.Key, size: tuple[int, ...], latent_size: int) -> Tensor:
        """Draw ε ~ N(0, I), (*size, Z)."""
        return rng.normal(key.seed, key.stream, *key.indices, size=(*size, latent_size))

    @staticmethod
    def prior(key: rng.Key, size: tuple[int, ...], latent_size: int) -> Tensor:
        """Draw z ~ N(0, I), (*size, Z)."""
        return rng.normal(key.seed, key.stream, *key.indices, size=(*size, latent_size))

    def sample(self, noise: Tensor) -> Tensor:
        """Return z = μ + σ ⊙ ε for ``noise`` ε of shape (..., B, Z)."""
        return self.mean + torch.exp(0.5 * self.log_variance) * noise

    def kl_terms(self) -> Tensor:
        """KL(q(z|x) || N(0, I)) by dimension, (B, Z), nats."""
        return 0.5 * (self.mean.square() + self.log_variance.exp() - 1 - self.log_variance)

    def log_ratio(self, noise: Tensor) -> Tensor:
        """log p(z) − log q(z|x) at z = ``sample(noise)``: (..., B), nats; the 2π cancel."""
        z = self.sample(noise)
        return 0.5 * (noise.square() + self.log_variance - z.square()).sum(-1)

    def log_ratio_at(self, z: Tensor) -> Tensor:
        """log p(z) − log q(z|x) of each sentence's own z, (..., B, Z): (..., B), nats."""
        square = (z - self.mean).square() * torch.exp(-self.log_variance)
        return 0.5 * (square + self.log_variance - z.square()).sum(-1)

    def log_density(self, noise: Tensor) -> Tensor:
        """log q(z|x) at z = ``sample(noise)``: (..., B), nats."""
        return -0.5 * (noise.square() + self.log_variance + math.log(2 * math.pi)).sum(-1)

    def log_prob(self, z: Tensor) -> Tensor:
        """log q(z_n | x_b) of every z under every sentence's posterior: (N, Z) -> (N, B), nats.

        Expanded into matrix products, which cancels digits if σ is small: call it in float64.
        """
        precision = torch.exp(-self.log_variance)  # (B, Z)
        square = z.square() @ precision.T - 2 * z @ (self.mean * precision).T
        constant = (self.mean.square() * precision + self.log_variance).sum(-1)  # (B,)
        return -0.5 * (square + constant + z.shape[-1] * math.log(2 * math.pi))


class GaussianHead(Head):
    """μ = M3 s_T and log σ² = M4 s_T (Kruengkrai 2019, §4).

    With ``mu_batch_norm`` γ, μ is normalised over the batch: E KL ≥ Z γ²/2 in training (Zhu et al. 2020).
    """

    def __init__(self, config: RunConfig) -> None:
        super().__init__()
        self.to_mean = nn.Linear(config.hidden_size, config.latent_size, bias=config.linear_bias)
        self.to_log_variance = nn.Linear(config.hidden_size, config.latent_size, bias=config.linear_bias)
        self.mean_norm: BatchNorm | None = None
        if config.mu_batch_norm:
            self.mean_norm = BatchNorm(config.latent_size, config.mu_batch_norm)

    def forward(self, state: Tensor, masks: torch.Generator | None) -> Gaussian:
        """Return q(z|x) from s_T, (B, H)."""
        mean = self.to_mean(state)
        if self.mean_norm is not None:
            mean = self.mean_norm(mean, training=masks is not None)
        return Gaussian(mean, self.to_log_variance(state))
