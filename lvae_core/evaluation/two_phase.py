"""Means over many draws, of which all are known roughly and a random few exactly (two-phase sampling).

Rough values choose which draws are worth an exact value, and how surely; every exact value then stands for
the draws that could have been chosen in its place. The first two results are unbiased for what all exact
values would give, however rough the rough ones are: those decide the variance alone.

    of a mean       the rough mean + the mean error of a simple random sample (difference estimator)
    of Σ_s w_s      Σ_{s chosen} w_s / π_s, draw s being chosen with probability π_s ∝ its rough weight
                    (Horvitz & Thompson 1952), systematically (Madow 1949)
    of Σ_s w_s      the rough sum × the mean of exact / rough weight over draws that were chosen for other
                    means (ratio estimator), for weights that are no bound and get no separate draws

The second is positive and E[Ŵ] = W, so that −log Ŵ lies above −log W in expectation: a bound stays a bound.
The third has a bias that vanishes with many chosen draws, and with the spread of exact over rough weights.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def inclusion_probabilities(log_weights: Tensor, count: int) -> Tensor:
    """π ∝ exp(log_weights) down each column, at most 1, ``count`` in sum: (S, B) -> (S, B), float64."""
    log_weights = log_weights.double()
    certain = torch.zeros_like(log_weights, dtype=torch.bool)
    # Each round makes at least one more draw certain in every column that has not settled.
    for _ in range(count + 1):
        left = count - certain.sum(0)  # (B,)
        share = log_weights.masked_fill(certain, -math.inf).softmax(0)
        pi = torch.where(certain, 1.0, left * share)
        if not bool((surplus := pi > 1).any()):
            break
        certain |= surplus
    return pi


def systematic_sample(pi: Tensor, start: Tensor, count: int) -> Tensor:
    """Draws chosen with probabilities ``pi``, the heavier ones first: indices (count, B).

    Args:
        pi: (S, B); each column adds up to ``count``, or is NaN: then any draws are chosen.
        start: uniform in [0, 1), (B,): the one random number of each column.
        count: the number of draws to choose.
    """
    S = len(pi)
    order = pi.argsort(dim=0, descending=True, stable=True)
    # On the CPU, which the next line waits for anyway: some versions of torch add up in no fixed order.
    reached = pi.gather(0, order).cpu().cumsum(0).to(pi.device)  # (S, B)
    points = torch.arange(count, device=pi.device).unsqueeze(1) + start  # (count, B)
    places = torch.searchsorted(reached.T.contiguous(), points.T.contiguous(), right=True).T
    return order.gather(0, places.clamp(max=S - 1))


def log_mean_weight(log_weights: Tensor, pi: Tensor, draws: int) -> tuple[Tensor, Tensor]:
    """log of the estimated mean weight, and the variance that choosing a few adds to it.

    Args:
        log_weights: exact log w of the chosen, (count, B).
        pi: their inclusion probabilities, (count, B).
        draws: S, of which they were chosen.

    Returns:
        (B,) and (B,): nats, and nats² by the delta method with Hájek's (1964) variance.
    """
    count = len(log_weights)
    expanded = log_weights - pi.log()
    total = expanded.logsumexp(0)
    parts = torch.exp(expanded - total)  # of 1, (count, B)
    unsure = 1 - pi
    middle = (unsure * parts).sum(0) / unsure.sum(0).clamp(min=1e-12)
    variance = count / (count - 1) * (unsure * (parts - middle).square()).sum(0)
    return total - math.log(draws), variance


def corrected_log_mean_weight(
    rough: Tensor, chosen: Tensor, often: Tensor, errors: Tensor
) -> tuple[Tensor, Tensor]:
    """log of the estimated mean weight by draws chosen for other means, and the variance this adds.

    Args:
        rough: rough log-weights of all draws, (S, B).
        chosen: indices of n draws in each column, (n, B), by one or several plans; a draw may come twice.
        often: the expected number of times that each of them is chosen, over all plans, (n, B).
        errors: exact minus rough log-weight of the chosen, (n, B).

    Returns:
        (B,) and (B,): nats, and nats² by linearisation. The variance is that of independent choices, which
        is rather too large, as plans seldom choose a draw twice.
    """
    n = len(chosen)
    log_parts = (rough.gather(0, chosen) - often.log()).log_softmax(0)  # (n, B)
    ratio = (log_parts + errors).logsumexp(0)
    residual = log_parts.exp() * torch.expm1(errors - ratio)
    variance = n / (n - 1) * residual.square().sum(0)
    return rough.logsumexp(0) - math.log(len(rough)) + ratio, variance


def corrected_mean(rough: Tensor, chosen: Tensor, exact: Tensor) -> tuple[Tensor, Tensor]:
    """The estimated mean of the exact values, and the variance that choosing a few adds to it.

    Args:
        rough: rough values of all draws, (S, B).
        chosen: indices of a simple random sample of them in each column, (count, B).
        exact: their exact values, (count, B).

    Returns:
        (B,) and (B,).
    """
    error = exact - rough.gather(0, chosen)
    unseen = 1 - len(chosen) / len(rough)
    return rough.mean(0) + error.mean(0), unseen * error.var(0) / len(chosen)
