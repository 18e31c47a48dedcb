"""The documented rule of the random streams, reimplemented: SHA-256 of the name, then numpy's PCG64."""

import hashlib

import numpy as np
import torch


def seed_of(*parts: int | str) -> int:
    """First 8 bytes, little-endian, of SHA-256("seed/stream/index/…")."""
    digest = hashlib.sha256("/".join(str(part) for part in parts).encode("ascii")).digest()
    return sum(byte << (8 * place) for place, byte in enumerate(digest[:8]))


def normal(*parts: int | str, size: tuple[int, ...]) -> torch.Tensor:
    """Standard normals drawn in float32, as float64."""
    generator = np.random.Generator(np.random.PCG64(seed_of(*parts)))
    return torch.from_numpy(generator.standard_normal(size, dtype=np.float32).astype(np.float64))
