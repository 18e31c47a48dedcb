"""The von Mises-Fisher posterior on the sphere, with the uniform prior (Xu & Durrett 2018).

q(z|x) ∝ exp(κ μ·z) for unit vectors z and μ of dimension d = Z, with one κ for all sentences that is not
trained. Densities are taken relative to the uniform prior, so log p(z) = 0 and

    log q(z|x) = κ μ·z − log M     M = E_uniform[exp(κ μ·z)] = Σ_j t_j
    KL = κ A − log M               A = E_q[μ·z] = (2/κ) Σ_j j t_j / M
                                   t_j = (κ/2)^2j Γ(d/2) / (j! Γ(d/2 + j))

The series has positive terms only, so that it loses no digits for any d and κ and needs no Bessel function.
(Released code of that paper uses the KL of dimension d + 2, which is up to 4% off.)
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from lvae_core import rng
from lvae_core.config import RunConfig
from lvae_core.model.contracts import Head, Posterior

_CELLS = 8192
"""Cells of equal angle in which the law of the angle between z and μ is tabulated."""


@dataclass(frozen=True, eq=False)
class VonMisesFisher(Posterior):
    """q(z|x) = vMF(μ, κ) for B sentences; ``mean`` is the unit vector μ, the centre of z.

    Noise is Z + 1 normal numbers: the first Z give the direction of z about μ, the last its distance.
    So a draw has a fixed size, and no rejection makes it depend on other draws.
    """

    kappa: float

    @staticmethod
    def head(config: RunConfig) -> VonMisesFisherHead:
        """Build M3."""
        return VonMisesFisherHead(config)

    @staticmethod
    def noise(key: rng.Key, size: tuple[int, ...], latent_size: int) -> Tensor:
        """Draw ε ~ N(0, I), (*size, Z + 1)."""
        return rng.normal(key.seed, key.stream, *key.indices, size=(*size, latent_size + 1))

    @staticmethod
    def prior(key: rng.Key, size: tuple[int, ...], latent_size: int) -> Tensor:
        """Draw z uniformly from the sphere, (*size, Z)."""
        direction = rng.normal(key.seed, key.stream, *key.indices, size=(*size, latent_size))
        return nn.functional.normalize(direction, dim=-1)

    @staticmethod
    def path(start: Tensor, end: Tensor, count: int) -> Tensor:
        """Points at equal angles on the shorter arc of the great circle through two unit vectors.

        Between opposite vectors every arc is equally short; the one towards a fixed axis is taken.
        """
        towards = end - (end @ start) * start
        if towards.norm() < 1e-6:
            axis = nn.functional.one_hot(start.abs().argmin(), len(start)).to(start.dtype)
            towards = axis - (axis @ start) * start
        towards = nn.functional.normalize(towards, dim=-1)
        angle = torch.atan2(end @ towards, end @ start)
        angles = (torch.linspace(0, 1, count)[1:-1] * angle).unsqueeze(-1)
        arc = nn.functional.normalize(angles.cos() * start + angles.sin() * towards, dim=-1)
        return torch.cat([start.unsqueeze(0), arc, end.unsqueeze(0)])

    def sample(self, noise: Tensor) -> Tensor:
        """Return z = μ cos θ + v sin θ, with v a uniform unit vector orthogonal to μ: (..., B, Z).

        θ does not depend on μ, so the gradient through μ is exact.
        """
        angle = self._angle(noise)
        direction = noise[..., :-1].to(self.mean.dtype)
        tangent = direction - (direction * self.mean).sum(-1, keepdim=True) * self.mean
        tangent = nn.functional.normalize(tangent, dim=-1)
        return angle.cos().to(self.mean.dtype) * self.mean + angle.sin().to(self.mean.dtype) * tangent

    def kl_terms(self) -> Tensor:
        """KL(q(z|x) || uniform) of every sentence, one constant: (B, 1), nats."""
        return self.mean.new_full((len(self.mean), 1), kl(self.mean.shape[-1], self.kappa))

    def log_ratio(self, noise: Tensor) -> Tensor:
        """log p(z) − log q(z|x) at z = ``sample(noise)``: (..., B), nats."""
        # From the angle itself: a product of unit vectors in float32 would be off by κ 1e-7.
        ratio = self._log_m() - self.kappa * self._angle(noise).squeeze(-1).cos()
        return ratio.to(self.mean.dtype)

    def log_ratio_at(self, z: Tensor) -> Tensor:
        """log p(z) − log q(z|x) of each sentence's own z, (..., B, Z): (..., B), nats."""
        return self._log_m() - self.kappa * (z * self.mean).sum(-1)

    def log_density(self, noise: Tensor) -> Tensor:
        """log q(z|x) at z = ``sample(noise)``, relative to the uniform prior: (..., B), nats."""
        return -self.log_ratio(noise)

    def log_prob(self, z: Tensor) -> Tensor:
        """log q(z_n | x_b), relative to the uniform prior: (N, Z) -> (N, B), nats."""
        return self.kappa * z @ self.mean.T - self._log_m()

    def _log_m(self) -> float:
        return log_m(self.mean.shape[-1], self.kappa)

    def _angle(self, noise: Tensor) -> Tensor:
        """The angle between z and μ, (..., B, 1), float64: by inversion of its distribution function."""
        uniform = torch.special.ndtr(noise[..., -1:].double())
        probability, angle = _table_on(self.mean.shape[-1], self.kappa, noise.device)
        place = torch.searchsorted(probability, uniform.contiguous()).clamp(1, len(probability) - 1)
        low, high = probability[place - 1], probability[place]
        return torch.lerp(angle[place - 1], angle[place], ((uniform - low) / (high - low)).clamp(0, 1))


class VonMisesFisherHead(Head):
    """μ = M3 s_T / |M3 s_T|."""

    def __init__(self, config: RunConfig) -> None:
        super().__init__()
        self.to_mean = nn.Linear(config.hidden_size, config.latent_size, bias=config.linear_bias)
        self.kappa = config.vmf_kappa

    def forward(self, state: Tensor, masks: torch.Generator | None) -> VonMisesFisher:
        """Return q(z|x) from s_T, (B, H)."""
        return VonMisesFisher(nn.functional.normalize(self.to_mean(state), dim=-1), self.kappa)


def log_m(d: int, kappa: float) -> float:
    """log E[exp(κ w)] of a uniform z on the sphere in d dimensions, w = μ·z."""
    logs = _log_terms(d, kappa)
    return float(np.logaddexp.reduce(logs))


def resultant_length(d: int, kappa: float) -> float:
    """A = E_q[μ·z], between 0 and 1."""
    logs = _log_terms(d, kappa)
    weights = np.exp(logs - logs.max())
    return float(2 / kappa * (np.arange(len(logs)) * weights).sum() / weights.sum())


def kl(d: int, kappa: float) -> float:
    """KL(vMF(μ, κ) || uniform) in d dimensions, nats."""
    return kappa * resultant_length(d, kappa) - log_m(d, kappa)


@functools.lru_cache(maxsize=16)
def _log_terms(d: int, kappa: float) -> np.ndarray:
    """log t_j, j = 0, 1, … as far as float64 resolves them."""
    count = math.ceil(kappa + 12 * math.sqrt(kappa + 1) + 60)
    half = d / 2
    return np.array(
        [
            2 * j * math.log(kappa / 2) - math.lgamma(j + 1) - (math.lgamma(half + j) - math.lgamma(half))
            for j in range(count)
        ]
    )


@functools.lru_cache(maxsize=16)
def _table(d: int, kappa: float) -> tuple[np.ndarray, np.ndarray]:
    """Distribution function of w = cos θ and the angles at which it has these values, θ from π down to 0.

    The density of θ is proportional to exp(κ (cos θ − 1)) sin^(d−2) θ, integrated in each cell by the
    Gauss-Legendre rule of 8 points.
    """
    points, weights = np.polynomial.legendre.leggauss(8)
    edges = np.linspace(math.pi, 0, _CELLS + 1)
    width = math.pi / _CELLS
    theta = edges[:-1, None] - width * (points + 1) / 2  # (cells, 8)
    density = np.exp(kappa * (np.cos(theta) - 1)) * np.sin(theta) ** (d - 2)
    mass = np.concatenate([[0.0], np.cumsum(density @ weights)])
    if mass[-1] < np.finfo(float).tiny:  # underflow, as at d = 400 and κ = 10,000: its maximum becomes 1
        log_density = kappa * (np.cos(theta) - 1) + (d - 2) * np.log(np.sin(theta))
        mass[1:] = np.cumsum(np.exp(log_density - log_density.max()) @ weights)
    probability = mass / mass[-1]
    # If a cell adds nothing, the inverse has no value there.
    kept = np.concatenate([[True], np.diff(probability) > 0])
    kept[np.flatnonzero(kept)[0]] = True
    return probability[kept].copy(), edges[kept].copy()


@functools.lru_cache(maxsize=16)
def _table_on(d: int, kappa: float, device: torch.device) -> tuple[Tensor, Tensor]:
    """Copy the table to a device, once: a copy in every step would make the CPU wait for the GPU."""
    with torch.inference_mode(False):  # of what an evaluation copies, training may ask for gradients
        probability, angle = (torch.from_numpy(column).to(device) for column in _table(d, kappa))
    return probability, angle
