"""Dropout from an explicit generator; torch's own dropout draws from the global one."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def dropout(x: Tensor, probability: float, masks: torch.Generator | None) -> Tensor:
    """Zero each element with ``probability`` and scale the rest by 1/(1 − probability).

    A bfloat16 ``x`` gives a bfloat16 result if bfloat16 represents the scale exactly, else a float32 one.

    Args:
        x: a tensor of any shape.
        probability: probability of a zero.
        masks: generator of the masks; None (in evaluation): return ``x`` unchanged.
    """
    if masks is None or probability == 0:
        return x
    # Sixteen random bits per element, so the probability is a multiple of 2⁻¹⁶. That is much cheaper than
    # uniform numbers, and the draws do not depend on how torch was built.
    kept = min(max(1, round((1 - probability) * 2**16)), 2**16 - 1)
    bits = torch.empty(math.ceil(x.numel() / 4), dtype=torch.int64, device=x.device)
    bits.random_(-(2**63), None, generator=masks)
    mask = bits.view(torch.int16)[: x.numel()].view(x.shape) < kept - 2**15
    scale = 2**16 / kept
    # bfloat16 represents 2 but not 10/7, which would be off by 0.1% in every element.
    exact = (math.frexp(scale)[0] * 2 / torch.finfo(x.dtype).eps).is_integer()
    dtype = x.dtype if exact else torch.promote_types(x.dtype, torch.float32)
    return x * mask.to(dtype).mul_(scale)
