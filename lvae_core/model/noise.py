"""The noise of a batch's sentences: drawn for a gradient step at once, or for each sentence by itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lvae_core.model.contracts import Posterior
from lvae_core.rng import Key


@dataclass(frozen=True)
class BatchNoise:
    """Noise of a gradient step: one draw for all B sentences, a function of the step."""

    posterior: type[Posterior]
    latent_size: int
    key: Key
    sentences: int

    def __call__(self, *purpose: int | str, size: tuple[int, ...]) -> Tensor:
        """Draw (*size, B, n)."""
        return self.posterior.noise(self.key.at(*purpose), (*size, self.sentences), self.latent_size)


@dataclass(frozen=True)
class SentenceNoise:
    """Noise of an evaluation: a function of each sentence's key, independent of its batch."""

    posterior: type[Posterior]
    latent_size: int
    keys: Sequence[Key]

    def __call__(self, *purpose: int | str, size: tuple[int, ...]) -> Tensor:
        """Draw (*size, B, n)."""
        drawn = [self.posterior.noise(key.at(*purpose), size, self.latent_size) for key in self.keys]
        return torch.stack(drawn, dim=len(size))
