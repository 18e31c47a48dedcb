"""Adam (Kingma and Ba 2015), as ``torch.optim.Adam`` computes it, with its state in the checkpoint."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter

from lvae_core.config import RunConfig
from lvae_core.training.optimisation.optimiser import Gradients, Optimiser, OptimiserState


class Adam(Optimiser):
    """Steps along the mean gradient, each number's divided by the root of its mean square.

    A word that is not read has a gradient of zero, which lets its moments decay like all others.
    """

    def __init__(self, parameters: Iterable[tuple[str, Parameter]], config: RunConfig) -> None:
        super().__init__(parameters, config)
        self._beta1, self._beta2 = config.adam_beta1, config.adam_beta2
        self._epsilon = config.adam_epsilon
        self._steps = dict.fromkeys(self._parameters, 0)
        self._first = {
            name: torch.zeros_like(p, requires_grad=False) for name, p in self._parameters.items()
        }
        self._second = {name: torch.zeros_like(first) for name, first in self._first.items()}

    def _move(self, gradients: Gradients, scale: Tensor, learning_rate: float) -> None:
        for name, gradient in gradients.items():
            parameter, first, second = self._parameters[name], self._first[name], self._second[name]
            dense = gradient.to_dense() if gradient.is_sparse else gradient
            clipped = dense.to(parameter.dtype) * scale
            self._steps[name] += 1
            first.lerp_(clipped, 1 - self._beta1)
            second.mul_(self._beta2).addcmul_(clipped, clipped, value=1 - self._beta2)
            bias1 = 1 - self._beta1 ** self._steps[name]
            bias2 = 1 - self._beta2 ** self._steps[name]
            root = second.sqrt().div_(bias2**0.5).add_(self._epsilon)
            parameter.addcdiv_(first, root, value=-learning_rate / bias1)

    def state(self) -> OptimiserState:
        """Return a copy of both moments and the number of steps of every parameter."""
        return {
            name: {
                "steps": self._steps[name],
                "first": self._first[name].cpu().clone(),
                "second": self._second[name].cpu().clone(),
            }
            for name in self._parameters
        }

    def load(self, state: Mapping[str, Mapping[str, Any]]) -> None:
        """Continue from a :meth:`state`; an empty one is that of the beginning."""
        for name, kept in state.items():
            self._steps[name] = kept["steps"]
            self._first[name].copy_(kept["first"])
            self._second[name].copy_(kept["second"])
