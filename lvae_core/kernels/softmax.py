"""The softmax layer: log-likelihoods of words under logits = h M1, a bounded number of rows at a time.

The logits of a batch are by far its largest tensor (rows × V). No function here ever holds more than a
chunk of them, so memory does not grow with L, with the sentence length or with S; and what fits into a
processor's cache is not fetched again between the product, the softmax and the gradients.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from lvae_core.kernels import reference
from lvae_core.kernels.precision import Arithmetic, cast

CHUNK_LOGITS = {"cpu": 2**24, "cuda": 2**26}
"""Logits held at once: in float32 64 MiB on a CPU, so that gradients are summed over few chunks; 256 MiB
on a GPU, to keep it busy."""

PART_LOGITS = {"cpu": 2**22, "cuda": 2**26}
"""Logits made at once: few enough for a CPU's cache to have them still when the softmax is taken."""

ASKING_WAITS = {"cpu": False, "cuda": True}
"""Whether looking at a number means waiting for it; where not, a pass over the logits is often saved."""


class Softmax(nn.Linear):
    """p(word | h) = softmax(h M1 + b) over V words, asked for log-likelihoods.

    Called like the ``nn.Linear`` it is, it returns logits, always in float32. ``weight`` has the shape of
    one, (V, H), but lies in memory as M1 is written, H × V: matrix units then read it in order in the
    product itself and in both gradients.
    """

    arithmetic: Arithmetic = "float32"

    def __init__(self, hidden_size: int, num_classes: int, *, bias: bool) -> None:
        super().__init__(hidden_size, num_classes, bias=bias)
        self.weight = nn.Parameter(self.weight.detach().T.contiguous().T)
        # Its gradient may be as rounded as the product that gives it: half the memory to write and read.
        self.weight.grad_dtype = None

    def log_likelihood(self, hidden: Tensor, targets: Tensor) -> Tensor:
        """log p(target) of every row, for evaluation: (rows, H) and (rows,) -> (rows,), nats."""
        if self.arithmetic == "reference":
            return reference.log_likelihood(hidden, self.weight, self.bias, targets)
        factor, bias = _factors(self.weight, self.bias, self.arithmetic)
        parts = []
        for rows in _chunks(hidden, self.weight, PART_LOGITS):
            logits = _logits(hidden[rows], factor, bias, self.arithmetic)
            if self.arithmetic == "float32":
                parts.append(logits.log_softmax(-1).gather(-1, targets[rows, None]).squeeze(-1))
            else:
                own = _own(logits, logits.softmax(-1), targets[rows], self.arithmetic)
                parts.append(own.to(hidden.dtype))
        return torch.cat(parts)

    def total_log_likelihood(self, hidden: Tensor, targets: Tensor, factor: float = 1.0) -> Tensor:
        """Σ log p(target) over the rows times ``factor``, for training: a scalar, differentiable once.

        The gradients are made with the logits still at hand, so that no logit is stored for the backward
        pass or computed twice; a factor given here costs nothing, where one on the result costs a pass
        over the gradient of M1.
        """
        if self.arithmetic == "reference":
            return factor * reference.log_likelihood(hidden, self.weight, self.bias, targets).sum()
        total: Tensor = _TotalLogLikelihood.apply(  # type: ignore[no-untyped-call]
            hidden, self.weight, self.bias, targets, factor, self.arithmetic
        )
        return total


class _TotalLogLikelihood(torch.autograd.Function):
    """f Σ log p. With δ = softmax − onehot(target): d/dh = −f δ M1ᵀ, d/dM1 = −f hᵀ δ, d/db = −f Σ δ."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        targets: Tensor,
        factor: float,
        arithmetic: Arithmetic,
    ) -> Tensor:
        total = torch.zeros((), dtype=torch.float64, device=hidden.device)
        d_hidden = torch.empty_like(hidden)
        d_weight: Tensor | None = None
        d_bias = None if bias is None else torch.zeros_like(bias)
        matrix, offset = _factors(weight, bias, arithmetic)
        for rows in _chunks(hidden, weight, CHUNK_LOGITS):
            states, target = cast(hidden[rows], arithmetic), targets[rows]
            delta = matrix.new_empty(len(states), len(matrix))
            for part in _chunks(states, weight, PART_LOGITS):
                logits = _logits(states[part], matrix, offset, arithmetic)
                torch.softmax(logits, -1, out=delta[part])
                total += _own(logits, delta[part], target[part], arithmetic).sum(dtype=torch.float64)
            delta = cast(delta, arithmetic)
            each = torch.arange(len(target), device=target.device)
            delta[each, target] = cast(delta[each, target] - 1, arithmetic)
            if d_bias is not None:
                d_bias.sub_(delta.sum(0, dtype=d_bias.dtype), alpha=factor)
            # As (M1 δᵀ)ᵀ: oneDNN takes up to twice as long for δ M1ᵀ.
            torch.mul(cast(matrix.T @ delta.T, arithmetic).T, -factor, out=d_hidden[rows])
            scaled = cast(hidden[rows].T * -factor, arithmetic).contiguous()  # (H, rows)
            # Like M1 it lies in memory as (H, V). Products in bfloat16 are added up in float32.
            if d_weight is None:
                d_weight = cast(scaled @ delta, arithmetic).T
            elif arithmetic == "float32":
                d_weight.T.addmm_(scaled, delta)
            else:
                d_weight = d_weight.to(weight.dtype)
                d_weight.T.add_(cast(scaled @ delta, arithmetic))
        ctx.gradients = d_hidden, d_weight, d_bias
        return (factor * total).to(hidden.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (scale,) = grads
        gradients = ctx.gradients
        if gradients is None:
            raise RuntimeError("the gradients of this sum have been handed out by an earlier backward pass")
        if ASKING_WAITS[scale.device.type] or float(scale) != 1:
            gradients = tuple(None if gradient is None else gradient * scale for gradient in gradients)
        else:
            # Held nowhere else, they become the parameters' own without a copy.
            ctx.gradients = None
        return *gradients, None, None, None


def _chunks(hidden: Tensor, weight: Tensor, logits: Mapping[str, int]) -> Iterator[slice]:
    """Equal parts of the rows, each of so many logits at most: a short last one would be slow."""
    rows = len(hidden)
    count = math.ceil(rows / max(1, logits[hidden.device.type] // len(weight)))
    step = math.ceil(rows / count)
    return (slice(start, start + step) for start in range(0, rows, step))


def _factors(weight: Tensor, bias: Tensor | None, arithmetic: Arithmetic) -> tuple[Tensor, Tensor | None]:
    """M1 and b as they enter the products."""
    return cast(weight, arithmetic), None if bias is None else cast(bias, arithmetic)


def _logits(hidden: Tensor, factor: Tensor, bias: Tensor | None, arithmetic: Arithmetic) -> Tensor:
    """(rows, H) -> (rows, V), in the dtype of the factors."""
    return cast(F.linear(cast(hidden, arithmetic), factor, bias), arithmetic)


def _own(logits: Tensor, probabilities: Tensor, targets: Tensor, arithmetic: Arithmetic) -> Tensor:
    """log p(target) of every row, in float32 at least.

    The logarithm of a probability: one that is rounded to bfloat16 is off by 0.2% at most, either way. Of
    one too small for a floating-point number the logit below the highest is told instead.
    """
    each = torch.arange(len(targets), device=targets.device)
    logit, p = logits[each, targets], cast(probabilities[each, targets], arithmetic)
    dtype = torch.promote_types(p.dtype, torch.float32)
    value = p.to(dtype).log()
    accurate = p >= torch.finfo(p.dtype).smallest_normal
    if not ASKING_WAITS[p.device.type] and bool(accurate.all()):
        return value
    return torch.where(accurate, value, logit.to(dtype) - logits.amax(-1).to(dtype))
