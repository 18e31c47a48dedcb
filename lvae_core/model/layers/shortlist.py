"""Approximate log-likelihoods under a large vocabulary, for many hidden states that are close together.

At one position, the decoder's states under S draws of z differ little, and so do the likely words. So only
the K likeliest words at the mean state h̄ are scored for every state h. The contribution of all other words
to the normaliser is approximated to first order around h̄:

    log Σ_v exp(h·m_v) ≈ log[ Σ_{v listed} exp(h·m_v) + exp(a + g·(h − h̄)) ]

with a = log Σ_{v not listed} exp(h̄·m_v) and g its gradient. That costs K/V of the full softmax and shows
which draws matter (see lvae_core/evaluation/two_phase.py). It is never reported as an estimate.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from lvae_core import rough_scoring
from lvae_core.model.layers.softmax import Softmax

BLOCK = 2**23
"""Limit on the numbers held at once in tensors that grow with the number of positions."""


@dataclass(frozen=True, eq=False)
class Shortlist:
    """The listed words of P positions, and the first-order contribution of all others.

    weight: M1, (V, H), row-major, so that the weights of one word are contiguous.
    bias: b, (V,), or None.
    words: the listed words, (P, K).
    middle: h̄, (P, H).
    rest: a, (P,).
    slope: g, (P, H).
    """

    weight: Tensor
    bias: Tensor | None
    words: Tensor
    middle: Tensor
    rest: Tensor
    slope: Tensor

    @staticmethod
    def around(layer: Softmax, weight: Tensor, hidden: Tensor) -> Shortlist:
        """Make the lists around the mean of ``hidden``, (S, P, H); ``weight`` is the layer's, row-major."""
        middle = hidden.mean(0)  # (P, H)
        V = layer.out_features
        words, rests, slopes = [], [], []
        for rows in _blocks(len(middle), V):
            logits = layer(middle[rows])  # (p, V)
            listed = logits.topk(min(rough_scoring.SHORTLIST, V - 1), sorted=False).indices
            logits.scatter_(1, listed, -math.inf)
            words.append(listed)
            rests.append(logits.logsumexp(-1))
            slopes.append(logits.softmax(-1) @ weight)
        return Shortlist(weight, layer.bias, torch.cat(words), middle, torch.cat(rests), torch.cat(slopes))

    def log_likelihood(self, hidden: Tensor, targets: Tensor) -> Tensor:
        """Approximate log p(target): hidden (S, P, H), targets (P,) -> (S, P), nats."""
        S, P, H = hidden.shape
        parts = []
        for rows in _blocks(P, self.words.shape[1] * max(S, H)):
            states = hidden[:, rows].transpose(0, 1)  # (p, S, H)
            words, target_weight = self.words[rows], self.weight[targets[rows]].unsqueeze(2)
            listed = states @ self.weight[words].transpose(1, 2)  # (p, S, K)
            logit = states @ target_weight  # (p, S, 1)
            if self.bias is not None:
                listed += self.bias[words].unsqueeze(1)
                logit += self.bias[targets[rows], None, None]
            drift = (states - self.middle[rows].unsqueeze(1)) @ self.slope[rows].unsqueeze(2)
            others = self.rest[rows, None, None] + drift  # (p, S, 1)
            normaliser = torch.cat([listed, others], dim=2).logsumexp(2)
            parts.append((logit.squeeze(2) - normaliser).T)
        return torch.cat(parts, dim=1)


def _blocks(positions: int, numbers: int) -> Iterator[slice]:
    """Slices over the positions within ``BLOCK``, if each position takes ``numbers`` numbers."""
    step = max(1, BLOCK // numbers)
    return (slice(start, start + step) for start in range(0, positions, step))
