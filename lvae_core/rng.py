"""Random streams as pure functions: every draw is identified by a name, and no generator state is kept.

The core never draws from a global generator, and no generator outlives the step that made it. The draws
of a step depend only on (seed, stream, indices). So a resumed run needs no generator state, and other code
in the same process cannot change its draws.
"""

from __future__ import annotations

import hashlib
from typing import Literal, NamedTuple

import numpy as np
import torch

Stream = Literal["init", "order", "dropout", "latent", "step", "evaluation", "generation"]


class Key(NamedTuple):
    """The name of one set of random numbers."""

    seed: int
    stream: Stream
    indices: tuple[int | str, ...] = ()

    def at(self, *indices: int | str) -> Key:
        """Return the key with further indices."""
        return Key(self.seed, self.stream, (*self.indices, *indices))


def derive(seed: int, stream: Stream, *indices: int | str) -> int:
    """Derive the 64-bit seed of one draw from a stream, such as ``derive(3, "latent", step)``.

    The name is hashed, because sums of neighbouring seeds and indices would collide.
    """
    key = "/".join([str(seed), stream, *map(str, indices)])
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "little")


def normal(seed: int, stream: Stream, *indices: int | str, size: tuple[int, ...]) -> torch.Tensor:
    """Draw standard normal noise of shape ``size``: float32, on the CPU, the same for every device."""
    generator = np.random.Generator(np.random.PCG64(derive(seed, stream, *indices)))
    return torch.from_numpy(generator.standard_normal(size, dtype=np.float32))


def uniform(seed: int, stream: Stream, *indices: int | str) -> float:
    """Draw one uniform number in [0, 1)."""
    return np.random.Generator(np.random.PCG64(derive(seed, stream, *indices))).random()


def permutation(seed: int, stream: Stream, *indices: int | str, size: int) -> np.ndarray:
    """Draw a random permutation of ``range(size)``, int64."""
    generator = np.random.Generator(np.random.PCG64(derive(seed, stream, *indices)))
    return generator.permutation(size)


def torch_generator(
    seed: int, stream: Stream, *indices: int | str, device: torch.device | str = "cpu"
) -> torch.Generator:
    """Make a torch generator on ``device``, for draws that are too large to make on the CPU.

    torch's CPU generator uses only 32 bits of its seed, so two steps of a long run may get the same masks.
    That is harmless for dropout. Noise that enters an estimate comes from :func:`normal`.
    """
    generator = torch.Generator(device=device)
    generator.manual_seed(derive(seed, stream, *indices) >> 1)
    return generator
