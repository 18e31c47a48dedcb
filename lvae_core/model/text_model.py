"""The one model class: an optional encoder, a decoder, a softmax, and where L states are averaged."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lvae_core import rng
from lvae_core.config import RunConfig
from lvae_core.data.batches import Batch
from lvae_core.model.dropout import dropout
from lvae_core.model.layers.embedding import Embedding
from lvae_core.model.layers.softmax import Softmax
from lvae_core.model.lstm_decoder import LSTMDecoder
from lvae_core.model.lstm_encoder import LSTMEncoder


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
        # torch fills what it makes with numbers from global randomness, which is left as it was.
        with torch.random.fork_rng(devices=[]):
            # <s> is read by the decoder alone; a shared table has its row all the same.
            words = None if config.setting == "inputless" else Embedding(num_classes + 1, D)
            self.decoder = LSTMDecoder(config, words)
            self.output = Softmax(config.hidden_size, num_classes, bias=config.linear_bias)  # M1
            if config.encoder == "lstm":
                shared = words if config.share_embeddings and words is not None else None
                self.encoder = LSTMEncoder(config, shared or Embedding(num_classes, D))
        self.dropout = config.dropout
        self._initialise(config)

    def _initialise(self, config: RunConfig) -> None:
        # On the CPU, parameter by parameter and row by row, so that every device and every layout in
        # memory starts from the same numbers.
        a = config.init_scale
        for name, parameter in self.named_parameters():
            generator = rng.torch_generator(config.seed, "init", name)
            with torch.no_grad():
                parameter.copy_(torch.empty(parameter.shape).uniform_(-a, a, generator=generator))

    def log_likelihood(self, batch: Batch, z: Tensor | None) -> Tensor:
        """log p(x | z) of each sentence, without dropout.

        Args:
            batch: B sentences.
            z: (S, G, B, Z), or None for a language model (S = 1).

        Returns:
            (S, B), nats a sentence.
        """
        states = self._states(batch, z, masks=None)  # (S, P, H)
        S, P = states.shape[:2]
        values = self.output.log_likelihood(states.flatten(0, 1), self.targets(batch).repeat(S))
        by_position = values.new_zeros(S, batch.words.numel())
        by_position.index_copy_(1, batch.positions, values.view(S, P))
        return by_position.view(S, *batch.words.shape).sum(-1)

    def mean_nll(self, batch: Batch, z: Tensor | None, masks: torch.Generator) -> Tensor:
        """Mean over draws and sentences of −log p(x | z), with dropout: the training objective's term.

        Takes what :meth:`log_likelihood` takes; ``masks`` draws dropout. A scalar, nats a sentence.
        """
        hidden = dropout(self._states(batch, z, masks), self.dropout, masks)  # (S, P, H)
        S = len(hidden)
        factor = -1 / (S * len(batch.words))
        return self.output.total_log_likelihood(hidden.flatten(0, 1), self.targets(batch).repeat(S), factor)

    def targets(self, batch: Batch) -> Tensor:
        """The P predicted words of all sentences, (P,)."""
        return batch.words.flatten().index_select(0, batch.positions)

    def hidden(self, batch: Batch, z: Tensor | None, masks: torch.Generator | None) -> Tensor:
        """The decoder's states at the P predicted words, averaged over each group: (S, P, H)."""
        return self._states(batch, z, masks).to(self.output.weight.dtype)

    def _states(self, batch: Batch, z: Tensor | None, masks: torch.Generator | None) -> Tensor:
        """The same as rounded as the decoder gives them, which is how the softmax's product takes them."""
        dtype = self.output.weight.dtype
        start = batch.words.new_full((len(batch.words), 1), self.start_id)
        inputs = torch.cat([start, batch.words[:, :-1]], dim=1)  # <s>, w_1..w_{T-1}
        if z is None:
            states = self.decoder(inputs, None, masks)  # (1, B, T, H)
        else:
            S, G, B, Z = z.shape
            states = self.decoder(inputs, z.reshape(S * G, B, Z), masks)  # (S G, B, T, H)
            if G > 1:
                # Eq. 7: a sum divided, whose gradient is divided before it is spread over the group. An
                # LSTM writes its states step by step: taken in that order nothing is moved on the way back.
                by_step = states.movedim(2, 0)  # (T, S G, B, H)
                states = by_step.view(-1, S, G, *by_step.shape[2:]).sum(2, dtype=dtype) / G
                states = states.movedim(0, 2)  # (S, B, T, H)
        states = states.flatten(1, 2)
        if batch.positions.numel() < batch.words.numel():  # there is padding to leave out
            states = states.index_select(1, batch.positions)
        return states
