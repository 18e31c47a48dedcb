"""Which sentences form a batch, in which order, and the batch as tensors."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from lvae_core import rng
from lvae_core.config import Batching
from lvae_core.corpus import Split


@dataclass(frozen=True, eq=False)
class Batch:
    """B sentences, padded on the right to T, the longest's number of predicted tokens.

    words: int64 [B, T], w_1..w_T with w_T = ``</s>``; 0 beyond a sentence's length.
    lengths: int64 [B], predicted tokens of each sentence.
    indices: int64 [B], each sentence's place in its split; stays on the CPU.
    """

    words: torch.Tensor
    lengths: torch.Tensor
    indices: np.ndarray

    @cached_property
    def mask(self) -> torch.Tensor:
        """bool [B, T], true where there is a predicted token and false on padding."""
        positions = torch.arange(self.words.shape[1], device=self.words.device)
        return positions < self.lengths.unsqueeze(1)

    def to(self, device: torch.device | str) -> Batch:
        """The same batch with its tensors on ``device``."""
        return Batch(self.words.to(device), self.lengths.to(device), self.indices)


def epoch_order(
    lengths: np.ndarray, batch_size: int, batching: Batching, seed: int, epoch: int
) -> list[np.ndarray]:
    """The batches of one training epoch, each an int64 array of sentence indices.

    A pure function of its arguments, so a training loop needs no loader with a state. Every sentence
    stands in exactly one batch; one batch is smaller where ``batch_size`` does not divide their number.

    Args:
        lengths: predicted tokens of each sentence, [N].
        batch_size: B, sentences a batch.
        batching: ``shuffled``: a random permutation, cut; ``bucketed``: the permutation sorted by length
            (which keeps its order among equals) before it is cut, and the batches shuffled.
        seed: of the run.
        epoch: number of the epoch.
    """
    order = rng.permutation(seed, "order", epoch, "sentences", size=len(lengths))
    if batching == "shuffled":
        return list(_cut(order, batch_size))
    batches = list(_cut(order[np.argsort(lengths[order], kind="stable")], batch_size))
    return [batches[i] for i in rng.permutation(seed, "order", epoch, "batches", size=len(batches))]


def eval_order(lengths: np.ndarray, batch_size: int) -> list[np.ndarray]:
    """The batches of an evaluation: always the same, by rising length to waste no padding."""
    return list(_cut(np.argsort(lengths, kind="stable"), batch_size))


def collate(split: Split, indices: np.ndarray) -> Batch:
    """The sentences ``indices`` ([B], B ≥ 1) of ``split`` as one batch on the CPU."""
    indices = np.asarray(indices, dtype=np.int64)
    lengths = split.lengths[indices]
    words = np.zeros((len(indices), int(lengths.max())), dtype=np.int64)
    for row, index in zip(words, indices, strict=True):
        sentence = split.sentence(int(index))
        row[: len(sentence)] = sentence
    return Batch(torch.from_numpy(words), torch.from_numpy(lengths), indices)


def _cut(order: np.ndarray, batch_size: int) -> Iterator[np.ndarray]:
    for start in range(0, len(order), batch_size):
        yield order[start : start + batch_size]
