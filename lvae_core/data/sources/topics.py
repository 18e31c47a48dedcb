"""Sentences about one of eight topics, whose log p(x) is known exactly.

A topic is drawn uniformly, then three words, each uniformly from the four of the topic. So every sentence
has the same probability, and -log p(x) = ln 8 + 3 ln 4 = 6.238 nats. A decoder that reads no words needs z
to know the topic; without z the words cost 3 ln 32 = 10.397 nats. No bound lies below 6.238 in expectation,
which makes this a corpus on which to test estimates.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from functools import cache
from typing import TypeVar

from lvae_core.data.text_files import SPLITS, Text, from_lines

TOPICS = (
    ("apple", "cherry", "pear", "plum"),
    ("badger", "fox", "hare", "otter"),
    ("drum", "flute", "harp", "violin"),
    ("iron", "lead", "tin", "zinc"),
    ("canoe", "ferry", "raft", "yacht"),
    ("blue", "green", "red", "yellow"),
    ("frost", "hail", "rain", "snow"),
    ("chisel", "hammer", "pliers", "saw"),
)
LENGTH = 3
SIZES = {"train": 8000, "valid": 1000, "test": 1000}

_SEED = 20190728

T = TypeVar("T")


def log_likelihood(tokens: Sequence[str]) -> float:
    """Exact log p(x) of a sentence, in nats.

    Args:
        tokens: the sentence, without ``</s>``.

    Returns:
        -inf for a sentence that the model cannot produce.
    """
    if len(tokens) != LENGTH or not any(all(word in topic for word in tokens) for topic in TOPICS):
        return -math.inf
    return -math.log(len(TOPICS)) - LENGTH * math.log(len(TOPICS[0]))


def read(split: str) -> Text:
    """Read one of the three splits: the same sentences on every machine and every Python."""
    return _all()[split]


@cache
def _all() -> dict[str, Text]:
    source = random.Random(_SEED)
    return {
        split: from_lines([_sentence(source) for _ in range(SIZES[split])], f"topics {split}")
        for split in SPLITS
    }


def _sentence(source: random.Random) -> str:
    topic = _choose(TOPICS, source)
    return " ".join(_choose(topic, source) for _ in range(LENGTH))


def _choose(values: Sequence[T], source: random.Random) -> T:
    # Python guarantees that random() stays the same for a given seed, but not choice().
    return values[int(source.random() * len(values))]
