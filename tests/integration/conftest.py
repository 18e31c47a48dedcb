"""Fixtures for tests with real Ray."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lvae_core.data.corpus import Corpus, load
from sweeps.cluster.connect import cluster


@pytest.fixture(scope="module")
def toy() -> Corpus:
    return load("toy")


@pytest.fixture(scope="module")
def one_ray_for_all() -> Iterator[None]:
    """Start one local Ray for all tests of a module."""
    with cluster(None):
        yield
