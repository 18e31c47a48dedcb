"""The softmax layer: log-likelihoods of words under logits = h M1, a bounded number of rows at a time.

The logits of a batch are by far its largest tensor (rows × V). No function here ever holds more than a
chunk of them, so memory does not grow with L, with the sentence length or with S; and probabilities take
the place of their logits: what costs time here is memory that is touched.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from lvae_core.model.layers import reference
from lvae_core.model.layers.precision import Arithmetic, cast, in_blocks

CHUNK_LOGITS = {"cpu": 2**24, "cuda": 2**26}
"""Logits held at once, in float32 64 MiB on a CPU: many, so that M1 is fetched and its gradients are added
up seldom; 256 MiB on a GPU, to keep it busy."""

BRIEF_LOGITS = {"cpu": 2**22, "cuda": 2**26}
"""The same where rounded logits are not kept for gradients: few enough for a CPU's cache to have most of
them still when the softmax is taken."""

TILE_ROWS = 16
"""Rows are filled up to a multiple of this: matrix units take so many at a time anyway, and a library that
keeps a program for every shape of a product (oneDNN: a megabyte each) meets few."""

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
        """log p(target) of every row, for evaluation: (rows, H) and (rows,) -> (rows,), nats.

        ``hidden`` may be as rounded as it enters the product; the result has the dtype of the weights.
        """
        if self.arithmetic == "reference":
            return reference.log_likelihood(hidden, self.weight, self.bias, targets)
        matrix, bias = _factors(self.weight, self.bias, self.arithmetic)
        room = CHUNK_LOGITS if matrix.dtype is self.weight.dtype else BRIEF_LOGITS
        count = len(hidden)
        hidden, targets = _filled_up(hidden, targets)
        parts = [
            _probabilities(hidden[rows], targets[rows], matrix, bias, self.arithmetic)[0]
            for rows in _chunks(len(hidden), matrix, room)
        ]
        return torch.cat(parts)[:count].to(self.weight.dtype)

    def total_log_likelihood(
        self, hidden: Tensor, targets: Tensor, factor: float = 1.0, weights: Tensor | None = None
    ) -> Tensor:
        """Σ w log p(target) over the rows times ``factor``, for training: a scalar, differentiable once.

        The gradients are made with the logits still at hand, so that no logit is stored for the backward
        pass or computed twice; a factor given here costs nothing, where one on the result costs a pass
        over the gradient of M1. Gradients that nobody asks for are not made. ``hidden`` may be as rounded
        as it enters the product, as its gradient is then. ``weights`` w, (rows,), are constants; None: 1.
        """
        if self.arithmetic == "reference":
            values = reference.log_likelihood(hidden, self.weight, self.bias, targets)
            return factor * (values if weights is None else values * weights).sum()
        total: Tensor = _TotalLogLikelihood.apply(  # type: ignore[no-untyped-call]
            hidden, self.weight, self.bias, targets, factor, weights, self.arithmetic
        )
        return total


class _TotalLogLikelihood(torch.autograd.Function):
    """f Σ w log p. With δ = w (softmax − onehot(target)): d/dh = −f δ M1ᵀ, d/dM1 = −f hᵀ δ, d/db = −f Σ δ.

    Gradients that are not asked for are not made.
    """

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        targets: Tensor,
        factor: float,
        weights: Tensor | None,
        arithmetic: Arithmetic,
    ) -> Tensor:
        count = len(hidden)
        for_hidden, for_weight, for_bias = ctx.needs_input_grad[:3]
        hidden, targets = _filled_up(hidden, targets)
        total = torch.zeros((), dtype=torch.float64, device=hidden.device)
        d_hidden = torch.empty_like(hidden) if for_hidden else None
        d_weight: Tensor | None = None
        d_bias = torch.zeros_like(bias) if bias is not None and for_bias else None
        matrix, offset = _factors(weight, bias, arithmetic)
        for rows in _chunks(len(hidden), matrix, CHUNK_LOGITS):
            own, delta = _probabilities(hidden[rows], targets[rows], matrix, offset, arithmetic)
            left = count - rows.start  # the rows after them are filling
            own = own[:left]
            total += (own if weights is None else own * weights[rows]).sum(dtype=torch.float64)
            if not (for_hidden or for_weight or for_bias):
                continue
            delta = cast(delta, arithmetic)
            each = torch.arange(len(delta), device=own.device)
            delta[each, targets[rows]] = cast(delta[each, targets[rows]] - 1, arithmetic)
            delta[left:] = 0
            if weights is not None:
                delta[:left] *= weights[rows, None]
                delta = cast(delta, arithmetic)
            if d_bias is not None:
                d_bias.sub_(delta.sum(0, dtype=d_bias.dtype), alpha=factor)
            if d_hidden is not None:
                # As (M1 δᵀ)ᵀ: oneDNN takes up to twice as long for δ M1ᵀ.
                torch.mul(cast(matrix.T @ delta.T, arithmetic).T, -factor, out=d_hidden[rows])
            if for_weight:
                scaled = cast(hidden[rows].T * -factor, arithmetic).contiguous()  # (H, rows)
                # Like M1 it lies in memory as (H, V).
                product = cast(scaled @ delta, arithmetic).T
                d_weight = product if d_weight is None else _add(d_weight, product, weight.dtype)
            del delta  # before the next one is made
        ctx.gradients = None if d_hidden is None else d_hidden[:count], d_weight, d_bias
        return (factor * total).to(weight.dtype)

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
        return *gradients, None, None, None, None


def _chunks(rows: int, matrix: Tensor, room: Mapping[str, int]) -> Iterator[slice]:
    """Parts of the rows, each of so many logits at most, and equal: a short last one would be slow."""
    tiles = math.ceil(rows / TILE_ROWS)
    count = math.ceil(tiles / max(1, room[matrix.device.type] // (len(matrix) * TILE_ROWS)))
    step = math.ceil(tiles / count) * TILE_ROWS
    return (slice(start, start + step) for start in range(0, rows, step))


def _filled_up(hidden: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Both with zeros after their last row, up to a multiple of TILE_ROWS."""
    filling = -len(hidden) % TILE_ROWS
    if filling == 0:
        return hidden, targets
    return F.pad(hidden, (0, 0, 0, filling)), F.pad(targets, (0, filling))


def _factors(weight: Tensor, bias: Tensor | None, arithmetic: Arithmetic) -> tuple[Tensor, Tensor | None]:
    """M1 and b as they enter the products."""
    return cast(weight, arithmetic), None if bias is None else cast(bias, arithmetic)


def _logits(hidden: Tensor, factor: Tensor, bias: Tensor | None, arithmetic: Arithmetic) -> Tensor:
    """(rows, H) -> (rows, V), in the dtype of the factors."""
    return cast(F.linear(cast(hidden, arithmetic), factor, bias), arithmetic)


def _probabilities(
    hidden: Tensor, targets: Tensor, factor: Tensor, bias: Tensor | None, arithmetic: Arithmetic
) -> tuple[Tensor, Tensor]:
    """log p(target) of every row, in float32 at least, and p of every word in the dtype of the factors.

    The logarithm is that of a probability: one that is rounded to bfloat16 is off by 0.2% at most, either
    way. If one is too small for a floating-point number, the logit below the highest takes its place.
    """
    logits = _logits(hidden, factor, bias, arithmetic)
    each = torch.arange(len(targets), device=targets.device)
    waits = ASKING_WAITS[logits.device.type]
    below = _below_highest(logits, each, targets) if waits else None
    p = torch.softmax(logits, -1, out=logits if logits.device.type == "cpu" else None)
    own = cast(p[each, targets], arithmetic)
    accurate = own >= torch.finfo(own.dtype).smallest_normal
    value = own.to(torch.promote_types(own.dtype, torch.float32)).log()
    if below is not None:
        value = torch.where(accurate, value, below)
    elif not bool(accurate.all()):
        lost = ~accurate
        logits = _logits(hidden[lost], factor, bias, arithmetic)
        value[lost] = _below_highest(logits, each[: len(logits)], targets[lost])
    return value, p


def _below_highest(logits: Tensor, each: Tensor, targets: Tensor) -> Tensor:
    """The logit of every row's target less the row's highest, in float32 at least."""
    dtype = torch.promote_types(logits.dtype, torch.float32)
    return logits[each, targets].to(dtype) - logits.amax(-1).to(dtype)


def _add(total: Tensor, product: Tensor, dtype: torch.dtype) -> Tensor:
    """Their sum in ``dtype``, in the place of ``total`` if that has it already."""
    total = total.to(dtype)
    for part, addend in in_blocks(total, product):
        part.add_(addend)
    return total
