"""Importance weights of S draws: the log of their mean, its error, and whether a few draws decide it.

Weights come as logarithms, (S, B): S draws for each of B sentences. A diagnostic of a sentence is the same
to the last bit whatever other sentences are beside it.

    Zhang & Stephens (2009)                 a quick estimator of the generalised Pareto distribution
    Vehtari, Simpson, Gelman, Yao & Gabry (2024), Pareto smoothed importance sampling
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

FEWEST_TAIL = 5
"""Fewer draws in the tail say nothing of its shape; 21 draws have 5 in the tail."""

_LIGHTEST = -700.0
"""Nats below the heaviest weight, where exp begins to underflow: a lighter weight counts as this one."""

_EQUAL = 1e-4
"""Weights whose tail spans less than this part of the heaviest are equal: float32 scores tell no more."""

_SMALLEST = 1e-300
"""An excess that counts as 0; its inverse is still a number."""

_PRIOR_SHAPE, _PRIOR_DRAWS = 0.5, 10
"""The weak prior on the shape in PSIS: its mean, and the number of draws that it counts for."""


@dataclass(frozen=True, eq=False)
class Reading:
    """The log-mean weight of B sentences by one reading of the weight."""

    value: Tensor
    """(B,), nats."""
    of_choice: Tensor
    """Variance that scoring only some draws in full adds, (B,)."""
    of_draws: Tensor
    """Variance that the S draws have, by the delta method, (B,)."""
    log_weights: Tensor
    """Of all S draws, (S, B): rough ones if only some draws are scored in full."""

    @property
    def variance(self) -> Tensor:
        """The Monte Carlo variance of the value, (B,)."""
        return self.of_choice + self.of_draws

    def diagnostics(self) -> tuple[Tensor, Tensor, Tensor]:
        """The variance by the jackknife, the effective sample size and the Pareto shape, each (B,)."""
        jackknife = self.of_choice + jackknife_variance(self.log_weights)
        return jackknife, effective_sample_size(self.log_weights), pareto_shape(self.log_weights)


def in_full(log_weights: Tensor) -> Reading:
    """The log-mean weight of draws that are all scored in full, (S, B)."""
    value, variance = log_mean_exp(log_weights)
    return Reading(value, torch.zeros_like(variance), variance, log_weights)


def log_mean_exp(log_weights: Tensor) -> tuple[Tensor, Tensor]:
    """The log of the mean weight and its Monte Carlo variance by the delta method, each (B,)."""
    S = len(log_weights)
    value = log_weights.logsumexp(0) - math.log(S)
    relative = torch.exp(log_weights - value)  # w_s over their mean
    variance = relative.var(0) / S if S > 1 else torch.full_like(value, math.nan)
    return value, variance


def jackknife_variance(log_weights: Tensor) -> Tensor:
    """Variance of the log of the mean weight by the jackknife over draws, (B,), nats².

    (S - 1)/S Σ_s (v_s - v̄)² with v_s the log-mean without draw s. It follows the logarithm where one draw
    holds much of the sum, which the delta method takes for a straight line: under heavy tails its square
    root stays near the true error.
    """
    rows = _rows(log_weights)  # (B, S)
    S = rows.shape[1]
    top = rows.argmax(1, keepdim=True)
    total = rows.logsumexp(1, keepdim=True)
    # Without the heaviest draw: a sum of the others, as a difference of nearly equal numbers has no digits.
    without_top = rows.scatter(1, top, -math.inf).logsumexp(1, keepdim=True)
    share = torch.exp(rows - total).scatter(1, top, 0.0)
    left = (total + torch.log1p(-share)).scatter(1, top, without_top)
    return (S - 1) / S * (left - left.mean(1, keepdim=True)).square().sum(1)


def effective_sample_size(log_weights: Tensor) -> Tensor:
    """(Σ w)² / Σ w², (B,): S for equal weights, 1 if one draw has everything."""
    rows = _rows(log_weights)
    return torch.exp(2 * rows.logsumexp(1) - (2 * rows).logsumexp(1))


def pareto_shape(log_weights: Tensor) -> Tensor:
    """k̂, the shape of a generalised Pareto distribution fitted to the heaviest weights, (B,).

    The tail are the min(S/5, 3√S) heaviest draws, measured from the heaviest draw below them. The larger
    the shape, the heavier the tail: weights with shape k have moments below 1/k, so no variance from 0.5 on
    and no mean from 1 on.

    Returns:
        k̂ with the weak prior of PSIS; −inf if the weights are equal; +inf with fewer than FEWEST_TAIL draws
        in the tail.
    """
    rows = _rows(log_weights)
    B, S = rows.shape
    tail = math.ceil(min(S / 5, 3 * math.sqrt(S)))
    if tail < FEWEST_TAIL:
        return rows.new_full((B,), math.inf)
    heaviest = rows.topk(tail + 1, dim=1).values.flip(1)  # ascending
    heaviest = heaviest - heaviest[:, -1:]
    threshold, above = heaviest[:, :1], heaviest[:, 1:]
    excess = -torch.exp(above) * torch.expm1(threshold - above)  # (B, n), ascending
    shape = _fit_shape(excess.clamp(min=_SMALLEST))
    shape = (tail * shape + _PRIOR_DRAWS * _PRIOR_SHAPE) / (tail + _PRIOR_DRAWS)
    return torch.where(excess[:, -1] < _EQUAL, -math.inf, shape)


def _rows(log_weights: Tensor) -> Tensor:
    """The draws of each sentence side by side, so that a sum has one order in every batch: (B, S)."""
    rows = log_weights.double().T.contiguous()
    return rows.clamp(min=rows.amax(1, keepdim=True) + _LIGHTEST)


def _fit_shape(excess: Tensor) -> Tensor:
    """The shape by Zhang & Stephens (2009), (B,), from excesses over a threshold, (B, n), ascending.

    With θ = −k/σ the likelihood's maximum over k is the mean of log(1 − θ x). θ is the mean of its
    posterior over a grid of quantiles of a prior that the data scale.
    """
    n = excess.shape[1]
    points = 30 + math.floor(math.sqrt(n))
    place = torch.arange(1, points + 1, device=excess.device, dtype=excess.dtype) - 0.5
    quartile = excess[:, math.floor(n / 4 + 0.5) - 1].unsqueeze(1)
    theta = 1 / excess[:, -1:] + (1 - torch.sqrt(points / place)) / (3 * quartile)  # (B, m)
    theta = torch.where(theta == 0, torch.finfo(theta.dtype).eps, theta)  # there 0/0 has a limit
    shape = torch.log1p(-theta.unsqueeze(2) * excess.unsqueeze(1)).mean(2)
    posterior = (n * (torch.log(-theta / shape) - shape - 1)).softmax(1)
    best = (posterior * theta).sum(1, keepdim=True)
    return torch.log1p(-best * excess).mean(1)
