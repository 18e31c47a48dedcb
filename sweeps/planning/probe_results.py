"""What probes have found, kept beside a study's runs: by device, and by cell with all that shapes it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any

from lvae_core.config import RunConfig
from lvae_core.identity import fingerprint
from lvae_core.model.counts import Amount
from lvae_core.run_folder.digests import UnsealedError, seal, unseal
from lvae_core.run_folder.folder import Study
from lvae_core.run_folder.names import CellName

FILE = ".probes.json"
"""In the study's folder; readers of runs pass over it."""


def key(config: RunConfig, data_sha256: str) -> str:
    """What a choice holds for: a cell, with all fields but the seed, and the data, as they are."""
    return f"{CellName.of(config)} {fingerprint(replace(config, seed=0), data_sha256)[:16]}"


class ProbeResults:
    """Device name -> key -> choice. Losing the file costs a few probes and nothing else."""

    def __init__(self, study: Study) -> None:
        """Read the study's.

        Raises:
            OSError: the storage cannot be read.
        """
        self._study = study
        self.damage = ""
        """Why the file counts for nothing, for the user; "" where it is whole or missing."""
        self._known: dict[str, dict[str, ProbeResult]] = {}
        try:
            devices = unseal(study.store.read(FILE))
            for device, found in devices.items():
                self._known[device] = {
                    name: ProbeResult.from_dict(values) for name, values in found.items()
                }
        except (FileNotFoundError, NotADirectoryError):
            pass  # where nothing can be written, those who write will say so
        except (UnsealedError, AttributeError, TypeError, ValueError) as error:
            self._known, self.damage = {}, f"{study.url}/{FILE}: damaged, {error}; cells are probed anew"

    def get(self, device: str, name: str) -> ProbeResult | None:
        """What was found of a cell on such a device."""
        return self._known.get(device, {}).get(name)

    def slowest(self, name: str) -> ProbeResult | None:
        """Of what was found of a cell on any device, the one with which it takes longest."""
        found: Iterable[ProbeResult] = (known[name] for known in self._known.values() if name in known)
        return min(found, key=lambda choice: choice.train_rate, default=None)

    def put(self, device: str, name: str, choice: ProbeResult) -> None:
        """Add one and write the file. Raises OSError where the storage cannot be written."""
        self._known.setdefault(device, {})[name] = choice
        written = {
            device: {name: choice.to_dict() for name, choice in found.items()}
            for device, found in self._known.items()
        }
        self._study.store.write(FILE, seal(written))


@dataclass(frozen=True)
class ProbeResult:
    """How runs of a cell share devices of a kind, and what a run does there."""

    processes: int
    """That share one device."""
    memory: int
    """Bytes that each may take."""
    train_rate: float
    """Tokens a second of each, with the others beside it."""
    evaluate_rate: float
    alone: float
    """How much more all of them do together than one that has the device for itself."""

    def seconds(self, tokens: Amount) -> float:
        """Of a run of so many tokens."""
        return tokens.train / self.train_rate + tokens.evaluate / self.evaluate_rate

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    @staticmethod
    def from_dict(values: dict[str, Any]) -> ProbeResult:
        """The inverse. Raises TypeError or ValueError where the values make no choice."""
        choice = ProbeResult(**values)
        if not (choice.processes >= 1 and choice.train_rate > 0 and choice.evaluate_rate > 0):
            raise ValueError("not a choice")
        return choice
