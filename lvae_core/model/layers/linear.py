"""An affine layer whose product is computed in the arithmetic of the run; its result stays unrounded."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from lvae_core.model.layers.precision import Arithmetic, cast


class Linear(nn.Linear):
    """x -> W x + b over the last axis, with float32 parameters whichever arithmetic it computes in."""

    arithmetic: Arithmetic = "float32"

    def forward(self, input: Tensor) -> Tensor:
        """(..., inputs) -> (..., outputs)."""
        if self.arithmetic != "bfloat16":
            return F.linear(input, self.weight, self.bias)
        product = F.linear(cast(input, "bfloat16"), cast(self.weight, "bfloat16"))
        return product.to(input.dtype) + self.bias

    def __call__(self, input: Tensor) -> Tensor:
        """Call ``forward``, with types."""
        result: Tensor = super().__call__(input)
        return result
