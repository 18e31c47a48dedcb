"""Plain SGD on clipped gradients: it has no state, so a checkpoint needs none."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor
from torch.nn import Parameter

BLOCK_NUMBERS = {"cpu": 2**18, "cuda": 2**26}
"""Numbers of a rounded gradient that are at hand in a parameter's own dtype: few enough for a cache."""


def descend(parameters: Iterable[Parameter], learning_rate: float, max_grad_norm: float) -> None:
    """One step down the gradients, which are spent thereby.

    Args:
        parameters: each with its gradient, which may be rounded to another dtype than the parameter's.
        learning_rate: of the step.
        max_grad_norm: the 2-norm of all gradients together is scaled down to this; 0: no clipping.
    """
    parameters = list(parameters)
    with torch.no_grad():
        rate = parameters[0].new_full((), learning_rate)
        if max_grad_norm > 0:
            norms = [torch.linalg.vector_norm(gradient) for _, gradient in _blocks(parameters)]
            norm = torch.linalg.vector_norm(torch.stack(norms))
            rate *= (max_grad_norm / (norm + 1e-6)).clamp(max=1.0)  # as torch's clip_grad_norm_ has it
        for values, gradient in _blocks(parameters):
            values.addcmul_(gradient, rate, value=-1)  # one pass over both, no scaled gradient stored
    for parameter in parameters:
        parameter.grad = None


def _blocks(parameters: Iterable[Parameter]) -> Iterator[tuple[Tensor, Tensor]]:
    """Each parameter and its gradient in one dtype: block by block where that takes a conversion."""
    for parameter in parameters:
        gradient = parameter.grad
        assert gradient is not None, "every parameter takes part in the loss"
        if gradient.dtype == parameter.dtype:
            yield parameter, gradient
            continue
        outer = max(range(parameter.dim()), key=parameter.stride)  # along which memory is cut in one place
        numbers = parameter.numel() // parameter.shape[outer]
        size = max(1, BLOCK_NUMBERS[parameter.device.type] // numbers)
        pieces = (torch.split(tensor, size, outer) for tensor in (parameter, gradient))
        for values, part in zip(*pieces, strict=True):
            yield values, part.to(values.dtype)
