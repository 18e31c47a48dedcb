"""Random streams as pure functions: a stream is named, never carried.

No code of the core draws from global randomness, and no generator outlives the step that made it. What a
step draws depends on (seed, stream, indices) alone, so a resumed run needs no generator state and what
runs beside it cannot disturb it.
"""

from __future__ import annotations

import hashlib
from typing import Literal, NamedTuple

import numpy as np
import torch

Stream = Literal["init", "order", "dropout", "latent", "step", "evaluation", "generation"]


class Key(NamedTuple):
    """The name of the random numbers of one use."""

    seed: int
    stream: Stream
    indices: tuple[int | str, ...] = ()

    def at(self, *indices: int | str) -> Key:
        """Return the key with further indices."""
        return Key(self.seed, self.stream, (*self.indices, *indices))


def derive(seed: int, stream: Stream, *indices: int | str) -> int:
    """A 64-bit seed for one use of a stream, such as ``derive(3, "latent", step)``.

    Hashing keeps neighbouring seeds and indices unrelated; sums of them would collide.
    """
    key = "/".join([str(seed), stream, *map(str, indices)])
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "little")


def normal(seed: int, stream: Stream, *indices: int | str, size: tuple[int, ...]) -> torch.Tensor:
    """Standard normal noise of shape ``size``, float32 on the CPU: the same for every device."""
    generator = np.random.Generator(np.random.PCG64(derive(seed, stream, *indices)))
    return torch.from_numpy(generator.standard_normal(size, dtype=np.float32))


def uniform(seed: int, stream: Stream, *indices: int | str) -> float:
    """One number in [0, 1)."""
    return np.random.Generator(np.random.PCG64(derive(seed, stream, *indices))).random()


def permutation(seed: int, stream: Stream, *indices: int | str, size: int) -> np.ndarray:
    """A random permutation of ``range(size)``, int64."""
    generator = np.random.Generator(np.random.PCG64(derive(seed, stream, *indices)))
    return generator.permutation(size)


def torch_generator(
    seed: int, stream: Stream, *indices: int | str, device: torch.device | str = "cpu"
) -> torch.Generator:
    """A fresh torch generator on ``device``, for what is too large to draw on the CPU.

    torch's CPU generator takes 32 bits of its seed. That is enough for dropout masks, of which two
    steps in a long run may come out alike; noise that enters an estimate comes from :func:`normal`.
    """
    generator = torch.Generator(device=device)
    generator.manual_seed(derive(seed, stream, *indices) >> 1)
    return generator
