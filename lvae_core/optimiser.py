"""Plain SGD on clipped gradients: it has no state, so a checkpoint needs none."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn
from torch.nn import Parameter


def descend(parameters: Iterable[Parameter], learning_rate: float, max_grad_norm: float) -> None:
    """One step down the gradients, which are spent thereby.

    Args:
        parameters: each with its gradient.
        learning_rate: of the step.
        max_grad_norm: the 2-norm of all gradients together is scaled down to this; 0: no clipping.
    """
    parameters = list(parameters)
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    assert len(gradients) == len(parameters), "every parameter takes part in the loss"
    with torch.no_grad():
        rate = gradients[0].new_full((), learning_rate)
        if max_grad_norm > 0:
            norm = nn.utils.get_total_norm(gradients)
            rate *= (max_grad_norm / (norm + 1e-6)).clamp(max=1.0)  # as torch's clip_grad_norm_ has it
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.addcmul_(gradient, rate, value=-1)  # one pass over both, no scaled gradient stored
            parameter.grad = None
