"""The encoder: a single-layer LSTM whose last state gives q(z|x) (Kruengkrai 2019, §4)."""

from __future__ import annotations

import torch
from torch import nn

from lvae_core.config import RunConfig
from lvae_core.data.batches import Batch
from lvae_core.model.contracts import Head, Posterior
from lvae_core.model.dropout import dropout
from lvae_core.model.layers.embedding import Embedding
from lvae_core.model.layers.lstm import LSTM


class LSTMEncoder(nn.Module):
    """s_T, the state after reading w_1..w_T from s_0 = 0, and a head that makes the posterior from it.

    Args:
        config: sizes and dropout.
        embedding: the table to read words from; it may be the decoder's own.
        head: of the posterior.
    """

    def __init__(self, config: RunConfig, embedding: Embedding, head: Head) -> None:
        super().__init__()
        self.embedding = embedding
        self.lstm = LSTM(config.embedding_size, config.hidden_size)
        # The head's layers are registered by their own names (see Head), the head itself is not.
        assert not [*head.parameters(recurse=False), *head.buffers(recurse=False)], "put them in children"
        for name, layer in head.named_children():
            self.add_module(name, layer)
        self.__dict__["head"] = head
        self.dropout = config.dropout if config.dropout_encoder else 0.0

    def forward(self, batch: Batch, masks: torch.Generator | None = None) -> Posterior:
        """Return the posterior of each of B sentences. ``masks`` draws dropout; None: no dropout."""
        embedded = dropout(self.embedding(batch.words), self.dropout, masks)  # (B, T, D)
        states, _ = self.lstm(embedded)  # (B, T, H)
        # Padding lies to the right, so the state at w_T has seen nothing of it.
        last = states[torch.arange(len(states), device=states.device), batch.lengths - 1]  # (B, H)
        head: Head = self.__dict__["head"]
        return head(last.to(embedded.dtype), masks)

    def __call__(self, batch: Batch, masks: torch.Generator | None = None) -> Posterior:
        """Typed face of ``forward``."""
        result: Posterior = super().__call__(batch, masks)
        return result
