"""Random streams: against an independent implementation, in other processes and with other threads."""

import hashlib
import random
import subprocess
import sys

import numpy as np
import pytest
import torch

from lvae_core import rng

from .oracles import noise


@pytest.mark.parametrize("seed", [0, 1, 2**63 - 1])
@pytest.mark.parametrize(
    "parts", [("latent", 0), ("evaluation", "test", 17), ("order", 3, "batches"), ("init",)]
)
def test_derive_is_the_documented_hash(seed, parts):
    assert rng.derive(seed, *parts) == noise.seed_of(seed, *parts)


def test_derive_agrees_with_sha256sum():
    # First 8 bytes, little-endian, of sha256("3/latent/7") as printed by sha256sum.
    digest = "8cbd21dab5765a83"
    assert rng.derive(3, "latent", 7) == int.from_bytes(bytes.fromhex(digest), "little")


def test_normal_is_pcg64_by_that_seed():
    actual = rng.normal(5, "latent", 9, size=(2, 3))
    assert actual.dtype is torch.float32
    assert torch.equal(actual.double(), noise.normal(5, "latent", 9, size=(2, 3)))


def test_permutation_is_pcg64_by_that_seed():
    generator = np.random.Generator(np.random.PCG64(noise.seed_of(5, "order", 1, "sentences")))
    expected = generator.permutation(50)
    actual = rng.permutation(5, "order", 1, "sentences", size=50)
    assert actual.tolist() == expected.tolist()
    assert sorted(actual.tolist()) == list(range(50))
    assert actual.dtype == np.int64


def test_streams_of_neighbouring_names_are_uncorrelated():
    names = [(seed, stream, i) for seed in range(20) for stream in ("latent", "dropout") for i in range(50)]
    seeds = {rng.derive(*name) for name in names}
    assert len(seeds) == len(names)
    draws = torch.stack([rng.normal(*name, size=(64,)) for name in names])
    correlation = torch.corrcoef(draws)
    off = correlation[~torch.eye(len(names), dtype=torch.bool)]
    # With 64 draws correlations have standard deviation 1/8; equal streams would have correlation 1.
    assert float(off.abs().max()) < 0.85
    assert float(off.square().mean()) == pytest.approx(1 / 63, rel=0.02)


def test_a_torch_generator_depends_only_on_its_name():
    draws = [torch.rand(5, generator=rng.torch_generator(1, "dropout", step)) for step in (3, 3, 4)]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])


STREAMS = """
import hashlib, sys
from lvae_core import rng
import torch
h = hashlib.sha256()
for seed in (0, 7):
    h.update(rng.normal(seed, "latent", 3, size=(100,)).numpy().tobytes())
    h.update(rng.permutation(seed, "order", 2, "sentences", size=100).tobytes())
    masks = rng.torch_generator(seed, "dropout", 5)
    h.update(torch.rand(100, generator=masks).numpy().tobytes())
    h.update(torch.empty(100_000).bernoulli_(0.5, generator=masks).numpy().tobytes())
print(h.hexdigest())
"""


def test_streams_are_the_same_in_another_process_and_with_other_threads():
    def here() -> str:
        lines: list[str] = []
        exec(STREAMS, {"print": lines.append})
        return lines[0]

    script = "import torch; torch.set_num_threads(2)\n" + STREAMS
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONHASHSEED": "12", "PATH": ""},
    )
    assert done.stdout.strip() == here()


def test_global_random_state_is_neither_used_nor_changed():
    def draw() -> list[bytes]:
        return [
            rng.normal(1, "latent", 2, size=(4,)).numpy().tobytes(),
            rng.permutation(1, "order", 0, size=9).tobytes(),
            torch.rand(4, generator=rng.torch_generator(1, "dropout", 0)).numpy().tobytes(),
        ]

    def states() -> list[str]:
        values = (random.getstate(), np.random.get_state(), torch.random.get_rng_state().tolist())
        return [hashlib.sha256(repr(value).encode()).hexdigest() for value in values]

    first, before = draw(), states()
    assert draw() == first
    assert states() == before
    random.seed(5)
    np.random.seed(5)
    torch.manual_seed(5)
    assert draw() == first
