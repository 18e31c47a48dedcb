"""The LSTM layer: torch's own, with float32 parameters in every arithmetic."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lvae_core.model.layers.precision import Arithmetic, cast

State = tuple[Tensor, Tensor]
"""(h, c) of an LSTM, each (1, rows, H)."""


class LSTM(nn.LSTM):
    """One unidirectional layer over inputs (rows, T, inputs), from a given state or from zeros."""

    arithmetic: Arithmetic = "float32"

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size, batch_first=True)

    def forward(  # type: ignore[override]
        self, inputs: Tensor, state: State | None = None
    ) -> tuple[Tensor, State]:
        """Compute the states of every step (rows, T, H) and the last (h, c).

        In bfloat16 arithmetic the states keep the rounded dtype, because they are by far the largest
        tensor: the caller converts only the part, or the mean, that it uses.
        """
        if self.arithmetic != "bfloat16":
            return super().forward(inputs, state)
        if state is None:
            h = inputs.new_zeros(1, len(inputs), self.hidden_size)
            state = (h, h)
        names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
        states, h, c = torch.lstm(
            cast(inputs, "bfloat16"),
            [cast(part, "bfloat16") for part in state],
            [cast(self.get_parameter(name), "bfloat16") for name in names],
            has_biases=True, num_layers=1, dropout=0.0, train=self.training, bidirectional=False,
            batch_first=True,
        )  # fmt: skip
        return states, (h.to(inputs.dtype), c.to(inputs.dtype))

    def __call__(self, inputs: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Call ``forward``, with types."""
        result: tuple[Tensor, State] = super().__call__(inputs, state)
        return result
