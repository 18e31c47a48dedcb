"""Dropout from a generator of one's own: torch's draws from global randomness."""

from __future__ import annotations

import torch
from torch import Tensor


def dropout(x: Tensor, probability: float, masks: torch.Generator | None) -> Tensor:
    """Zero each element with ``probability``, scale the rest by 1/(1 − probability).

    ``masks`` is the generator to draw from; None means evaluation: ``x`` itself comes back.
    """
    if masks is None or probability == 0:
        return x
    keep = 1 - probability
    mask = torch.empty_like(x, requires_grad=False).bernoulli_(keep, generator=masks)
    return x * mask.div_(keep)
