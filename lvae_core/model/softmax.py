"""Log-likelihoods of words under logits = h M1, a bounded number of rows at a time.

The logits of a batch are by far its largest tensor (rows × V). No function here ever holds more than
``CHUNK_LOGITS`` of them, so memory does not grow with L, with the sentence length or with S.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

CHUNK_LOGITS = 2**22
"""Logits held at once: 16 MiB in float32, which stays in a processor's cache."""


def log_likelihood(hidden: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor) -> Tensor:
    """log p(target) of every row, for evaluation.

    Args:
        hidden: (rows, H).
        weight: M1, (V, H).
        bias: (V,) or None.
        targets: class of each row, (rows,).

    Returns:
        (rows,), nats.
    """
    parts = [
        F.linear(hidden[rows], weight, bias).log_softmax(-1).gather(-1, targets[rows, None])
        for rows in _chunks(hidden, weight)
    ]
    return torch.cat(parts).squeeze(-1)


def total_log_likelihood(hidden: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor) -> Tensor:
    """Σ log p(target) over the rows, for training: a scalar, differentiable once.

    Takes what :func:`log_likelihood` takes. The gradients are made with the logits still at hand, so no
    logit is stored for the backward pass or computed twice.
    """
    total: Tensor = _TotalLogLikelihood.apply(hidden, weight, bias, targets)  # type: ignore[no-untyped-call]
    return total


class _TotalLogLikelihood(torch.autograd.Function):
    """For Σ log p: d/dlogits = onehot(target) − softmax, d/dh = d·M1, d/dM1 = dᵀ·h."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor) -> Tensor:
        total = torch.zeros((), dtype=torch.float64, device=hidden.device)
        d_hidden = torch.empty_like(hidden)
        d_weight = torch.zeros_like(weight)
        d_bias = None if bias is None else torch.zeros_like(bias)
        for rows in _chunks(hidden, weight):
            target = targets[rows]
            row = torch.arange(len(target), device=target.device)
            delta = F.linear(hidden[rows], weight, bias).log_softmax(-1)  # (rows, V)
            total += delta[row, target].sum(dtype=torch.float64)
            delta.exp_().neg_()
            delta[row, target] += 1
            torch.mm(delta, weight, out=d_hidden[rows])
            d_weight.addmm_(delta.T, hidden[rows])
            if d_bias is not None:
                d_bias += delta.sum(0)
        ctx.save_for_backward(d_hidden, d_weight, d_bias)
        return total.to(hidden.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (scale,) = grads
        d_hidden, d_weight, d_bias = ctx.saved_tensors
        return (
            d_hidden * scale,
            d_weight * scale,
            None if d_bias is None else d_bias * scale,
            None,
        )


def _chunks(hidden: Tensor, weight: Tensor) -> Iterator[slice]:
    step = max(1, CHUNK_LOGITS // weight.shape[0])
    return (slice(start, start + step) for start in range(0, hidden.shape[0], step))
