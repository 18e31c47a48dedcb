"""The LSTM layer: torch's own, with float32 parameters in every arithmetic."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lvae_core.model.layers.precision import Arithmetic, cast

State = tuple[Tensor, Tensor]
"""(h, c) of an LSTM, each (1, rows, H)."""


_PARAMETERS = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
"""In the order in which torch's LSTM takes them."""


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
        if state is None:
            h = inputs.new_zeros(1, len(inputs), self.hidden_size)
            state = (h, h)
        # cuDNN would keep room for a backward pass that an evaluation has not; oneDNN's bits would change.
        train = self.training and (torch.is_grad_enabled() or not inputs.is_cuda)
        states, h, c = torch.lstm(
            cast(inputs, self.arithmetic),
            [cast(part, self.arithmetic) for part in state],
            self._weights(),
            has_biases=True, num_layers=1, dropout=0.0, train=train, bidirectional=False, batch_first=True,
        )  # fmt: skip
        return states, (h.to(inputs.dtype), c.to(inputs.dtype))

    def _weights(self) -> list[Tensor]:
        """The four parameters, as the products read them."""
        parameters = [self.get_parameter(name) for name in _PARAMETERS]
        if self.arithmetic != "bfloat16" or not parameters[0].is_cuda:
            return [cast(parameter, self.arithmetic) for parameter in parameters]
        # cuDNN reads one block of memory; it would copy four into it, with a warning, in every call.
        block = cast(torch.cat([parameter.flatten() for parameter in parameters]), self.arithmetic)
        parts = torch.split(block, [parameter.numel() for parameter in parameters])
        return [part.view_as(parameter) for part, parameter in zip(parts, parameters, strict=True)]

    def __call__(self, inputs: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Call ``forward``, with types."""
        result: tuple[Tensor, State] = super().__call__(inputs, state)
        return result
