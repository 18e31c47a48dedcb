"""How much a grid takes up, worked out before anything runs; without torch."""

from __future__ import annotations

from collections.abc import Iterable

from lvae_core.config import RunConfig
from lvae_core.data.corpus import Corpus

_CHECKPOINT = 2.2
"""Bytes of a checkpoint for each byte of parameters: present ones, best ones, and what goes along."""

_KEPT = 2
"""Checkpoints that a run folder holds: the latest, and the one before it or the one being written."""


def parameter_count(config: RunConfig, classes: int) -> int:
    """Trained parameters of the model that ``config`` describes over V = ``classes`` words."""
    D, H, V = config.embedding_size, config.hidden_size, classes
    latent = config.encoder != "none"
    Z = config.latent_size if latent else 0
    reads_words = config.setting != "inputless"
    biases = int(config.linear_bias)

    count = _lstm(D + Z, H) + (H + biases) * V  # decoder and M1
    if reads_words:
        count += (V + 1) * D  # <s> is a row of its own
    if not reads_words or config.word_dropout > 0:
        count += D  # what stands for a hidden word
    if latent:
        count += (Z + biases) * H  # M2
        count += _lstm(D, H) + 2 * (H + biases) * Z  # encoder, M3 and M4
        if not (config.share_embeddings and reads_words):
            count += V * D
    return count


def _lstm(inputs: int, hidden: int) -> int:
    """Four gates, each with both matrices and torch's two biases."""
    return 4 * hidden * (inputs + hidden + 2)


def storage_bytes(runs: Iterable[tuple[RunConfig, int]]) -> int:
    """About how much the folders of ``runs`` (config and V of each) will hold at most."""
    parameters = sum(parameter_count(config, classes) for config, classes in runs)
    return round(parameters * 4 * _CHECKPOINT * _KEPT)


def corpus_bytes(corpus: Corpus) -> int:
    """What a corpus takes up in the object store of a node, but for its vocabulary."""
    splits = (corpus.train, corpus.valid, corpus.test)
    return sum(split.tokens.nbytes + split.offsets.nbytes for split in splits)


def in_words(size: float) -> str:
    """A number of bytes for people: ``812 MiB``, ``3.2 GiB``."""
    for unit in ("bytes", "KiB", "MiB"):
        if size < 1000:
            return f"{size:.0f} {unit}"
        size /= 1024
    return f"{size:.1f} GiB"
