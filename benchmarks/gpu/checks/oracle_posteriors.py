"""The posteriors by hand in float64: a sentence's parameters as one vector q, draws z (S, G, Z)."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from lvae_core.config import RunConfig

CELLS = 400_000
"""Cells of equal angle for the integrals of von Mises and Fisher's density."""


class Family(Protocol):
    """One family of posteriors, with its prior."""

    def head(self, p: Mapping[str, Tensor], state: Tensor) -> Tensor:
        """Return q from the encoder's state."""

    def sample(self, q: Tensor, noise: Tensor) -> Tensor:
        """Return z from noise (S, G, n)."""

    def kl_terms(self, q: Tensor) -> Tensor:
        """Return terms that add up to the KL, nats."""

    def log_ratio(self, q: Tensor, z: Tensor) -> Tensor:
        """Return log p(z) − log q(z|x), (S, G), nats."""


def of(config: RunConfig) -> Family:
    """The family that a config names."""
    if config.posterior == "von_mises_fisher":
        return Sphere(config.latent_size, config.vmf_kappa)
    return Gaussian()


class Gaussian:
    """q = (μ, log σ²), prior N(0, I)."""

    def head(self, p: Mapping[str, Tensor], state: Tensor) -> Tensor:
        return torch.cat([p[f"encoder.to_{name}.weight"] @ state for name in ("mean", "log_variance")])

    def sample(self, q: Tensor, noise: Tensor) -> Tensor:
        mean, log_variance = q.chunk(2)
        return mean + torch.exp(log_variance / 2) * noise

    def kl_terms(self, q: Tensor) -> Tensor:
        mean, log_variance = q.chunk(2)
        return (mean**2 + torch.exp(log_variance) - 1 - log_variance) / 2

    def log_ratio(self, q: Tensor, z: Tensor) -> Tensor:
        mean, log_variance = q.chunk(2)
        of_q = (z - mean) ** 2 / torch.exp(log_variance) + log_variance
        return ((of_q - z**2) / 2).sum(-1)


class Sphere:
    """q = μ, a unit vector: density ∝ exp(κ μ·z), prior uniform; the angle by inverting sums over cells."""

    def __init__(self, dimensions: int, kappa: float) -> None:
        self.kappa = kappa
        self.angles, self.reached, self.log_m, self.cosine = _integrals(dimensions, kappa)

    def head(self, p: Mapping[str, Tensor], state: Tensor) -> Tensor:
        vector = p["encoder.to_mean.weight"] @ state
        return vector / vector.square().sum().sqrt()

    def sample(self, q: Tensor, noise: Tensor) -> Tensor:
        uniform = 0.5 * torch.erfc(-noise[..., -1:] / math.sqrt(2))
        angle = torch.from_numpy(np.interp(uniform.numpy(), self.reached, self.angles))
        direction = noise[..., :-1]
        across = direction - (direction * q).sum(-1, keepdim=True) * q
        return (
            torch.cos(angle) * q + torch.sin(angle) * across / across.square().sum(-1, keepdim=True).sqrt()
        )

    def kl_terms(self, q: Tensor) -> Tensor:
        return torch.full((1,), self.kappa * self.cosine - self.log_m, dtype=torch.float64)

    def log_ratio(self, q: Tensor, z: Tensor) -> Tensor:
        return self.log_m - self.kappa * (z * q).sum(-1)


@functools.cache
def _integrals(dimensions: int, kappa: float) -> tuple[np.ndarray, np.ndarray, float, float]:
    """Angles from π to 0, the distribution of cos θ there, log E_prior exp(κ cos θ), and E_q cos θ."""
    edges = np.linspace(math.pi, 0, CELLS + 1)
    middle = (edges[:-1] + edges[1:]) / 2
    uniform = np.sin(middle) ** (dimensions - 2)
    density = np.exp(kappa * (np.cos(middle) - 1)) * uniform
    reached = np.concatenate([[0.0], np.cumsum(density)]) / density.sum()
    log_m = kappa + math.log(density.sum() / uniform.sum())
    return edges, reached, log_m, float((density * np.cos(middle)).sum() / density.sum())
