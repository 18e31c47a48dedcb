"""The encoder: a single-layer LSTM whose last state gives q(z|x) (Kruengkrai 2019, §4)."""

from __future__ import annotations

import torch
from torch import Tensor

from lvae_core.config import RunConfig
from lvae_core.data.batches import Batch
from lvae_core.model.contracts import Encoder
from lvae_core.model.dropout import dropout
from lvae_core.model.layers.lstm import LSTM


class LSTMEncoder(Encoder):
    """s_T, the state after reading w_1..w_T from s_0 = 0."""

    def _add_layers(self, config: RunConfig) -> None:
        self.lstm = LSTM(config.embedding_size, config.hidden_size)
        self.dropout = config.dropout if config.dropout_encoder else 0.0

    def states(self, batch: Batch, masks: torch.Generator | None) -> Tensor:
        """Return s_T of each of B sentences, (B, H)."""
        embedded = dropout(self.embedding(batch.words), self.dropout, masks)  # (B, T, D)
        states, _ = self.lstm(embedded)  # (B, T, H)
        # Padding lies to the right, so the state at w_T has seen nothing of it.
        last = states[torch.arange(len(states), device=states.device), batch.lengths - 1]  # (B, H)
        return last.to(embedded.dtype)
