"""Which sentences form a batch, in which order, and the batch as tensors."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from lvae_core import rng
from lvae_core.config import Batching
from lvae_core.data.corpus import Split


@dataclass(frozen=True, eq=False)
class Batch:
    """B sentences, padded on the right to T, the longest's number of predicted tokens.

    words: int64 [B, T], w_1..w_T with w_T = ``</s>``; 0 beyond a sentence's length.
    lengths: int64 [B], predicted tokens of each sentence.
    positions: int64 [P], the P predicted tokens as places in ``words.flatten()``, rising.
    indices: int64 [B], each sentence's place in its split; stays on the CPU.
    """

    words: torch.Tensor
    lengths: torch.Tensor
    positions: torch.Tensor
    indices: np.ndarray

    def to(self, device: torch.device | str) -> Batch:
        """The same batch with its tensors on ``device``, to which they may still be on their way."""
        words, lengths, positions = (
            send(part, device) for part in (self.words, self.lengths, self.positions)
        )
        return Batch(words, lengths, positions, self.indices)

    def sentence(self, row: int) -> Batch:
        """One sentence as a batch of its own, without padding."""
        T = int(self.lengths[row])
        positions = torch.arange(T, device=self.words.device)
        return Batch(
            self.words[row : row + 1, :T],
            self.lengths[row : row + 1],
            positions,
            self.indices[row : row + 1],
        )


def send(tensor: torch.Tensor, device: torch.device | str) -> torch.Tensor:
    """A tensor of the CPU on ``device``, to which it may still be on its way."""
    if torch.device(device).type == "cuda":
        # From pinned memory the copy does not make the CPU wait for the GPU.
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)


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
    return make_batch(torch.from_numpy(words), torch.from_numpy(lengths), indices)


def make_batch(words: torch.Tensor, lengths: torch.Tensor, indices: np.ndarray) -> Batch:
    """A batch from padded words (B, T) and their lengths (B,), on the CPU.

    The positions are found here and not where they are used: on a GPU their number would have to be
    waited for in every step.
    """
    mask = torch.arange(words.shape[1]) < lengths.unsqueeze(1)
    return Batch(words, lengths, mask.flatten().nonzero().squeeze(1), indices)


def _cut(order: np.ndarray, batch_size: int) -> Iterator[np.ndarray]:
    for start in range(0, len(order), batch_size):
        yield order[start : start + batch_size]
