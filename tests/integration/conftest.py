"""Fixtures for tests with real Ray."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lvae_core.data.corpus import Corpus, load
from sweeps.cluster.connect import cluster

# As in tests/sweeps: `python` in a line for the user is the one that runs.
os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])


@pytest.fixture(scope="module")
def toy() -> Corpus:
    return load("toy")


@pytest.fixture(scope="module")
def one_ray_for_all() -> Iterator[None]:
    """Start one local Ray for all tests of a module."""
    with cluster(None):
        yield
