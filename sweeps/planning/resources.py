"""What a run is given of a cluster."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from lvae_core.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Resources:
    """What one run is given, and how many may go on at once (0: as many as fit)."""

    cpus: int = 1
    gpus: float = 0.0
    max_concurrent: int = 0
    device: str = ""
    """What a run computes on; by default cuda where it has GPUs."""

    def __post_init__(self) -> None:
        if not self.device:
            object.__setattr__(self, "device", "cuda" if self.gpus else "cpu")

    @property
    def share(self) -> float:
        """Devices that it takes up: GPUs, or CPU cores where it has none."""
        return self.gpus or self.cpus

    @property
    def memory_share(self) -> float:
        """Of the GPU that it computes on, the memory that it may take."""
        return min(1.0, self.gpus) if self.gpus else 1.0

    def placement(self) -> Any:
        """The same as Ray Tune asks for it."""
        from ray.tune import PlacementGroupFactory  # takes seconds

        return PlacementGroupFactory(
            [{"CPU": self.cpus, "GPU": self.gpus} if self.gpus else {"CPU": self.cpus}]
        )

    def enlarged(self) -> Resources:
        """Twice the share of a GPU, for a run that a share was too small for."""
        return replace(self, gpus=min(1.0, 2 * self.gpus))

    def check(self, available: Mapping[str, float]) -> None:
        """Raise InputError where not even one run fits into ``available``."""
        for name, option, wanted in (
            ("CPU", "--cpus-per-run", self.cpus),
            ("GPU", "--gpus-per-run", self.gpus),
        ):
            if wanted > available.get(name, 0):
                raise InputError(f"{option} {wanted:g}: this Ray has {available.get(name, 0):g} {name}s")
