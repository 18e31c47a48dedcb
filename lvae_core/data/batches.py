"""Batches: the order of the sentences, and the sentences of a batch as tensors."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from lvae_core import rng
from lvae_core.data.corpus import Split
from lvae_core.fields.choices import Batching


@dataclass(frozen=True, eq=False)
class Batch:
    """B sentences, padded on the right to T, the number of predicted tokens of the longest.

    words: int64 [B, T], w_1..w_T with w_T = ``</s>``; 0 beyond a sentence's length.
    lengths: int64 [B], number of predicted tokens of each sentence.
    positions: int64 [P], indices of the P predicted tokens in ``words.flatten()``, ascending.
    indices: int64 [B], index of each sentence in its split; stays on the CPU.
    """

    words: torch.Tensor
    lengths: torch.Tensor
    positions: torch.Tensor
    indices: np.ndarray

    def to(self, device: torch.device | str) -> Batch:
        """Copy the batch to ``device``; the copy may still be under way on return."""
        words, lengths, positions = (
            send(part, device) for part in (self.words, self.lengths, self.positions)
        )
        return Batch(words, lengths, positions, self.indices)

    def sentence(self, row: int, T: int) -> Batch:
        """The sentence in ``row``, whose length is ``T``, as a batch without padding."""
        positions = torch.arange(T, device=self.words.device)
        return Batch(
            self.words[row : row + 1, :T],
            self.lengths[row : row + 1],
            positions,
            self.indices[row : row + 1],
        )

    def rows(self, rows: slice) -> Batch:
        """Neighbouring sentences as a batch of the same T."""
        T = self.words.shape[1]
        start, stop, _ = rows.indices(len(self.words))
        within = (self.positions >= start * T) & (self.positions < stop * T)
        return Batch(
            self.words[rows], self.lengths[rows], self.positions[within] - start * T, self.indices[rows]
        )


def send(tensor: torch.Tensor, device: torch.device | str) -> torch.Tensor:
    """Copy a tensor to ``device`` unless it is there; the copy may still be under way on return."""
    if torch.device(device).type == "cuda" and not tensor.is_cuda:
        # A copy from pinned memory does not make the CPU wait for the GPU, if it can be made as it lies.
        tensor = tensor.contiguous().pin_memory()
    return tensor.to(device, non_blocking=True)


def epoch_order(
    lengths: np.ndarray, batch_size: int, batching: Batching, seed: int, epoch: int
) -> list[np.ndarray]:
    """The batches of one training epoch, each an int64 array of sentence indices.

    The order is a pure function of the arguments, so the training loop needs no loader state. Every
    sentence is in exactly one batch. One batch, or one of each length, is smaller if ``batch_size`` does
    not divide the number of sentences. There are ``Split.num_batches`` batches.

    Args:
        lengths: number of predicted tokens of each sentence, [N].
        batch_size: B, sentences per batch.
        batching: ``shuffled`` cuts a random permutation into batches. ``bucketed`` first sorts the
            permutation by length (a stable sort), and shuffles the batches after the cut.
            ``equal_length`` does the same but also cuts wherever the length changes, as Kim et al. (2018)
            and He et al. (2019) do.
        seed: seed of the run.
        epoch: number of the epoch.
    """
    order = rng.permutation(seed, "order", epoch, "sentences", size=len(lengths))
    if batching == "shuffled":
        return list(_into_batches(order, batch_size))
    order = order[np.argsort(lengths[order], kind="stable")]
    groups = [order]
    if batching == "equal_length":
        groups = np.split(order, np.flatnonzero(np.diff(lengths[order])) + 1)
    batches = [batch for group in groups for batch in _into_batches(group, batch_size)]
    return [batches[i] for i in rng.permutation(seed, "order", epoch, "batches", size=len(batches))]


def eval_order(lengths: np.ndarray, batch_size: int) -> list[np.ndarray]:
    """The batches of an evaluation: always the same, by ascending length to keep padding small."""
    return list(_into_batches(np.argsort(lengths, kind="stable"), batch_size))


def collate(split: Split, indices: np.ndarray) -> Batch:
    """Collect the sentences ``indices`` ([B], B ≥ 1) of ``split`` in one batch on the CPU."""
    indices = np.asarray(indices, dtype=np.int64)
    lengths = split.lengths[indices]
    # Without a loop over the sentences: while a GPU computes a small model, the time of the CPU counts.
    places = np.arange(lengths.max())
    words = split.tokens.take(split.offsets[indices, None] + places, mode="clip").astype(np.int64)
    words[places >= lengths[:, None]] = 0
    return make_batch(torch.from_numpy(words), torch.from_numpy(lengths), indices)


def make_batch(words: torch.Tensor, lengths: torch.Tensor, indices: np.ndarray) -> Batch:
    """Make a batch from padded words [B, T] and their lengths [B], on the CPU.

    The positions are computed here because their number must be known on the CPU: computed on the GPU,
    it would force a synchronisation in every step.
    """
    mask = torch.arange(words.shape[1]) < lengths.unsqueeze(1)
    return Batch(words, lengths, mask.flatten().nonzero().squeeze(1), indices)


def _into_batches(order: np.ndarray, batch_size: int) -> Iterator[np.ndarray]:
    for start in range(0, len(order), batch_size):
        yield order[start : start + batch_size]
