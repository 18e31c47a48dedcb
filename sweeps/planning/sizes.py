"""Compute the storage and memory that a grid needs, before anything runs."""

from __future__ import annotations

from collections.abc import Iterable

from lvae_core.config import RunConfig
from lvae_core.data.corpus import Corpus
from lvae_core.model.counts import parameter_count

_CHECKPOINT = 2.2
"""Bytes of a checkpoint for each byte of parameters: the current ones, the best ones, and the rest."""

_MOMENTS = 2
"""Moments that Adam keeps of each parameter."""

_KEPT = 2
"""Checkpoints in a run folder: the latest, and the one before it or the one being written."""


def storage_bytes(runs: Iterable[tuple[RunConfig, int]]) -> int:
    """Approximate upper limit of the bytes in the folders of ``runs`` (config and V of each)."""
    return _KEPT * sum(checkpoint_bytes(config, classes) for config, classes in runs)


def checkpoint_bytes(config: RunConfig, classes: int) -> int:
    """Approximate upper limit of the bytes of a run's checkpoint; ``classes`` is V."""
    copies = _CHECKPOINT + (_MOMENTS if config.optimiser == "adam" else 0)
    return round(parameter_count(config, classes) * 4 * copies)


def corpus_bytes(corpus: Corpus) -> int:
    """Bytes of a corpus in the object store of a node, without its vocabulary."""
    splits = (corpus.train, corpus.valid, corpus.test)
    return sum(split.tokens.nbytes + split.offsets.nbytes for split in splits)


def format_bytes(size: float) -> str:
    """Format a number of bytes for people: ``812 MiB``, ``3.2 GiB``."""
    for unit in ("bytes", "KiB", "MiB"):
        if size < 1000:
            return f"{size:.0f} {unit}"
        size /= 1024
    return f"{size:.1f} GiB"
