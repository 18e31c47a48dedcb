"""The decoder of Yang et al. (2017): causal dilated convolutions with residual blocks.

With input x_t of E channels, a block of dilation δ computes

    u_t = ReLU(W_1 x_t + b_1)                        C channels
    v_t = ReLU(Σ_{k=0..2} W_2,k u_{t−kδ} + b_2)      C channels; u is 0 before the first word
    x_t ← ReLU(x_t + W_3 v_t + b_3)                  E channels

so that a state sees 1 + 2 Σδ inputs. Beyond them it sees z alone: without words it cannot count further.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lvae_core.config import RunConfig
from lvae_core.model.contracts import Decoder
from lvae_core.model.dropout import dropout
from lvae_core.model.layers.embedding import Embedding
from lvae_core.model.layers.linear import Linear

Window = tuple[Tensor, ...]
"""For each block, the last 2δ values of u, (rows, 2δ, C), oldest first."""


class CNNDecoder(Decoder):
    """Input [embedding(w_{t-1}); affine image of z] at every step, then one block per dilation.

    Without a latent variable the embedding is projected to the E channels. If a word is hidden from the
    decoder, one learned vector replaces its embedding, as in the LSTM decoder.

    Args:
        config: setting, sizes, dilations and dropout.
        embedding: table of the V words and ``<s>``; None in the inputless setting.
    """

    def __init__(self, config: RunConfig, embedding: Embedding | None) -> None:
        super().__init__(config, embedding)
        D, E, C = config.embedding_size, config.cnn_external, config.cnn_channels
        self.output_size = E
        if config.encoder != "none":
            self.from_latent = Linear(config.latent_size, E - D)
        else:
            self.project = Linear(D, E)
        self.blocks = nn.ModuleList(Block(E, C, dilation) for dilation in config.dilations)
        self.dropout_block = config.cnn_dropout

    def forward(self, inputs: Tensor, z: Tensor | None, masks: torch.Generator | None) -> Tensor:
        """Return the states (N, B, T, E); see :class:`Decoder`."""
        B, T = inputs.shape
        N = 1 if z is None else len(z)
        embedded = self.read(inputs, masks, N)  # (1 or N, B, T, D)
        if z is None:
            x = self.project(embedded[0])
        else:
            latent = dropout(self.from_latent(z), self.dropout_latent, masks)  # (N, B, E - D)
            joined = [embedded.expand(N, B, T, -1), latent.unsqueeze(2).expand(N, B, T, -1)]
            x = torch.cat(joined, dim=-1).view(N * B, T, -1)
        for number, block in enumerate(self.blocks):
            # The last block's output enters the softmax, which applies its own dropout.
            x = dropout(x, self.dropout_block if number else 0.0, masks)
            x = block(x)
        return x.view(-1, B, T, self.output_size)

    def start(self, z: Tensor | None, rows: int) -> Window:
        """Return empty windows."""
        return tuple(block.empty(rows) for block in self.blocks if isinstance(block, Block))

    def step(self, words: Tensor, z: Tensor | None, state: Window) -> tuple[Tensor, Window]:
        """Read one word per row: words (rows,), z (rows, Z) -> hidden (rows, E) and the next windows."""
        embedded = self.embed(words)
        x = self.project(embedded) if z is None else torch.cat([embedded, self.from_latent(z)], dim=-1)
        windows = []
        for block, window in zip(self.blocks, state, strict=True):
            assert isinstance(block, Block)
            x, window = block.step(x, window)
            windows.append(window)
        return x, tuple(windows)

    def select(self, state: Window, rows: Tensor) -> Window:
        """Return the windows of some rows."""
        return tuple(window[rows] for window in state)

    def initial_scales(self) -> dict[str, float]:
        """Return 1/sqrt(inputs) for each product, torch's default: with U(-0.1, 0.1) states explode."""
        return {
            f"{name}.{parameter}": 1 / math.sqrt(layer.in_features)
            for name, layer in self.named_modules()
            if isinstance(layer, Linear)
            for parameter in ("weight", "bias")
        }


class Block(nn.Module):
    """One residual block; see the module."""

    def __init__(self, external: int, channels: int, dilation: int) -> None:
        super().__init__()
        self.dilation = dilation
        self.reduce = Linear(external, channels)  # W_1
        self.convolve = Linear(3 * channels, channels)  # W_2: of u_t, u_{t−δ}, u_{t−2δ} side by side
        self.expand = Linear(channels, external)  # W_3

    def forward(self, x: Tensor) -> Tensor:
        """Inputs (rows, T, E) -> outputs (rows, T, E)."""
        T, delta = x.shape[1], self.dilation
        u = F.relu(self.reduce(x))
        padded = F.pad(u, (0, 0, 2 * delta, 0))
        taps = torch.cat([padded[:, k * delta : k * delta + T] for k in (2, 1, 0)], dim=-1)
        return self._combine(x, taps)

    def step(self, x: Tensor, window: Tensor) -> tuple[Tensor, Tensor]:
        """One position: x (rows, E), window (rows, 2δ, C) -> output (rows, E) and the next window."""
        u = F.relu(self.reduce(x))
        taps = torch.cat([u, window[:, self.dilation], window[:, 0]], dim=-1)
        return self._combine(x, taps), torch.cat([window[:, 1:], u.unsqueeze(1)], dim=1)

    def empty(self, rows: int) -> Tensor:
        """The window before the first word."""
        return self.expand.weight.new_zeros(rows, 2 * self.dilation, self.expand.in_features)

    def _combine(self, x: Tensor, taps: Tensor) -> Tensor:
        return F.relu(x + self.expand(F.relu(self.convolve(taps))))
