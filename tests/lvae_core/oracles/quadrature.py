"""Integrals over one or two latent variables, each by two rules that must agree.

``log_p`` of sentences is given as a table over nodes, so that an integral costs one pass of the model.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from . import hand_model
from .hand_model import Parameters


@dataclass(frozen=True)
class Rule:
    """Nodes z and log-weights: ∫ f(z) dz ≈ Σ exp(log_weight) f(z)."""

    z: Tensor
    log_weight: Tensor


def gauss_hermite(n: int, mean: float = 0.0, deviation: float = 1.0) -> Rule:
    """Gauss–Hermite around N(mean, deviation²), as a rule for plain ∫ dz."""
    x, w = np.polynomial.hermite.hermgauss(n)
    keep = w > 0
    x, w = x[keep], w[keep]
    z = mean + deviation * math.sqrt(2) * x
    return Rule(torch.tensor(z), torch.tensor(np.log(w) + x * x + math.log(deviation * math.sqrt(2))))


def trapezoid(n: int, low: float = -12.0, high: float = 12.0) -> Rule:
    """The trapezoidal rule: spectrally exact where the integrand has died out at both ends."""
    z = torch.linspace(low, high, n, dtype=torch.float64)
    return Rule(z, torch.full((n,), math.log((high - low) / (n - 1)), dtype=torch.float64))


def log_normal(z: Tensor, mean: float = 0.0, log_variance: float = 0.0) -> Tensor:
    """log N(z; mean, exp(log_variance))."""
    square = (z - mean) ** 2 / math.exp(log_variance)
    return -0.5 * (square + log_variance + math.log(2 * math.pi))


@dataclass(frozen=True)
class Exact:
    """Limits of the estimates of one sentence, in nats."""

    nll: float
    """−log p(x) of the model that is evaluated."""
    kl: float
    nll_elbo: float
    """−E_q log p(x|z^(1..G)) + KL, the KL once."""
    nll_joint: float
    """−E_q log p(x|z^(1..G)) + G KL."""
    nll_iw: float
    """−log E_q[p(x|z^(1..G)) Π (p/q)^(1/G)]: with G = 1 the truth, else the paper's convention."""
    nll_iw_one: float
    """−log E_q[p(x|z^(1..G)) p/q(z^(1))]: the first sample from the prior, the others from q."""


def exact(p: Parameters, words: list[int], *, group: int, hide: bool, rule: Rule) -> Exact:
    """The exact values for one sentence and Z = 1; ``group`` is G = 1 or 2 samples under one softmax."""
    mean, log_variance = (float(value) for value in hand_model.posterior(p, words))
    table = log_p_table(p, words, group=group, hide=hide, rule=rule)
    return exact_from_table(table, mean, log_variance, rule)


def log_p_table(p: Parameters, words: list[int], *, group: int, hide: bool, rule: Rule) -> Tensor:
    """log p(x | z) at the nodes, (n,), or log p(x | z1, z2), (n, n)."""
    with torch.no_grad():
        path = hand_model.states(p, words, rule.z.unsqueeze(-1), hide=hide)  # T of (n, H)
        if group == 2:
            path = [(h.unsqueeze(0) + h.unsqueeze(1)) / 2 for h in path]
        return hand_model.log_p(p, path, words)


def exact_from_table(table: Tensor, mean: float, log_variance: float, rule: Rule) -> Exact:
    """The exact values for the posterior N(mean, exp(log_variance)) and log p(x|·) at the nodes."""
    G = table.dim()
    log_prior = log_normal(rule.z)
    log_q = log_normal(rule.z, mean, log_variance)
    kl = 0.5 * (mean**2 + math.exp(log_variance) - 1 - log_variance)
    expected = float((_outer(log_q + rule.log_weight, G).exp() * table).sum())
    tempered = log_q + (log_prior - log_q) / G
    return Exact(
        nll=-_log_integral(table, log_prior + rule.log_weight),
        kl=kl,
        nll_elbo=-expected + kl,
        nll_joint=-expected + G * kl,
        nll_iw=-_log_integral(table, tempered + rule.log_weight),
        nll_iw_one=-_log_integral(table, log_prior + rule.log_weight, log_q + rule.log_weight),
    )


def _log_integral(table: Tensor, log_weight: Tensor, second: Tensor | None = None) -> float:
    """``log_weight`` is of the first latent variable; of a second one it is ``second``, or the same."""
    weights = _outer(log_weight, table.dim(), second)
    return float((table + weights).logsumexp(dim=tuple(range(table.dim()))))


def _outer(log_weight: Tensor, dimensions: int, second: Tensor | None = None) -> Tensor:
    if dimensions == 1:
        return log_weight
    return log_weight.unsqueeze(1) + (log_weight if second is None else second).unsqueeze(0)
