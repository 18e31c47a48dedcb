"""The contract of an optimiser, the clipping that all of them share, and plain SGD."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter

from lvae_core.config import RunConfig
from lvae_core.model.layers.precision import in_blocks

Gradients = dict[str, Tensor]
"""Parameter's name -> its gradient."""

OptimiserState = dict[str, dict[str, Any]]
"""Parameter's name -> what is kept of it between steps: tensors and plain values."""


class Optimiser(ABC):
    """Moves parameters down their gradients.

    The contract:

    - Every step uses up the gradients of all parameters, including those that it does not move.
    - The 2-norm of all gradients together is clipped, whichever parameters are moved, unless a step asks
      for that of the moved ones.
    - A gradient may be sparse along the first dimension, or rounded to a smaller dtype than its parameter.
    - A step depends on the parameters, gradients and ``state()`` alone, and waits for no device.
    - ``load(state())`` continues bit for bit. What is not moved keeps its state.

    Args:
        parameters: by name, as ``named_parameters`` gives them.
        config: norm to clip at, and the optimiser's own fields.
    """

    def __init__(self, parameters: Iterable[tuple[str, Parameter]], config: RunConfig) -> None:
        self._parameters = dict(parameters)
        self._max_grad_norm = config.max_grad_norm

    def step(
        self, learning_rate: float, *, only: Collection[str] | None = None, clip_apart: bool = False
    ) -> None:
        """Take one step and clear all gradients.

        Args:
            learning_rate: of this step.
            only: names of the parameters to move; None: all.
            clip_apart: clip the norm of the gradients of ``only`` instead of that of all.
        """
        gradients = {name: _gradient(parameter) for name, parameter in self._parameters.items()}
        with torch.no_grad():
            some = next(iter(self._parameters.values()))
            scale = some.new_ones(())
            if self._max_grad_norm > 0:
                counted = [g for n, g in gradients.items() if not clip_apart or only is None or n in only]
                norms = torch.cat([_norms(gradient) for gradient in counted])
                norm = torch.linalg.vector_norm(norms)
                scale = (self._max_grad_norm / (norm + 1e-6)).clamp(max=1.0)  # as torch's clip_grad_norm_
            self._move(
                {n: g for n, g in gradients.items() if only is None or n in only}, scale, learning_rate
            )
        for parameter in self._parameters.values():
            parameter.grad = None

    @abstractmethod
    def _move(self, gradients: Gradients, scale: Tensor, learning_rate: float) -> None:
        """Move the parameters of ``gradients``, which are still to be multiplied by ``scale``, a scalar."""

    @abstractmethod
    def state(self) -> OptimiserState:
        """Return a copy, on the CPU, of what is kept between steps."""

    @abstractmethod
    def load(self, state: Mapping[str, Mapping[str, Any]]) -> None:
        """Continue from a :meth:`state`."""


class SGD(Optimiser):
    """Plain stochastic gradient descent. It keeps nothing between steps."""

    def _move(self, gradients: Gradients, scale: Tensor, learning_rate: float) -> None:
        rate = scale * learning_rate
        for name, gradient in gradients.items():
            parameter = self._parameters[name]
            if gradient.is_sparse:
                parameter.index_add_(0, gradient.indices()[0], gradient.values() * -rate)
                continue
            for values, part in in_blocks(parameter, gradient):
                values.addcmul_(part, rate, value=-1)  # one pass over both, no scaled gradient stored

    def state(self) -> OptimiserState:
        """Return {}."""
        return {}

    def load(self, state: Mapping[str, Mapping[str, Any]]) -> None:
        """Do nothing."""


def _gradient(parameter: Parameter) -> Tensor:
    gradient = parameter.grad
    assert gradient is not None, "every parameter takes part in the loss"
    return gradient.coalesce() if gradient.is_sparse else gradient


def _norms(gradient: Tensor) -> Tensor:
    """Norms of parts of a gradient that together are all of it, in float32 at least.

    Those of a rounded gradient are rounded, each by itself: with hundreds of them the errors average out,
    and a conversion of all its numbers would take longer than their norm.
    """
    numbers = gradient.values() if gradient.is_sparse else gradient
    norms: Tensor
    if numbers.dtype == torch.promote_types(numbers.dtype, torch.float32):
        norms = torch.linalg.vector_norm(numbers).unsqueeze(0)
    else:
        within = min(range(numbers.dim()), key=numbers.stride)
        norms = torch.linalg.vector_norm(numbers, dim=within).flatten().float()
    return norms
