"""The one model class: an optional encoder, a decoder, the average of L states, and a softmax."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from lvae_core import rng
from lvae_core.config import RunConfig
from lvae_core.data.batches import Batch
from lvae_core.model.contracts import Encoder, Noise, Posterior
from lvae_core.model.dropout import dropout
from lvae_core.model.layers.embedding import Embedding
from lvae_core.model.layers.softmax import Softmax
from lvae_core.model.parts import DECODERS, ENCODERS, INFERENCES, POSTERIORS


class TextModel(nn.Module):
    """A text model with or without a latent variable, assembled from the parts that its config names.

    Latent samples come as z of shape (S, G, B, Z): S draws, each a group of G samples whose decoder
    states are averaged before one softmax (Eq. 7). The two averaging modes differ only in this:
    averaging = loss is G = 1 and a mean over S, averaging = hidden is G = L.

    Args:
        config: what to assemble.
        num_classes: V, the words and ``</s>``; class V is ``<s>``, an input only.
    """

    def __init__(self, config: RunConfig, num_classes: int) -> None:
        super().__init__()
        D = config.embedding_size
        self.config = config
        self.start_id = num_classes
        self.latent_size = config.latent_size
        self.posterior: type[Posterior] = POSTERIORS[config.posterior]
        self.inference = INFERENCES[config.inference]
        self.encoder: Encoder | None = None
        # torch initialises layers from the global random state, which must not change.
        with torch.random.fork_rng(devices=[]):
            # Only the decoder reads <s>, but a shared table has its row, too.
            words = None if config.setting == "inputless" else Embedding(num_classes + 1, D)
            self.decoder = DECODERS[config.decoder](config, words)
            self.output = Softmax(self.decoder.output_size, num_classes, bias=config.linear_bias)  # M1
            if config.encoder != "none":
                shared = words if config.share_embeddings and words is not None else None
                table = shared or Embedding(num_classes, D)
                head = self.posterior.head(config)
                self.encoder = ENCODERS[config.encoder](config, table, head)
        self.dropout = config.dropout
        self._initialise(config)

    def _initialise(self, config: RunConfig) -> None:
        # On the CPU, parameter by parameter and row by row, so that every device and every layout in
        # memory starts from the same numbers.
        scales = {f"decoder.{name}": a for name, a in self.decoder.initial_scales().items()}
        for name, parameter in self.named_parameters():
            embeds = name.endswith(("embedding.weight", "hidden_word"))
            scale = config.embedding_init_scale if embeds else 0.0
            a = scales.get(name, scale or config.init_scale)
            generator = rng.torch_generator(config.seed, "init", name)
            with torch.no_grad():
                parameter.copy_(torch.empty(parameter.shape).uniform_(-a, a, generator=generator))

    def infer(
        self,
        batch: Batch,
        masks: torch.Generator | None = None,
        *,
        noise: Noise,
        kl_weight: float = 1.0,
    ) -> Posterior:
        """Return q(z|x) of each sentence, by the inference that the config names; see ``Inference``."""
        return self.inference(self, batch, masks, noise=noise, kl_weight=kl_weight)

    def log_likelihood(
        self, batch: Batch, z: Tensor | None, masks: torch.Generator | None = None
    ) -> Tensor:
        """log p(x | z) of each sentence; its value, not its gradient.

        Args:
            batch: B sentences.
            z: (S, G, B, Z), or None for a language model (S = 1).
            masks: draws dropout; None: no dropout.

        Returns:
            (S, B), nats per sentence.
        """
        return by_sentence(self.word_log_likelihood(batch, z, masks), batch)

    def word_log_likelihood(
        self, batch: Batch, z: Tensor | None, masks: torch.Generator | None = None
    ) -> Tensor:
        """Terms of :meth:`log_likelihood`: one for each of the P predicted words of all sentences.

        Returns:
            (S, P), nats.
        """
        states = self._states(batch, z, masks)  # (S, P, H)
        values = self.output.log_likelihood(states.flatten(0, 1), self.targets(batch).repeat(len(states)))
        return values.view(len(states), -1)

    def mean_nll(
        self,
        batch: Batch,
        z: Tensor | None,
        masks: torch.Generator | None,
        weigh: Callable[[Tensor], Tensor] | None = None,
    ) -> Tensor:
        """Mean over draws and sentences of −log p(x | z): the training objective's term.

        Args:
            batch: B sentences.
            z: (S, G, B, Z), or None for a language model (S = 1).
            masks: draws dropout; None: no dropout.
            weigh: computes from log p(x | z), (S, B), constant factors on it before the mean; None: 1.

        Returns:
            A scalar, nats per sentence, differentiable once.
        """
        hidden = self._states(batch, z, masks)  # (S, P, H)
        S, T = len(hidden), batch.words.shape[1]
        factor = -1 / (S * len(batch.words))

        def by_word(values: Tensor) -> Tensor:  # log p of the predicted words
            assert weigh is not None
            return weigh(by_sentence(values.view(S, -1), batch))[:, batch.positions // T].flatten()

        targets = self.targets(batch).repeat(S)
        return self.output.total_log_likelihood(
            hidden.flatten(0, 1), targets, factor, None if weigh is None else by_word
        )

    def targets(self, batch: Batch) -> Tensor:
        """The P predicted words of all sentences, (P,)."""
        return batch.words.flatten().index_select(0, batch.positions)

    def hidden(self, batch: Batch, z: Tensor | None) -> Tensor:
        """The decoder's states at P predicted words, averaged over each group: (S, P, H). No dropout."""
        return self._states(batch, z, None).to(self.output.weight.dtype)

    def _states(self, batch: Batch, z: Tensor | None, masks: torch.Generator | None) -> Tensor:
        """The same states under dropout, in the decoder's rounding, which the softmax's product expects."""
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
                # LSTM writes its states step by step: in that order, the backward pass moves no memory.
                by_step = states.movedim(2, 0)  # (T, S G, B, H)
                if self.config.dropout_before_average:
                    by_step = self._drop(by_step, masks, samples=1)
                states = by_step.view(-1, S, G, *by_step.shape[2:]).sum(2, dtype=dtype) / G
                states = states.movedim(0, 2)  # (S, B, T, H)
        states = states.flatten(1, 2)
        if batch.positions.numel() < batch.words.numel():  # there is padding to leave out
            states = states.index_select(1, batch.positions)
        dropped = self.config.dropout_before_average and z is not None and z.shape[1] > 1
        return states if dropped else self._drop(states, masks, samples=0)

    def _drop(self, states: Tensor, masks: torch.Generator | None, *, samples: int) -> Tensor:
        """Apply dropout, with one mask for all samples, whose axis is given, if the config asks for it."""
        if not self.config.shared_state_masks or masks is None:
            return dropout(states, self.dropout, masks)
        one = states.narrow(samples, 0, 1)
        return states * dropout(torch.ones_like(one), self.dropout, masks)


def of_class(values: Tensor, targets: Tensor, wanted: int, batch: Batch) -> Tensor:
    """Sum the values of the predicted words of one class, (S, P), over each sentence: (S, B)."""
    return by_sentence(values.masked_fill(targets != wanted, 0), batch)


def by_sentence(values: Tensor, batch: Batch) -> Tensor:
    """Sum the values of the predicted words, (S, P), over each sentence: (S, B)."""
    by_position = values.new_zeros(len(values), batch.words.numel())
    by_position.index_copy_(1, batch.positions, values)
    return by_position.view(len(values), *batch.words.shape).sum(-1)
