"""Names of cells and of run folders, made and taken apart in one place."""

from __future__ import annotations

import re
from dataclasses import dataclass

from lvae_core.config import RunConfig


@dataclass(frozen=True)
class RunName:
    """The parts of a run folder's name."""

    dataset: str
    system: str
    setting: str
    num_samples: int
    seed: int
    fingerprint: str
    """The first 8 hex digits."""

    def __str__(self) -> str:
        return f"{self.cell}__seed{self.seed}__{self.fingerprint}"

    @property
    def cell(self) -> str:
        """The run's cell, as :attr:`lvae_core.config.RunConfig.cell` has it."""
        return f"{self.dataset}__{self.system}__{self.setting}__L{self.num_samples}"

    @staticmethod
    def parse(name: str) -> RunName | None:
        """The parts of a folder name, or None where it is not a run folder's."""
        match = re.fullmatch(
            r"(.+?)__([^_]+)__(standard|inputless)__L(0|[1-9][0-9]{0,8})__seed(0|[1-9][0-9]{0,17})__([0-9a-f]{8})",
            name,
        )
        if not match:
            return None
        dataset, system, setting, samples, seed, fingerprint = match.groups()
        return RunName(dataset, system, setting, int(samples), int(seed), fingerprint)


def run_name(config: RunConfig, fingerprint: str) -> str:
    """The run folder's name."""
    return f"{config.cell}__seed{config.seed}__{fingerprint[:8]}"
