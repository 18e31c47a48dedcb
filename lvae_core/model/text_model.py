"""The one model class: an optional encoder, a decoder, a softmax, and where L states are averaged."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lvae_core import rng
from lvae_core.batches import Batch
from lvae_core.config import RunConfig
from lvae_core.model import softmax
from lvae_core.model.decoder import LSTMDecoder
from lvae_core.model.dropout import dropout
from lvae_core.model.encoder import LSTMEncoder


class TextModel(nn.Module):
    """A text model with or without a latent variable, assembled from its config.

    Latent samples come as z of shape (S, G, B, Z): S draws, each a group of G samples whose decoder
    states are averaged before one softmax (Eq. 7). The two averaging modes differ in nothing else:
    averaging = loss is G = 1 and a mean over S, averaging = hidden is G = L.

    Args:
        config: what to assemble.
        num_classes: V, the words and ``</s>``; class V is ``<s>``, an input only.
    """

    def __init__(self, config: RunConfig, num_classes: int) -> None:
        super().__init__()
        D = config.embedding_size
        self.start_id = num_classes
        self.encoder: LSTMEncoder | None = None
        # Without memory at first: torch fills what it makes with numbers from global randomness.
        with torch.device("meta"):
            # <s> is read by the decoder alone; a shared table has its row all the same.
            words = None if config.setting == "inputless" else nn.Embedding(num_classes + 1, D)
            self.decoder = LSTMDecoder(config, words)
            self.output = nn.Linear(config.hidden_size, num_classes, bias=config.linear_bias)  # M1
            if config.encoder == "lstm":
                shared = words if config.share_embeddings and words is not None else None
                self.encoder = LSTMEncoder(config, shared or nn.Embedding(num_classes, D))
        self.to_empty(device="cpu")
        self.dropout = config.dropout
        self._initialise(config)

    def _initialise(self, config: RunConfig) -> None:
        # On the CPU and parameter by parameter, so that every device starts from the same numbers.
        for name, parameter in self.named_parameters():
            generator = rng.torch_generator(config.seed, "init", name)
            nn.init.uniform_(parameter, -config.init_scale, config.init_scale, generator=generator)

    def log_likelihood(self, batch: Batch, z: Tensor | None) -> Tensor:
        """log p(x | z) of each sentence, without dropout.

        Args:
            batch: B sentences.
            z: (S, G, B, Z), or None for a language model (S = 1).

        Returns:
            (S, B), nats a sentence.
        """
        hidden = self._hidden(batch, z, masks=None)  # (S, B, T, H)
        S, B, T = hidden.shape[:3]
        mask = batch.mask.expand(S, B, T)
        words = batch.words.expand(S, B, T)
        values = softmax.log_likelihood(hidden[mask], self.output.weight, self.output.bias, words[mask])
        by_position = hidden.new_zeros(S, B, T)
        by_position[mask] = values
        return by_position.sum(-1)

    def mean_log_likelihood(self, batch: Batch, z: Tensor | None, masks: torch.Generator) -> Tensor:
        """Mean over draws and sentences of log p(x | z), with dropout: the training objective's term.

        Takes what :meth:`log_likelihood` takes; ``masks`` draws dropout. A scalar, nats a sentence.
        """
        hidden = dropout(self._hidden(batch, z, masks), self.dropout, masks)  # (S, B, T, H)
        S, B, T = hidden.shape[:3]
        mask = batch.mask.expand(S, B, T)
        total = softmax.total_log_likelihood(
            hidden[mask], self.output.weight, self.output.bias, batch.words.expand(S, B, T)[mask]
        )
        return total / (S * B)

    def _hidden(self, batch: Batch, z: Tensor | None, masks: torch.Generator | None) -> Tensor:
        start = batch.words.new_full((len(batch.words), 1), self.start_id)
        inputs = torch.cat([start, batch.words[:, :-1]], dim=1)  # <s>, w_1..w_{T-1}
        if z is None:
            return self.decoder(inputs, None, masks)
        S, G, B, Z = z.shape
        hidden = self.decoder(inputs, z.reshape(S * G, B, Z), masks)
        return hidden.view(S, G, *hidden.shape[1:]).mean(1)  # Eq. 7
