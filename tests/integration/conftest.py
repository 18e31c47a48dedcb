"""What several modules of real Ray need."""

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
    """One Ray of our own for all tests of a module."""
    with cluster(None):
        yield
