"""The encoder: a single-layer LSTM whose last state gives q(z|x) (Kruengkrai 2019, §4)."""

from __future__ import annotations

import torch
from torch import nn

from lvae_core.config import RunConfig
from lvae_core.data.batches import Batch
from lvae_core.model.dropout import dropout
from lvae_core.model.gaussian import Gaussian
from lvae_core.model.layers.embedding import Embedding
from lvae_core.model.layers.lstm import LSTM


class LSTMEncoder(nn.Module):
    """μ = M3 s_T and log σ² = M4 s_T, with s_T the state after reading w_1..w_T from s_0 = 0.

    Args:
        config: sizes, dropout and biases.
        embedding: the table to read words from; it may be the decoder's own.
    """

    def __init__(self, config: RunConfig, embedding: Embedding) -> None:
        super().__init__()
        self.embedding = embedding
        self.lstm = LSTM(config.embedding_size, config.hidden_size)
        self.to_mean = nn.Linear(config.hidden_size, config.latent_size, bias=config.linear_bias)
        self.to_log_variance = nn.Linear(config.hidden_size, config.latent_size, bias=config.linear_bias)
        self.dropout = config.dropout if config.dropout_encoder else 0.0

    def forward(self, batch: Batch, masks: torch.Generator | None = None) -> Gaussian:
        """The posterior of each of B sentences. ``masks`` draws dropout; None: no dropout."""
        embedded = dropout(self.embedding(batch.words), self.dropout, masks)  # (B, T, D)
        states, _ = self.lstm(embedded)  # (B, T, H)
        # Padding lies to the right, so the state at w_T has seen nothing of it.
        last = states[torch.arange(len(states), device=states.device), batch.lengths - 1]  # (B, H)
        last = last.to(embedded.dtype)
        return Gaussian(self.to_mean(last), self.to_log_variance(last))

    def __call__(self, batch: Batch, masks: torch.Generator | None = None) -> Gaussian:
        """Typed face of ``forward``."""
        result: Gaussian = super().__call__(batch, masks)
        return result
