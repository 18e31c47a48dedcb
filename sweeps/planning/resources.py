"""The share of a cluster that a run is given."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lvae_core.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Resources:
    """The CPUs and GPUs of one run, and how many runs may be under way at once (0: as many as fit)."""

    cpus: int = 1
    gpus: float = 0.0
    max_concurrent: int = 0
    device: str = ""
    """The device that a run computes on; by default cuda if it has GPUs, else cpu."""

    def __post_init__(self) -> None:
        if not self.device:
            object.__setattr__(self, "device", "cuda" if self.gpus else "cpu")

    @property
    def share(self) -> float:
        """The devices that a run takes up: GPUs, or CPU cores if it uses no GPU."""
        return self.gpus or self.cpus

    @property
    def memory_share(self) -> float:
        """The share of its GPU's memory that a run may take."""
        return min(1.0, self.gpus) if self.gpus else 1.0

    def placement(self) -> Any:
        """The same as a request to Ray Tune."""
        from ray.tune import PlacementGroupFactory  # takes seconds to import

        return PlacementGroupFactory(
            [{"CPU": self.cpus, "GPU": self.gpus} if self.gpus else {"CPU": self.cpus}]
        )

    @property
    def may_grow(self) -> bool:
        """Whether a run that its share of a GPU was too small for is worth a larger one."""
        return 0 < self.gpus < 1

    def enlarged(self) -> Resources:
        """Twice the share of a GPU, for a run that its share was too small for."""
        return replace(self, gpus=min(1.0, 2 * self.gpus))

    def check(self, available: Mapping[str, float], place: str = "this Ray") -> None:
        """Raise InputError if not even one run fits into what is ``available`` at a place."""
        for name, option, wanted in (
            ("CPU", "--cpus-per-run", self.cpus),
            ("GPU", "--gpus-per-run", self.gpus),
        ):
            if wanted > (present := available.get(name, 0)):
                number = f"{present:g} {name}{'' if present == 1 else 's'}"
                raise InputError(
                    f"{option} {wanted:g}: {place} has {number}; give a lower number, or the --address of "
                    "a larger Ray"
                )

    def check_here(self) -> None:
        """Raise InputError if not even one run fits on this machine: known before a Ray is started."""
        self.check({"CPU": cores_here(), "GPU": gpus_here() if self.gpus else 0}, "this machine")


def cores_here(cgroup: Path = Path("/sys/fs/cgroup")) -> int:
    """The CPU cores that Ray counts on this machine: in a container, at most those of its quota.

    Args:
        cgroup: where Linux tells the quota: its second version in one file, its first in two.
    """
    cores = os.cpu_count() or 1
    for files in (["cpu.max"], ["cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us"]):
        # Not in a container, or no limit, which the second version calls "max" and the first -1.
        with contextlib.suppress(OSError, ValueError):
            quota, period = (int(word) for file in files for word in (cgroup / file).read_text().split())
            return min(cores, max(1, quota // period)) if quota > 0 else cores
    return cores


def gpus_here() -> int:
    """The number of GPUs of this machine that torch can use."""
    import torch  # takes seconds to import

    return torch.cuda.device_count() if torch.cuda.is_available() else 0
