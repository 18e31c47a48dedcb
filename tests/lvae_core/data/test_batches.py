"""Batches hold every sentence once, in an order given by seed and epoch, padded on the right."""

import os
import subprocess
import sys
from itertools import pairwise
from typing import get_args

import numpy as np
import pytest
import torch

from lvae_core.config import RunConfig
from lvae_core.data.batches import collate, epoch_order, eval_order
from lvae_core.data.corpus import Split
from lvae_core.fields.choices import Batching

LENGTHS = np.array([3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7, 9, 3, 2, 3, 8, 4, 6, 2, 6])
BATCHINGS: tuple[Batching, ...] = get_args(Batching)


def as_lists(batches: list[np.ndarray]) -> list[list[int]]:
    return [batch.tolist() for batch in batches]


@pytest.mark.parametrize("batching", BATCHINGS)
@pytest.mark.parametrize("batch_size", [1, 4, 23, 100])
def test_every_sentence_is_in_exactly_one_batch(batching: Batching, batch_size: int) -> None:
    batches = epoch_order(LENGTHS, batch_size, batching, seed=0, epoch=1)
    assert sorted(i for batch in as_lists(batches) for i in batch) == list(range(len(LENGTHS)))
    sizes = sorted((len(batch) for batch in batches), reverse=True)
    of_a_length = [LENGTHS.tolist().count(length) for length in set(LENGTHS.tolist())]
    groups = of_a_length if batching == "equal_length" else [len(LENGTHS)]
    expected = []
    for full, rest in (divmod(group, batch_size) for group in groups):
        expected += [batch_size] * full + [rest] * (rest > 0)
    assert sizes == sorted(expected, reverse=True)
    split = Split(np.zeros(LENGTHS.sum(), np.int32), np.cumsum([0, *LENGTHS]))
    assert split.num_batches(RunConfig(batching=batching, batch_size=batch_size)) == len(batches)


@pytest.mark.parametrize("batching", BATCHINGS)
def test_order_differs_between_seeds_and_between_epochs(batching: Batching) -> None:
    orders = [
        as_lists(epoch_order(LENGTHS, 4, batching, seed, epoch)) for seed in range(3) for epoch in range(3)
    ]
    assert all(a != b for i, a in enumerate(orders) for b in orders[:i])


def test_bucketed_batches_hold_neighbouring_lengths_in_shuffled_order() -> None:
    batches = epoch_order(LENGTHS, 4, "bucketed", seed=0, epoch=0)
    ranges = [(LENGTHS[b].min(), LENGTHS[b].max()) for b in batches]
    by_length = sorted(ranges)
    assert all(low[1] <= high[0] for low, high in pairwise(by_length))
    assert ranges != by_length


def test_batches_of_equal_length_have_one_length_each_and_come_mixed() -> None:
    batches = epoch_order(LENGTHS, 2, "equal_length", seed=0, epoch=0)
    lengths = [set(LENGTHS[batch].tolist()) for batch in batches]
    assert all(len(found) == 1 for found in lengths)
    in_order = [found.pop() for found in lengths]
    assert in_order != sorted(in_order)
    partitions = [
        {frozenset(b.tolist()) for b in epoch_order(np.full(64, 7), 8, "equal_length", 0, e)}
        for e in (0, 1)
    ]
    assert partitions[0] != partitions[1]


def test_bucketed_batches_reshuffle_equal_lengths_each_epoch() -> None:
    equal = np.full(64, 7)
    partitions = [{frozenset(b.tolist()) for b in epoch_order(equal, 8, "bucketed", 0, e)} for e in (0, 1)]
    assert partitions[0] != partitions[1]


def test_bucketed_batches_of_unequal_lengths_come_in_another_order_each_epoch() -> None:
    first, second = (as_lists(epoch_order(np.arange(64), 8, "bucketed", 0, epoch)) for epoch in (0, 1))
    assert first != second
    assert sorted(first) == sorted(second) == np.arange(64).reshape(8, 8).tolist()


def test_bucketing_keeps_the_order_of_sentences_of_equal_length() -> None:
    lengths = np.arange(1000) % 3
    (permutation,) = epoch_order(lengths, 1000, "shuffled", 0, 0)
    (bucketed,) = epoch_order(lengths, 1000, "bucketed", 0, 0)
    assert bucketed.tolist() == sorted(permutation.tolist(), key=lambda i: i % 3)


@pytest.mark.slow
def test_another_process_computes_the_same_order() -> None:
    program = (
        "import numpy as np; from lvae_core.data.batches import epoch_order;"
        f"n = np.array({LENGTHS.tolist()});"
        "np.random.seed(5); np.random.rand(3);"
        f"print([[b.tolist() for b in epoch_order(n, 4, k, 7, 2)] for k in {BATCHINGS}])"
    )
    environment = os.environ | {"PYTHONHASHSEED": "123"}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment
    )
    here = [as_lists(epoch_order(LENGTHS, 4, batching, 7, 2)) for batching in BATCHINGS]
    assert done.stdout.strip() == str(here)


def test_evaluation_goes_by_ascending_length_in_a_stable_order() -> None:
    assert as_lists(eval_order(np.array([5, 2, 5, 1, 2]), 2)) == [[3, 1], [4, 0], [2]]


@pytest.fixture
def split() -> Split:
    # Read-only arrays, as an object store returns them.
    tokens = np.array([7, 8, 0, 9, 0, 1, 2, 3, 0], dtype=np.int32)
    offsets = np.array([0, 3, 5, 9], dtype=np.int64)
    tokens.flags.writeable = offsets.flags.writeable = False
    return Split(tokens, offsets)


def test_collate_pads_on_the_right_with_zero(split: Split) -> None:
    batch = collate(split, np.array([2, 1]))
    assert batch.words.tolist() == [[1, 2, 3, 0], [9, 0, 0, 0]]
    assert batch.lengths.tolist() == [4, 2]
    assert batch.indices.tolist() == [2, 1]
    assert batch.words.dtype == batch.lengths.dtype == torch.int64


def test_a_batch_is_no_wider_than_its_longest_sentence(split: Split) -> None:
    assert collate(split, np.array([1])).words.tolist() == [[9, 0]]


def test_a_batch_is_copied_to_a_device_with_its_indices_on_the_cpu(split: Split) -> None:
    moved = collate(split, np.array([0, 1])).to("meta")
    assert moved.words.device.type == moved.lengths.device.type == "meta"
    assert moved.indices.tolist() == [0, 1]


def test_rows_of_a_batch_are_its_sentences_with_their_positions(split: Split) -> None:
    batch = collate(split, np.arange(len(split)))
    for rows in (slice(0, 1), slice(1, None), slice(0, 99)):
        part = batch.rows(rows)
        assert torch.equal(part.words, batch.words[rows])
        assert part.indices.tolist() == batch.indices[rows].tolist()
        lengths = part.lengths.tolist()
        expected = [row * part.words.shape[1] + t for row, n in enumerate(lengths) for t in range(n)]
        assert part.positions.tolist() == expected


def test_writing_into_a_batch_does_not_change_the_split(split: Split) -> None:
    collate(split, np.array([0])).words.fill_(5)
    assert split.sentence(0).tolist() == [7, 8, 0]
