"""Results of probes, stored with the runs of a study: by device, and by cell with all its settings."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any

from lvae_core.config import RunConfig
from lvae_core.identity import evaluation_id, fingerprint
from lvae_core.model.counts import Amount
from lvae_core.run_folder.digests import seal
from lvae_core.run_folder.folder import DamagedError
from lvae_core.run_folder.names import CellName
from lvae_core.run_folder.study import Study

FILE = ".probes.json"
"""File in the study's folder; readers of runs ignore it."""


def key(config: RunConfig, data_sha256: str) -> str:
    """Scope of a result: a cell with all fields but the seed, and the content of its data."""
    identity = fingerprint(replace(config, seed=0), data_sha256)
    return f"{CellName.of(config)} {identity[:16]} {evaluation_id(config)[:8]}"


class ProbeResults:
    """Device name -> key -> result. Losing the file only costs a few probes."""

    def __init__(self, study: Study) -> None:
        """Read the results of a study.

        Raises:
            OSError: the storage cannot be read.
        """
        self._study = study
        self.damage = ""
        """Why the file is ignored, for the user; "" if it is intact or missing."""
        self._known: _Known = {}
        try:
            # If the storage cannot be written, writing will report it.
            self._known = study.read_sealed(FILE, _known_of, remedy="cells are probed again") or {}
        except DamagedError as damage:
            self.damage = str(damage)

    def get(self, device: str, name: str) -> ProbeResult | None:
        """The result for a cell on a kind of device."""
        return self._known.get(device, {}).get(name)

    def slowest(self, name: str, tokens: Amount) -> ProbeResult | None:
        """The result for a cell on the kind of device on which runs of these tokens take longest."""
        found: Iterable[ProbeResult] = (known[name] for known in self._known.values() if name in known)
        return max(found, key=lambda result: result.seconds(tokens), default=None)

    def put(self, device: str, name: str, result: ProbeResult) -> None:
        """Add a result and write the file. Raises OSError if the storage cannot be written."""
        self._known.setdefault(device, {})[name] = result
        written = {
            device: {name: choice.to_dict() for name, choice in found.items()}
            for device, found in self._known.items()
        }
        self._study.store.write(FILE, seal(written))


@dataclass(frozen=True)
class ProbeResult:
    """Number of runs of a cell that share a kind of device, and the speed of each."""

    processes: int
    """The number of runs that share one device."""
    memory: int
    """Bytes that each run may take."""
    train_rate: float
    """Tokens per second of each run, while the others run."""
    evaluate_rate: float
    alone: float
    """The work of all of them together, relative to one run that has the device alone."""

    def seconds(self, tokens: Amount) -> float:
        """Seconds that a run with these numbers of tokens takes."""
        return tokens.seconds(self.train_rate, self.evaluate_rate)

    def to_dict(self) -> dict[str, Any]:
        """The result as plain values."""
        return asdict(self)

    @staticmethod
    def from_dict(values: dict[str, Any]) -> ProbeResult:
        """The inverse of :meth:`to_dict`. Raises TypeError or ValueError if they are no result."""
        result = ProbeResult(**values)
        if not (result.processes >= 1 and result.train_rate > 0 and result.evaluate_rate > 0):
            raise ValueError("not the result of a probe")
        return result


_Known = dict[str, dict[str, ProbeResult]]
"""Device name -> key -> result."""


def _known_of(devices: dict[str, Any]) -> _Known:
    return {
        device: {name: ProbeResult.from_dict(values) for name, values in found.items()}
        for device, found in devices.items()
    }
