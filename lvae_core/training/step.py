"""Plain SGD on clipped gradients: it has no state, so a checkpoint needs none."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor
from torch.nn import Parameter

from lvae_core.model.layers.precision import in_blocks


def descend(parameters: Iterable[Parameter], learning_rate: float, max_grad_norm: float) -> None:
    """One step down the gradients, which are spent thereby.

    Args:
        parameters: each with its gradient, which may be sparse along the first dimension, or rounded to
            another dtype than the parameter's.
        learning_rate: of the step.
        max_grad_norm: the 2-norm of all gradients together is scaled down to this; 0: no clipping.
    """
    parameters = list(parameters)
    gradients = [_gradient(parameter) for parameter in parameters]
    with torch.no_grad():
        rate = parameters[0].new_full((), learning_rate)
        if max_grad_norm > 0:
            norm = torch.linalg.vector_norm(torch.cat([_norms(gradient) for gradient in gradients]))
            rate *= (max_grad_norm / (norm + 1e-6)).clamp(max=1.0)  # as torch's clip_grad_norm_ has it
        for parameter, gradient in zip(parameters, gradients, strict=True):
            if gradient.is_sparse:
                parameter.index_add_(0, gradient.indices()[0], gradient.values() * -rate)
                continue
            for values, part in in_blocks(parameter, gradient):
                values.addcmul_(part, rate, value=-1)  # one pass over both, no scaled gradient stored
    for parameter in parameters:
        parameter.grad = None


def _gradient(parameter: Parameter) -> Tensor:
    gradient = parameter.grad
    assert gradient is not None, "every parameter takes part in the loss"
    return gradient.coalesce() if gradient.is_sparse else gradient


def _norms(gradient: Tensor) -> Tensor:
    """Norms of parts of a gradient that together are all of it, in float32 at least.

    Of a rounded one they are as rounded, each on its own: with hundreds of them the errors are averaged
    away, where a conversion of all its numbers would take longer than their norm.
    """
    numbers = gradient.values() if gradient.is_sparse else gradient
    norms: Tensor
    if numbers.dtype == torch.promote_types(numbers.dtype, torch.float32):
        norms = torch.linalg.vector_norm(numbers).unsqueeze(0)
    else:
        within = min(range(numbers.dim()), key=numbers.stride)
        norms = torch.linalg.vector_norm(numbers, dim=within).flatten().float()
    return norms
