"""The plain formula of the softmax layer: all logits at once, gradients by autograd."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def log_likelihood(hidden: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor) -> Tensor:
    """Compute log p(target) of every row, with p = softmax(h M1 + b).

    Args:
        hidden: (rows, H).
        weight: M1, (V, H).
        bias: (V,) or None.
        targets: target class of each row, (rows,).

    Returns:
        (rows,), nats.
    """
    logits = F.linear(hidden, weight, bias)  # (rows, V)
    return logits.log_softmax(-1).gather(-1, targets.unsqueeze(-1)).squeeze(-1)
