"""Which arithmetic a run computes in, and which one this machine is fast in."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any, Literal

import torch
from torch import Tensor, nn

from lvae_core.config import Precision

Arithmetic = Literal["reference", "float32", "bfloat16"]
"""reference: the plain formulas. float32: the same numbers up to rounding, in little memory. bfloat16: the
matrix products of LSTM and softmax in bfloat16 with sums in float32; parameters stay float32. A processor
without instructions for it multiplies the rounded numbers in float32, no faster and no slower than that."""


def resolve(precision: Precision, device: str) -> Literal["float32", "bfloat16"]:
    """The arithmetic that ``precision`` means on ``device``: auto is bfloat16 where that is quick."""
    if precision != "auto":
        return precision
    return "bfloat16" if multiplies_bfloat16(torch.device(device)) else "float32"


def compute_in(model: nn.Module, arithmetic: Arithmetic) -> None:
    """Let every layer of :mod:`lvae_core.model.layers` in ``model`` compute in ``arithmetic``."""
    for module in model.modules():
        if hasattr(module, "arithmetic"):
            setattr(module, "arithmetic", arithmetic)  # noqa: B010 (nn.Module types attributes as tensors)


def cast(x: Tensor, arithmetic: Arithmetic) -> Tensor:
    """``x`` as it enters or leaves a matrix product: itself, or rounded to bfloat16.

    Where the processor cannot multiply bfloat16 the rounded numbers keep the dtype of ``x``: in bfloat16
    torch would take twenty times as long. Products of two such numbers are exact in float32: what differs
    from the real thing is the order of sums, and that an LSTM's state is not rounded in between.
    """
    if arithmetic != "bfloat16":
        return x
    rounded = x.bfloat16()
    return rounded if multiplies_bfloat16(x.device) else rounded.to(x.dtype)


BLOCK_NUMBERS = {"cpu": 2**18, "cuda": 2**26}
"""Numbers of a rounded tensor that are converted at once: few enough for a cache."""


def in_blocks(full: Tensor, rounded: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """``full`` beside ``rounded``, both of one dtype: block by block where that takes a conversion.

    Args:
        full: of any layout in memory.
        rounded: of its shape and layout, of its dtype or a smaller one.
    """
    if full.dtype == rounded.dtype:
        yield full, rounded
        return
    outer = max(range(full.dim()), key=full.stride)  # along which memory is cut in one place
    size = max(1, BLOCK_NUMBERS[full.device.type] * full.shape[outer] // full.numel())
    pieces = (torch.split(tensor, size, outer) for tensor in (full, rounded))
    for part, converted in zip(*pieces, strict=True):
        yield part, converted.to(part.dtype)


def multiplies_bfloat16(device: torch.device) -> bool:
    """Whether the device has instructions for products of bfloat16."""
    return _has_bfloat16(device.type, device.index)


@functools.cache
def _has_bfloat16(kind: str, index: int | None) -> bool:
    if kind == "cuda":
        with torch.cuda.device(index):
            return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    # Before torch 2.10 there is no way to ask; float32 is right everywhere.
    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return any(capabilities.get(name, False) for name in ("amx_bf16", "avx512_bf16"))
