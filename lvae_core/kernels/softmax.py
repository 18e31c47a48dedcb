"""The softmax layer: log-likelihoods of words under logits = h M1, a bounded number of rows at a time.

The logits of a batch are by far its largest tensor (rows × V). No function here ever holds more than a
chunk of them, so memory does not grow with L, with the sentence length or with S; and what fits into a
processor's cache is not fetched again between the product, the softmax and the gradients.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from lvae_core.kernels import reference
from lvae_core.kernels.precision import Arithmetic, cast

CHUNK_LOGITS = {"cpu": 2**23, "cuda": 2**26}
"""Logits held at once: in float32 32 MiB on a CPU, for its cache; 256 MiB on a GPU, to keep it busy."""

ALIGNMENT = 64
"""Matrix units take bfloat16 in tiles: V is padded to a multiple of this for them."""


class Softmax(nn.Linear):
    """p(word | h) = softmax(h M1 + b) over V words, asked for log-likelihoods.

    Called like the ``nn.Linear`` it is, it returns logits, always in float32.
    """

    arithmetic: Arithmetic = "float32"

    def log_likelihood(self, hidden: Tensor, targets: Tensor) -> Tensor:
        """log p(target) of every row, for evaluation: (rows, H) and (rows,) -> (rows,), nats."""
        if self.arithmetic == "reference":
            return reference.log_likelihood(hidden, self.weight, self.bias, targets)
        factor = _factor(self.weight, self.arithmetic)
        parts = [
            _logits(hidden[rows], factor, self.weight, self.bias, self.arithmetic)
            .log_softmax(-1)
            .gather(-1, targets[rows, None])
            for rows in _chunks(hidden, self.weight)
        ]
        return torch.cat(parts).squeeze(-1)

    def total_log_likelihood(self, hidden: Tensor, targets: Tensor) -> Tensor:
        """Σ log p(target) over the rows, for training: a scalar, nats, differentiable once.

        The gradients are made with the logits still at hand, so that no logit is stored for the backward
        pass or computed twice.
        """
        if self.arithmetic == "reference":
            return reference.log_likelihood(hidden, self.weight, self.bias, targets).sum()
        total: Tensor = _TotalLogLikelihood.apply(  # type: ignore[no-untyped-call]
            hidden, self.weight, self.bias, targets, self.arithmetic
        )
        return total


class _TotalLogLikelihood(torch.autograd.Function):
    """Σ log p. With δ = softmax − onehot(target), −Σ log p has d/dh = δ M1ᵀ, d/dM1 = hᵀ δ, d/db = Σ δ."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        targets: Tensor,
        arithmetic: Arithmetic,
    ) -> Tensor:
        total = torch.zeros((), dtype=torch.float64, device=hidden.device)
        d_hidden = torch.empty_like(hidden)
        d_weight = torch.zeros_like(weight)
        d_bias = None if bias is None else torch.zeros_like(bias)
        factor = _factor(weight, arithmetic)
        for rows in _chunks(hidden, weight):
            states, target = hidden[rows], targets[rows]
            row = torch.arange(len(target), device=target.device)
            logits = _logits(states, factor, weight, bias, arithmetic)
            highest, own = logits.amax(-1), logits[row, target]
            delta = logits.softmax(-1)
            # The largest probability is exp(highest − log Σ exp): it gives the sum without another pass.
            total += (own - highest + delta.amax(-1).log()).sum(dtype=torch.float64)
            delta[row, target] -= 1
            if d_bias is not None:
                d_bias += delta.sum(0)
            delta = _aligned(delta, factor, arithmetic)
            d_hidden[rows] = cast(delta @ factor, arithmetic)
            _add_product(d_weight, delta.T, cast(states, arithmetic), arithmetic)
        ctx.save_for_backward(d_hidden, d_weight, d_bias)
        return total.to(hidden.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        d_hidden, d_weight, d_bias = ctx.saved_tensors
        scale = -grads[0]
        return d_hidden * scale, d_weight * scale, None if d_bias is None else d_bias * scale, None, None


def _chunks(hidden: Tensor, weight: Tensor) -> Iterator[slice]:
    """Equal parts of the rows, each of CHUNK_LOGITS at most: a short last one would be slow."""
    rows = len(hidden)
    count = math.ceil(rows / max(1, CHUNK_LOGITS[hidden.device.type] // len(weight)))
    step = math.ceil(rows / count)
    return (slice(start, start + step) for start in range(0, rows, step))


def _factor(weight: Tensor, arithmetic: Arithmetic) -> Tensor:
    """M1 as it enters the products: itself, or rounded; in bfloat16 with rows of zeros to the alignment."""
    factor = cast(weight, arithmetic)
    return factor if factor.dtype == weight.dtype else F.pad(factor, (0, 0, 0, -len(weight) % ALIGNMENT))


def _logits(
    hidden: Tensor, factor: Tensor, weight: Tensor, bias: Tensor | None, arithmetic: Arithmetic
) -> Tensor:
    """(rows, H) -> (rows, V), without the padding and in the dtype of ``hidden``."""
    products = cast(F.linear(cast(hidden, arithmetic), factor), arithmetic)
    logits = products[:, : len(weight)].to(hidden.dtype)
    return logits if bias is None else logits.add_(bias)


def _aligned(delta: Tensor, factor: Tensor, arithmetic: Arithmetic) -> Tensor:
    """(rows, V) in the dtype and with the padding of ``factor``."""
    if delta.dtype == factor.dtype:
        return cast(delta, arithmetic)
    rows, V = delta.shape
    aligned = factor.new_empty(rows, len(factor))
    aligned[:, :V] = delta
    aligned[:, V:] = 0
    return aligned


def _add_product(total: Tensor, left: Tensor, right: Tensor, arithmetic: Arithmetic) -> None:
    """total += left right, the sum over chunks in the dtype of ``total``; surplus rows are padding."""
    if arithmetic == "float32":
        total.addmm_(left, right)
    else:
        total += cast(left @ right, arithmetic)[: len(total)]
