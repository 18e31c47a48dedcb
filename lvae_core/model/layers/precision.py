"""The arithmetic of a run, and the one that this machine computes fast."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any, Literal

import torch
from torch import Tensor, nn

from lvae_core.fields.choices import Precision

Arithmetic = Literal["reference", "float32", "bfloat16"]
"""reference: the plain formulas. float32: the same numbers up to rounding, in little memory. bfloat16: the
matrix products of LSTM and softmax in bfloat16 with sums in float32; parameters stay float32. A processor
without bfloat16 instructions multiplies the rounded numbers in float32, at the speed of float32."""


def resolve(precision: Precision, device: str) -> Literal["float32", "bfloat16"]:
    """Resolve ``precision``; auto means bfloat16 if ``device`` has instructions for it, else float32."""
    if precision != "auto":
        return precision
    return "bfloat16" if multiplies_bfloat16(torch.device(device)) else "float32"


def compute_in(model: nn.Module, arithmetic: Arithmetic) -> None:
    """Set the arithmetic of every layer of :mod:`lvae_core.model.layers` in ``model``."""
    for module in model.modules():
        if hasattr(module, "arithmetic"):
            setattr(module, "arithmetic", arithmetic)  # noqa: B010 (nn.Module types attributes as tensors)


def cast(x: Tensor, arithmetic: Arithmetic) -> Tensor:
    """Round ``x`` as ``arithmetic`` rounds the operands and results of matrix products.

    If the processor cannot multiply bfloat16, the rounded numbers keep the dtype of ``x``, because torch
    would take twenty times as long in bfloat16. Products of two such numbers are exact in float32. Only the
    order of sums differs from real bfloat16, and the state of an LSTM is not rounded between steps.
    """
    if arithmetic != "bfloat16":
        return x
    rounded = x.bfloat16()
    return rounded if multiplies_bfloat16(x.device) else rounded.to(x.dtype)


BLOCK_NUMBERS = {"cpu": 2**18, "cuda": 2**26}
"""Numbers of a rounded tensor that are converted at once: few enough to fit a cache."""


def in_blocks(full: Tensor, rounded: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield blocks of ``full`` with the same blocks of ``rounded``, converted to the dtype of ``full``.

    Tensors of one dtype are one block.

    Args:
        full: a tensor of any memory layout.
        rounded: a tensor of the same shape and layout, of the same dtype or a smaller one.
    """
    if full.dtype == rounded.dtype:
        yield full, rounded
        return
    outer = max(range(full.dim()), key=full.stride)  # a block along it is contiguous in memory
    size = max(1, BLOCK_NUMBERS[full.device.type] * full.shape[outer] // full.numel())
    pieces = (torch.split(tensor, size, outer) for tensor in (full, rounded))
    for part, converted in zip(*pieces, strict=True):
        yield part, converted.to(part.dtype)


def multiplies_bfloat16(device: torch.device) -> bool:
    """Whether the device has instructions that multiply bfloat16."""
    return _has_bfloat16(device.type, device.index)


@functools.cache
def _has_bfloat16(kind: str, index: int | None) -> bool:
    if kind == "cuda":
        with torch.cuda.device(index):
            return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    # Before torch 2.10 the capabilities cannot be queried; float32 is right everywhere.
    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return any(capabilities.get(name, False) for name in ("amx_bf16", "avx512_bf16"))
