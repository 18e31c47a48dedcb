"""Dropout whose masks come from a given generator; torch's draws from global randomness."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def dropout(x: Tensor, probability: float, masks: torch.Generator | None) -> Tensor:
    """Zero each element with ``probability``, scale the rest by 1/(1 − probability).

    A rounded ``x`` gives a rounded result where that scale is as short a number, else one in float32.

    ``masks`` is the generator to draw from; None means evaluation: ``x`` itself comes back.
    """
    if masks is None or probability == 0:
        return x
    # Sixteen random bits an element, so the probability is a multiple of 2⁻¹⁶: much cheaper than uniform
    # numbers, and the same draws whatever torch is built with.
    kept = min(max(1, round((1 - probability) * 2**16)), 2**16 - 1)
    bits = torch.empty(math.ceil(x.numel() / 4), dtype=torch.int64, device=x.device)
    bits.random_(-(2**63), None, generator=masks)
    mask = bits.view(torch.int16)[: x.numel()].view(x.shape) < kept - 2**15
    scale = 2**16 / kept
    # 2 is a number of bfloat16; 10/7 is not, and would be off by 0.1% for every element alike.
    exact = (math.frexp(scale)[0] * 2 / torch.finfo(x.dtype).eps).is_integer()
    dtype = x.dtype if exact else torch.promote_types(x.dtype, torch.float32)
    return x * mask.to(dtype).mul_(scale)
