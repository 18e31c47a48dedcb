"""The number of seeds that a study declares beforehand, in its file ``declared-seeds.json``.

A test at a number of seeds that was fixed before any result has the p-values that it states; adding seeds
until it passes has not. The file is written once and never changed.

    seeds           the declared number
    time            when it was declared, in UTC
    finished_runs   run folders with a result at that time
    started_runs    run folders at that time
"""

from __future__ import annotations

import datetime
from dataclasses import asdict, dataclass
from typing import Any, Self

from lvae_core.errors import InputError
from lvae_core.messages import numbered
from lvae_core.run_folder.digests import seal
from lvae_core.run_folder.study import Study

FILE = "declared-seeds.json"


@dataclass(frozen=True)
class DeclaredSeeds:
    """A declared number of seeds, and how far the study was when it was declared."""

    seeds: int
    time: str
    """ISO 8601, in UTC."""
    finished_runs: int
    started_runs: int

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Raises TypeError if a value is missing or has another type."""
        declared = cls(**values)
        numbers = (declared.seeds, declared.finished_runs, declared.started_runs)
        if any(type(number) is not int for number in numbers) or not isinstance(declared.time, str):
            raise TypeError("a value has another type")
        return declared

    @property
    def beforehand(self) -> bool:
        """Whether no run of the study was finished when the number was declared."""
        return not self.finished_runs

    @property
    def words(self) -> str:
        """Declaration and its time: ``declared 8 seeds before the first run (2026-11-28 14:03 UTC)``."""
        when = f"({self.time[:16].replace('T', ' ')} UTC)"
        number = self.finished_runs or self.started_runs
        runs = numbered(number, "run", "was")
        moment = "before the first run"
        if self.finished_runs:
            moment = f"after {runs} finished"
        elif self.started_runs:
            moment = f"before the first result, when {runs} under way"
        return f"declared {numbered(self.seeds, 'seed')} {moment} {when}"


def read_declared_seeds(study: Study) -> DeclaredSeeds | None:
    """Read the declaration of a study; None if it has none.

    Raises:
        DamagedError: the file is not what :func:`declare_seeds` wrote.
        OSError: the storage cannot be read.
    """
    return study.read_sealed(FILE, DeclaredSeeds.from_dict, remedy="restore it from a copy")


def check_declared_seeds(study: Study, seeds: int) -> None:
    """Raise InputError if the study has already declared another number of seeds."""
    if present := read_declared_seeds(study):
        _check(study, present, seeds)


def _check(study: Study, present: DeclaredSeeds, seeds: int) -> None:
    if present.seeds != seeds:
        raise InputError(
            f"--declare-seeds {seeds}: {study.url} has {present.words}, which is never changed; "
            "leave the option out, or give another --study"
        )


def declare_seeds(study: Study, seeds: int) -> DeclaredSeeds:
    """Declare a number of seeds, unless the study has declared it already; return the declaration.

    Raises:
        InputError: the study has declared another number.
        DamagedError: its declaration is damaged.
        OSError: the storage cannot be read or written.
    """
    names = study.run_names()
    finished = sum(study.run(name).has("result.json") for name in names)
    time = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds").removesuffix("+00:00")
    study.store.create(FILE, seal(asdict(DeclaredSeeds(seeds, time, finished, len(names)))))
    declared = read_declared_seeds(study)
    if declared is None:
        raise OSError(f"{study.url}/{FILE}: does not exist after it was written")
    _check(study, declared, seeds)  # it may be of an earlier launch, or of one beside this
    return declared
