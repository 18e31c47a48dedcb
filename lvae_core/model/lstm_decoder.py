"""The decoder: a single-layer LSTM over [embedding; z], started from z (Kruengkrai 2019, §4)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lvae_core.config import RunConfig
from lvae_core.model.contracts import Decoder
from lvae_core.model.dropout import dropout
from lvae_core.model.layers.embedding import Embedding
from lvae_core.model.layers.lstm import LSTM, State


class LSTMDecoder(Decoder):
    """h_0 = M2 z, c_0 = 0, input [embedding(w_{t-1}); z] at every step.

    With ``decoder_start = "c0_linear_h0_tanh"`` c_0 = M2 z and h_0 = tanh(c_0), as in He et al. (2019).

    If a word is hidden from the decoder (every word in the inputless setting, a random few under
    word dropout), one learned vector replaces its embedding. Without a latent variable the input is
    the embedding and h_0 = 0.

    Args:
        config: setting, sizes, dropout and biases.
        embedding: table of the V words and ``<s>``; None in the inputless setting.
    """

    def __init__(self, config: RunConfig, embedding: Embedding | None) -> None:
        super().__init__(config, embedding)
        latent = config.latent_size if config.encoder != "none" else 0
        self.output_size = config.hidden_size
        self.lstm = LSTM(config.embedding_size + latent, config.hidden_size)
        if latent:
            self.initial = nn.Linear(latent, config.hidden_size, bias=config.linear_bias)  # M2
        self.starts_from_cell = config.decoder_start == "c0_linear_h0_tanh"

    def forward(self, inputs: Tensor, z: Tensor | None, masks: torch.Generator | None) -> Tensor:
        """Return the states (N, B, T, H), as the LSTM gives them; see :class:`Decoder`."""
        B, T = inputs.shape
        N = 1 if z is None else len(z)
        embedded = self.read(inputs, masks, N)  # (1 or N, B, T, D)
        if z is None:
            return self.lstm(embedded[0])[0].unsqueeze(0)
        state = self.start(z.reshape(N * B, -1), N * B)
        embedded = embedded.expand(N, B, T, -1)
        latent = dropout(z.unsqueeze(2).expand(N, B, T, -1), self.dropout_latent, masks)
        joined = torch.cat([embedded, latent], dim=-1).view(N * B, T, -1)
        states = self.lstm(joined, state)[0]
        return states.view(N, B, T, -1)

    def start(self, z: Tensor | None, rows: int) -> State:
        """Return (h_0, c_0), which are 0 without a latent variable."""
        if z is None:
            zeros = self.lstm.get_parameter("weight_hh_l0").new_zeros(1, rows, self.output_size)
            return zeros, zeros
        first = self.initial(z).unsqueeze(0)
        if self.starts_from_cell:
            return torch.tanh(first), first
        return first, torch.zeros_like(first)

    def step(self, words: Tensor, z: Tensor | None, state: State) -> tuple[Tensor, State]:
        """Read one word per row: words (rows,), z (rows, Z) -> hidden (rows, H) and the next state."""
        embedded = self.embed(words)
        joined = embedded if z is None else torch.cat([embedded, z], dim=-1)
        hidden, state = self.lstm(joined.unsqueeze(1), state)
        return hidden.squeeze(1).to(joined.dtype), state

    def select(self, state: State, rows: Tensor) -> State:
        """Return h and c of some rows."""
        h, c = state
        return h[:, rows], c[:, rows]
