"""Runs that take equally long: equal in every field but the seed."""

from __future__ import annotations

import hashlib
from functools import lru_cache

from lvae_core.config import RunConfig
from lvae_core.run_folder.names import CellName

_PRODUCTS = ("batch_size", "embedding_size", "hidden_size", "decoder", "cnn_channels", "cnn_external")


def variant_of(config: RunConfig) -> str:
    """Name the variant of a run: its cell and all its fields but the seed. It is valid in this process.

    Runs of one variant take about the same time; those of a cell may differ in sizes and epochs.
    """
    values = tuple(value for field, value in vars(config).items() if field not in ("seed", "dataset"))
    return f"{CellName.of(config)} {_digest(values)}"


@lru_cache(maxsize=4096)
def _digest(values: tuple[object, ...]) -> str:
    return hashlib.blake2b(repr(values).encode(), digest_size=8).hexdigest()


def product_sizes(config: RunConfig) -> tuple[object, ...]:
    """The sizes of a run's largest matrix products, apart from the vocabulary.

    Runs that share them do about the same number of operations per second. Small products do far fewer.
    """
    return tuple(getattr(config, field) for field in _PRODUCTS)
