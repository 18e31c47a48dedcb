"""Plain SGD on clipped gradients: it has no state, so a checkpoint needs none."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch.nn import Parameter


def descend(parameters: Iterable[Parameter], learning_rate: float, max_grad_norm: float) -> None:
    """One step down the gradients, which are spent thereby.

    Args:
        parameters: each with its gradient.
        learning_rate: of the step.
        max_grad_norm: the 2-norm of all gradients together is scaled down to this; 0: no clipping.
    """
    parameters = list(parameters)
    if max_grad_norm > 0:
        torch.nn.utils.clip_grad_norm_(parameters, max_grad_norm)
    with torch.no_grad():
        for parameter in parameters:
            assert parameter.grad is not None, "every parameter takes part in the loss"
            parameter.add_(parameter.grad, alpha=-learning_rate)
            parameter.grad = None
