"""The softmax layer: log-likelihoods of words under logits = h M1, computed in chunks of rows.

The logits of a batch (rows × V) are by far its largest tensor. No function here holds more than one chunk
of them, so memory does not grow with L, the sentence length or S. Probabilities overwrite their logits,
because memory traffic takes most of the time here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from lvae_core.model.layers import reference
from lvae_core.model.layers.precision import Arithmetic, cast, in_blocks

CHUNK_LOGITS = {"cpu": 2**24, "cuda": 2**26}
"""Largest number of logits in a chunk. On a CPU 64 MiB in float32: with large chunks M1 is seldom read and
its gradient seldom added up. On a GPU 256 MiB, to keep it busy."""

UNKEPT_LOGITS = {"cpu": 2**22, "cuda": 2**26}
"""Largest number of logits in a chunk if rounded logits are not kept for gradients. On a CPU most logits
of such a small chunk are still in the cache when the softmax reads them."""

KEPT_LOGITS = {"cpu": 2**27, "cuda": 2**28}
"""Largest number of probabilities that wait for weights that depend on them; others are computed twice."""

TILE_ROWS = 16
"""Rows are padded to a multiple of this number. Matrix units process that many at once anyway, and oneDNN,
which keeps a program of about a megabyte for every shape of a product, then sees few shapes."""

READING_SYNCS = {"cpu": False, "cuda": True}
"""Whether reading a value must wait for the device; if not, a check often saves a pass over the logits."""


class Softmax(nn.Linear):
    """p(word | h) = softmax(h M1 + b) over V words, as log-likelihoods.

    Calling the layer, which is an ``nn.Linear``, returns logits, always in float32. ``weight`` has the
    shape (V, H) of a linear layer but the memory layout of M1, H × V: the product and both of its gradients
    then read it in order.
    """

    arithmetic: Arithmetic = "float32"

    def __init__(self, hidden_size: int, num_classes: int, *, bias: bool) -> None:
        super().__init__(hidden_size, num_classes, bias=bias)
        self.weight = nn.Parameter(self.weight.detach().T.contiguous().T)
        # Let the gradient keep the rounded dtype of its product, which halves the memory traffic.
        self.weight.grad_dtype = None

    def log_likelihood(self, hidden: Tensor, targets: Tensor) -> Tensor:
        """Compute log p(target) of every row, for evaluation.

        Args:
            hidden: h, (rows, H), in the dtype of the weights or rounded as for the product.
            targets: target class of each row, (rows,).

        Returns:
            (rows,), nats, in the dtype of the weights.
        """
        if self.arithmetic == "reference":
            return reference.log_likelihood(hidden, self.weight, self.bias, targets)
        matrix, bias = _factors(self.weight, self.bias, self.arithmetic)
        room = CHUNK_LOGITS if matrix.dtype is self.weight.dtype else UNKEPT_LOGITS
        count = len(hidden)
        hidden, targets = _pad_rows(hidden, targets)
        parts = [
            _probabilities(hidden[rows], targets[rows], matrix, bias, self.arithmetic, evaluate=True)[0]
            for rows in _chunks(len(hidden), matrix, room)
        ]
        return torch.cat(parts)[:count].to(self.weight.dtype)

    def total_log_likelihood(
        self,
        hidden: Tensor,
        targets: Tensor,
        factor: float = 1.0,
        weigh: Callable[[Tensor], Tensor] | None = None,
    ) -> Tensor:
        """Compute f Σ w log p(target) over the rows, for training.

        The gradients are computed in the forward pass, while the logits exist, so that no logit is stored
        for the backward pass or computed twice. Only gradients that autograd needs are computed.

        Args:
            hidden: h, (rows, H), in the dtype of the weights or rounded as for the product; its gradient
                has the same dtype.
            targets: target class of each row, (rows,).
            factor: f. Given here, it is free; multiplied onto the result, it costs a pass over the gradient
                of M1.
            weigh: computes w, constants, from log p(target), both (rows,); None: 1.

        Returns:
            A scalar, nats, differentiable once.
        """
        if self.arithmetic == "reference":
            values = reference.log_likelihood(hidden, self.weight, self.bias, targets)
            return factor * (values if weigh is None else values * weigh(values.detach())).sum()
        total: Tensor = _TotalLogLikelihood.apply(  # type: ignore[no-untyped-call]
            hidden, self.weight, self.bias, targets, factor, weigh, self.arithmetic
        )
        return total


class _TotalLogLikelihood(torch.autograd.Function):
    """f Σ w log p. With δ = w (softmax − onehot(target)): d/dh = −f δ M1ᵀ, d/dM1 = −f hᵀ δ, d/db = −f Σ δ.

    Only gradients that autograd needs are computed.
    """

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        targets: Tensor,
        factor: float,
        weigh: Callable[[Tensor], Tensor] | None,
        arithmetic: Arithmetic,
    ) -> Tensor:
        count = len(hidden)
        for_hidden, for_weight, for_bias = ctx.needs_input_grad[:3]
        hidden, targets = _pad_rows(hidden, targets)
        total = torch.zeros((), dtype=torch.float64, device=hidden.device)
        d_hidden = torch.empty_like(hidden) if for_hidden else None
        d_weight: Tensor | None = None
        d_bias = torch.zeros_like(bias) if bias is not None and for_bias else None
        matrix, offset = _factors(weight, bias, arithmetic)
        kept: dict[int, tuple[Tensor, Tensor] | None] = {}
        weights: Tensor | None = None
        if weigh is not None:
            scores = []
            for rows in _chunks(len(hidden), matrix, CHUNK_LOGITS):
                found = _probabilities(hidden[rows], targets[rows], matrix, offset, arithmetic)
                scores.append(found[0])
                if (rows.start + len(found[1])) * len(matrix) <= KEPT_LOGITS[hidden.device.type]:
                    kept[rows.start] = found
                del found
            weights = weigh(torch.cat(scores)[:count].to(weight.dtype))
        for rows in _chunks(len(hidden), matrix, CHUNK_LOGITS):
            values, delta = kept.pop(rows.start, None) or _probabilities(
                hidden[rows], targets[rows], matrix, offset, arithmetic
            )
            left = count - rows.start  # rows beyond these are padding
            values = values[:left]
            total += (values if weights is None else values * weights[rows]).sum(dtype=torch.float64)
            if not (for_hidden or for_weight or for_bias):
                continue
            delta = cast(delta, arithmetic)
            index = torch.arange(len(delta), device=values.device)
            delta[index, targets[rows]] = cast(delta[index, targets[rows]] - 1, arithmetic)
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
                # Like M1, it has the memory layout (H, V).
                product = cast(scaled @ delta, arithmetic).T
                d_weight = product if d_weight is None else _add(d_weight, product, weight.dtype)
            del delta  # so that two chunks never exist at once
        ctx.gradients = None if d_hidden is None else d_hidden[:count], d_weight, d_bias
        return (factor * total).to(weight.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (scale,) = grads
        gradients = ctx.gradients
        if gradients is None:
            raise RuntimeError(
                "the gradients of this sum were used by an earlier backward pass; compute the sum again"
            )
        if READING_SYNCS[scale.device.type] or float(scale) != 1:
            gradients = tuple(None if gradient is None else gradient * scale for gradient in gradients)
        else:
            # With no other reference, autograd takes them as the parameters' gradients without a copy.
            ctx.gradients = None
        return *gradients, None, None, None, None


def _chunks(rows: int, matrix: Tensor, room: Mapping[str, int]) -> Iterator[slice]:
    """Slices of the rows within the limit ``room`` on logits, of equal size: a short last one is slow."""
    tiles = math.ceil(rows / TILE_ROWS)
    count = math.ceil(tiles / max(1, room[matrix.device.type] // (len(matrix) * TILE_ROWS)))
    step = math.ceil(tiles / count) * TILE_ROWS
    return (slice(start, start + step) for start in range(0, rows, step))


def _pad_rows(hidden: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Pad both with zeros to a multiple of TILE_ROWS rows."""
    padding = -len(hidden) % TILE_ROWS
    if padding == 0:
        return hidden, targets
    return F.pad(hidden, (0, 0, 0, padding)), F.pad(targets, (0, padding))


def _factors(weight: Tensor, bias: Tensor | None, arithmetic: Arithmetic) -> tuple[Tensor, Tensor | None]:
    """Cast M1 and b for the products."""
    return cast(weight, arithmetic), None if bias is None else cast(bias, arithmetic)


def _logits(hidden: Tensor, factor: Tensor, bias: Tensor | None, arithmetic: Arithmetic) -> Tensor:
    """Compute the logits, (rows, H) -> (rows, V), in the dtype of the factors."""
    return cast(F.linear(cast(hidden, arithmetic), factor, bias), arithmetic)


def _probabilities(
    hidden: Tensor,
    targets: Tensor,
    factor: Tensor,
    bias: Tensor | None,
    arithmetic: Arithmetic,
    *,
    evaluate: bool = False,
) -> tuple[Tensor, Tensor]:
    """Compute log p(target) of every row, in float32 or wider, and p of every word in the factors' dtype.

    The logarithm is taken of the probability, which bfloat16 rounds by at most 0.2% in either direction.
    For a probability too small for its dtype, the target's logit minus the highest logit is used instead;
    to ``evaluate``, log p of the highest is added, without which the value would be no bound.
    Training leaves it out, so that its numbers stay as they were.
    """
    logits = _logits(hidden, factor, bias, arithmetic)
    index = torch.arange(len(targets), device=targets.device)
    syncs = READING_SYNCS[logits.device.type]
    below = _below_highest(logits, index, targets) if syncs else None
    p = torch.softmax(logits, -1, out=logits if logits.device.type == "cpu" else None)
    p_target = cast(p[index, targets], arithmetic)
    accurate = p_target >= torch.finfo(p_target.dtype).smallest_normal
    value = p_target.to(torch.promote_types(p_target.dtype, torch.float32)).log()
    if below is not None:
        if evaluate:
            below += cast(p.amax(-1), arithmetic).to(below.dtype).log()
        value = torch.where(accurate, value, below)
    elif not bool(accurate.all()):
        lost = ~accurate
        logits = _logits(hidden[lost], factor, bias, arithmetic)
        value[lost] = _below_highest(logits, index[: len(logits)], targets[lost])
        if evaluate:
            value[lost] += cast(p[lost].amax(-1), arithmetic).to(value.dtype).log()
    return value, p


def _below_highest(logits: Tensor, index: Tensor, targets: Tensor) -> Tensor:
    """Subtract each row's highest logit from its target's logit, in float32 or wider."""
    dtype = torch.promote_types(logits.dtype, torch.float32)
    return logits[index, targets].to(dtype) - logits.amax(-1).to(dtype)


def _add(total: Tensor, product: Tensor, dtype: torch.dtype) -> Tensor:
    """Add ``product`` to ``total`` in ``dtype``, in place if ``total`` already has that dtype."""
    total = total.to(dtype)
    for part, addend in in_blocks(total, product):
        part.add_(addend)
    return total
