"""Sentences from a small latent-variable model whose log p(x) is known exactly.

A latent class c is drawn from ``PRIOR``. The words lie on a circle. The first is one of four, drawn from
``FIRST[c]``; each next word lies one, two or three places further, drawn from ``STEP[c]``. After the second
and every later word the sentence stops with probability ``STOP``, and after the ninth it always stops.
Every class can produce every sentence, so a sentence suggests its class but never determines it.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import pairwise

from lvae_core.data.text_files import SPLITS, Text, from_lines

WORDS = ("ash", "bay", "cedar", "elm", "fir", "hazel", "larch", "maple", "oak", "pine", "rowan", "yew")
PRIOR = (0.5, 0.3, 0.2)
FIRST = ((0.70, 0.10, 0.10, 0.10), (0.10, 0.70, 0.10, 0.10), (0.25, 0.25, 0.25, 0.25))
STEP = ((0.80, 0.15, 0.05), (0.05, 0.80, 0.15), (0.15, 0.05, 0.80))
STOP = 0.25
MIN_WORDS, MAX_WORDS = 2, 9
SIZES = {"train": 400, "valid": 100, "test": 100}

_SEED = 20190728
_INDEX = {word: i for i, word in enumerate(WORDS)}


def log_likelihood(tokens: Sequence[str]) -> float:
    """Exact log p(x) of a sentence, in nats, by summing over the classes.

    Args:
        tokens: the sentence, without ``</s>``.

    Returns:
        -inf for a sentence that the model cannot produce.
    """
    n = len(tokens)
    if not MIN_WORDS <= n <= MAX_WORDS or any(token not in _INDEX for token in tokens):
        return -math.inf
    places = [_INDEX[token] for token in tokens]
    steps = [(b - a) % len(WORDS) for a, b in pairwise(places)]
    if places[0] >= len(FIRST[0]) or not all(1 <= step <= len(STEP[0]) for step in steps):
        return -math.inf
    length = (n - MIN_WORDS) * math.log1p(-STOP) + (math.log(STOP) if n < MAX_WORDS else 0.0)
    joint = [
        math.log(prior) + math.log(first[places[0]]) + math.fsum(math.log(step[s - 1]) for s in steps)
        for prior, first, step in zip(PRIOR, FIRST, STEP, strict=True)
    ]
    top = max(joint)
    return length + top + math.log(math.fsum(math.exp(j - top) for j in joint))


def read(split: str) -> Text:
    """Read one of the three splits: the same sentences on every machine and every Python."""
    return _all()[split]


@cache
def _all() -> dict[str, Text]:
    sentences = _sample(random.Random(_SEED))
    return {
        split: from_lines([next(sentences) for _ in range(SIZES[split])], f"toy {split}")
        for split in SPLITS
    }


def _sample(source: random.Random) -> Iterator[str]:
    while True:
        c = _draw(PRIOR, source)
        place = _draw(FIRST[c], source)
        words = [WORDS[place]]
        while len(words) < MIN_WORDS or (len(words) < MAX_WORDS and source.random() >= STOP):
            place = (place + 1 + _draw(STEP[c], source)) % len(WORDS)
            words.append(WORDS[place])
        yield " ".join(words)


def _draw(probabilities: Sequence[float], source: random.Random) -> int:
    # Python guarantees that random() stays the same for a given seed, but not choices().
    u = source.random()
    for i, p in enumerate(probabilities[:-1]):
        u -= p
        if u < 0:
            return i
    return len(probabilities) - 1
