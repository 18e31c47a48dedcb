"""log p(x|z) of sentences under many draws of z: in full, or roughly at a fraction of the cost."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from lvae_core.data.batches import Batch, send
from lvae_core.model.contracts import Posterior
from lvae_core.model.layers.precision import Arithmetic, compute_in
from lvae_core.model.layers.shortlist import Shortlist
from lvae_core.model.text_model import TextModel, by_sentence, of_class


@dataclass(frozen=True, eq=False)
class Draws:
    """S draws for each of B sentences, each a group of G samples whose states are averaged (Eq. 7).

    model: without dropout. q: the posteriors. noise: float32 (S, G, B, n), as ``q.sample`` takes it.
    positions: of the decoder, that are computed at once; they bound the memory. unknown: the class of
    unknown words, None if there is none.
    """

    model: TextModel
    batch: Batch
    q: Posterior
    noise: Tensor
    positions: int
    unknown: int | None = None

    def log_ratios(self) -> Tensor:
        """log p(z) − log q(z|x) of every sample: (S, G, B), float64, nats."""
        q = self.q.double()
        return torch.cat([q.log_ratio(_like(part, q.mean)) for part in torch.split(self.noise, 64)])

    def select(self, chosen: Tensor) -> Draws:
        """Draws ``chosen`` of each sentence, indices (n, B)."""
        _, G, B, n = self.noise.shape
        index = chosen.to(self.noise.device)[:, None, :, None].expand(-1, G, B, n)
        return replace(self, noise=self.noise.gather(0, index))

    def scores(self) -> tuple[Tensor, Tensor]:
        """log p(x|z) of every draw, and the part of it that unknown words have: (S, B), float64, nats."""
        draws = max(1, self.positions // (self.noise.shape[1] * self.batch.words.numel()))
        targets = self.model.targets(self.batch)
        whole, of_unknown = [], []
        for part in torch.split(self.noise, draws):
            z = self.q.sample(_like(part, self.q.mean))
            values = self.model.word_log_likelihood(self.batch, z)  # (s, P)
            whole.append(by_sentence(values, self.batch))
            if self.unknown is not None:
                of_unknown.append(of_class(values, targets, self.unknown, self.batch))
        scores = torch.cat(whole).double()
        return scores, torch.cat(of_unknown).double() if of_unknown else torch.zeros_like(scores)

    def rough_scores(self, arithmetic: Arithmetic) -> Tensor:
        """About :meth:`scores`, with the decoder computed in ``arithmetic``, in which the model is left."""
        compute_in(self.model, arithmetic)
        weight = self.model.output.weight.contiguous()
        lengths = self.batch.lengths.tolist()  # at once: the CPU waits for the device here
        return torch.stack([self._rough_scores(row, T, weight) for row, T in enumerate(lengths)], dim=1)

    def _rough_scores(self, row: int, T: int, weight: Tensor) -> Tensor:
        # A sentence at a time: a shortlist is worth its making only for many draws.
        sentence, q = self.batch.sentence(row, T), self.q.rows(slice(row, row + 1))
        targets, shortlist = self.model.targets(sentence), None
        draws = max(1, self.positions // (self.noise.shape[1] * len(targets)))
        parts = []
        for noise in torch.split(self.noise[:, :, row : row + 1], draws):
            hidden = self.model.hidden(sentence, q.sample(_like(noise, q.mean)))  # (s, T, H)
            shortlist = shortlist or Shortlist.around(self.model.output, weight, hidden)
            parts.append(shortlist.log_likelihood(hidden, targets).double().sum(-1))
        return torch.cat(parts)


def _like(noise: Tensor, values: Tensor) -> Tensor:
    """``noise`` on the device and in the dtype of ``values``; the CPU does not wait for the copy."""
    return send(noise, values.device).to(values.dtype)
