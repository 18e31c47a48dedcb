"""The names of cells and of run folders: the only place where they are made and parsed.

cell         <dataset>__<system>__<setting>__L<n>
run folder   <cell>__seed<k>__<first 8 digits of the fingerprint>

A study has the name that the user chooses.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from lvae_core.config import RunConfig, dataset_label
from lvae_core.errors import InputError

LONGEST = 255
"""The largest number of bytes in a folder's name, on all usual file systems."""

_CELL = r"(.+?)__([^_]+)__(standard|inputless)__L(0|[1-9][0-9]{0,8})"
_RUN = rf"({_CELL})__seed(0|[1-9][0-9]{{0,17}})__([0-9a-f]{{8}})"


@dataclass(frozen=True)
class CellName:
    """The parts of a cell's name: what identifies a run, except its seed and its fingerprint."""

    dataset: str
    system: str
    setting: str
    num_samples: int

    def __str__(self) -> str:
        return f"{self.dataset}__{self.system}__{self.setting}__L{self.num_samples}"

    @property
    def words(self) -> str:
        """The name as shown to readers: ``ptb, lstm-vae, standard, L1``."""
        return f"{self.dataset}, {self.system}, {self.setting}, L{self.num_samples}"

    @staticmethod
    def of(config: RunConfig) -> CellName:
        """The cell that a config belongs to."""
        return CellName(dataset_label(config.dataset), config.system, config.setting, config.num_samples)

    @staticmethod
    def parse(name: str) -> CellName:
        """Parse a cell's name. Raises ValueError if ``name`` is not one."""
        match = re.fullmatch(_CELL, name)
        if not match:
            raise ValueError(f"{name!r} is not the name of a cell")
        dataset, system, setting, samples = match.groups()
        return CellName(dataset, system, setting, int(samples))


@dataclass(frozen=True)
class RunName:
    """The parts of a run folder's name."""

    cell: CellName
    seed: int
    fingerprint: str
    """The first 8 hex digits."""

    def __str__(self) -> str:
        return f"{self.cell}__seed{self.seed}__{self.fingerprint}"

    @staticmethod
    def parse(name: str) -> RunName | None:
        """Parse a folder's name; None if it does not name a run folder."""
        match = re.fullmatch(_RUN, name)
        if not match:
            return None
        cell, *_, seed, fingerprint = match.groups()
        return RunName(CellName.parse(cell), int(seed), fingerprint)


def check_study_name(name: object, at: str) -> None:
    """Raise InputError, which begins with ``at``, if a study cannot have this name."""
    if not isinstance(name, str) or not re.fullmatch(r"\w[\w.-]*", name):
        raise InputError(f"{at}{name!r}: use letters, digits, '.', '-' and '_' only")


def without_fingerprint(name: str) -> str:
    """The cell and the seed in a run folder's name. It does not parse: plans need thousands of these."""
    return name.rpartition("__")[0]


def run_name(config: RunConfig, fingerprint: str) -> str:
    """The name of a run's folder.

    Raises:
        InputError: it would be too long for a folder's name, because the dataset's is too long.
    """
    name = str(RunName(CellName.of(config), config.seed, fingerprint[:8]))
    if (excess := len(name.encode()) - LONGEST) > 0:
        label = dataset_label(config.dataset)
        raise InputError(
            f"dataset {label[:40]}…: its name is {excess} characters too long for the names of run folders "
            f"(at most {len(label) - excess} with these runs); rename the folder"
        )
    return name
