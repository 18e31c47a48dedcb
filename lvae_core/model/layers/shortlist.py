"""Rough log-likelihoods under a large vocabulary, for many hidden states that lie near each other.

The decoder's states at one position under S draws of z differ little, and so do the words they make likely.
The K likeliest words at a middle state h̄ are scored for every state h; what the other words add to the
normaliser is followed to first order from there:

    log Σ_v exp(h·m_v) ≈ log[ Σ_{v listed} exp(h·m_v) + exp(a + g·(h − h̄)) ]

with a = log Σ_{v not listed} exp(h̄·m_v) and g its gradient. That costs K/V of the whole and tells which
draws matter (see lvae_core/evaluation/two_phase.py); it is never an estimate by itself.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from lvae_core.model.layers.softmax import Softmax

SIZE = 256
"""K, words that are scored for every state."""

BLOCK = 2**23
"""Numbers held at once of what grows with the number of positions: weights or logits of listed words."""


@dataclass(frozen=True, eq=False)
class Shortlist:
    """The listed words of P positions, and what the rest adds.

    weight: M1, (V, H), in memory row by row: a word's weights are taken together.
    words: (P, K). middle: h̄, (P, H). rest: a, (P,). slope: g, (P, H).
    """

    weight: Tensor
    bias: Tensor | None
    words: Tensor
    middle: Tensor
    rest: Tensor
    slope: Tensor

    @staticmethod
    def around(layer: Softmax, weight: Tensor, hidden: Tensor) -> Shortlist:
        """The lists for states such as ``hidden``, (S, P, H); ``weight`` is the layer's, row by row."""
        middle = hidden.mean(0)  # (P, H)
        V = layer.out_features
        words, rests, slopes = [], [], []
        for rows in _blocks(len(middle), V):
            logits = layer(middle[rows])  # (p, V)
            listed = logits.topk(min(SIZE, V - 1), sorted=False).indices
            logits.scatter_(1, listed, -math.inf)
            words.append(listed)
            rests.append(logits.logsumexp(-1))
            slopes.append(logits.softmax(-1) @ weight)
        return Shortlist(weight, layer.bias, torch.cat(words), middle, torch.cat(rests), torch.cat(slopes))

    def log_likelihood(self, hidden: Tensor, targets: Tensor) -> Tensor:
        """About log p(target): (S, P, H) and (P,) -> (S, P), nats."""
        S, P, H = hidden.shape
        parts = []
        for rows in _blocks(P, self.words.shape[1] * max(S, H)):
            states = hidden[:, rows].transpose(0, 1)  # (p, S, H)
            words, own = self.words[rows], self.weight[targets[rows]].unsqueeze(2)
            listed = states @ self.weight[words].transpose(1, 2)  # (p, S, K)
            logit = states @ own  # (p, S, 1), of the target
            if self.bias is not None:
                listed += self.bias[words].unsqueeze(1)
                logit += self.bias[targets[rows], None, None]
            drift = (states - self.middle[rows].unsqueeze(1)) @ self.slope[rows].unsqueeze(2)
            others = self.rest[rows, None, None] + drift  # (p, S, 1)
            normaliser = torch.cat([listed, others], dim=2).logsumexp(2)
            parts.append((logit.squeeze(2) - normaliser).T)
        return torch.cat(parts, dim=1)


def _blocks(positions: int, numbers: int) -> Iterator[slice]:
    """Slices over the positions, each of which accounts for so many numbers."""
    step = max(1, BLOCK // numbers)
    return (slice(start, start + step) for start in range(0, positions, step))
