"""A plan: the runs of a grid with what is left of each, and how long runs like them took."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from lvae_core.config import RunConfig
from lvae_core.run_folder.evaluations import failure_file_of, result_file_of
from lvae_core.run_folder.names import CellName
from sweeps.planning.evaluations import differing_settings
from sweeps.planning.times.durations import Speed
from sweeps.planning.times.variants import variant_of

Status = Literal["done", "evaluate", "failed", "left"]
"""evaluate: trained, but without the estimates that its config asks for, which its checkpoint can give."""


@dataclass(frozen=True, kw_only=True)
class PlannedRun:
    """A run of the grid, as its folder shows it."""

    config: RunConfig
    name: str
    """The name of its folder. A folder of an earlier version has another fingerprint in its name."""
    status: Status
    key: str = ""
    """The run's fingerprint."""
    result: Mapping[str, Any] | None = None
    """``result.json``, if the run is trained; with the estimates and the time of the further evaluation
    that its config asks for, if the folder holds one."""
    evaluation: str = ""
    """The id of the evaluation that its config asks for, if the run is trained and lacks it. A run that is
    done lacks it only if there is no checkpoint to evaluate."""
    failure: Mapping[str, Any] | None = None
    """Its failure file, if the run has failed; if another launch is retrying it, that of the last time."""
    damages: tuple[str, ...] = ()
    """A line for each damaged file. Such a run is left to do: executing it repairs the folder."""
    begun: bool = False
    """Whether it has a folder."""
    epochs: int = 0
    """The finished epochs of a run that is left and has a checkpoint to resume from."""
    waits_for: str = ""
    """The name of the run that its encoder starts from, if that one must be trained first."""

    @property
    def cell(self) -> str:
        """The name of its cell."""
        return str(CellName.of(self.config))

    @cached_property
    def variant(self) -> str:
        """The key that it shares with the runs that differ in the seed alone; see :func:`variant_of`."""
        return variant_of(self.config)

    @property
    def is_settled(self) -> bool:
        """Whether it is done, with the estimates that its config asks for."""
        return self.status == "done" and not self.evaluation

    @property
    def result_file(self) -> str:
        """The file that is written when nothing is left to do."""
        return result_file_of(self.evaluation)

    @property
    def failure_file(self) -> str:
        """The file that records why doing it failed."""
        return failure_file_of(self.evaluation)


@dataclass(frozen=True)
class Plan:
    """The runs of a grid, and how long runs like them took."""

    runs: Sequence[PlannedRun]
    speed: Speed
    notes: tuple[str, ...] = ()
    """Lines for the user about how runs and folders were matched."""
    parents: Sequence[PlannedRun] = ()
    """Runs that are not of the grid, and must be trained before runs whose encoder starts from them."""
    others: Mapping[str, RunConfig] = field(default_factory=dict)
    """Variant -> a config of it, of measured runs that are not of the grid: their times are scaled."""

    @property
    def all_runs(self) -> Sequence[PlannedRun]:
        """The parents, then the runs of the grid."""
        return [*self.parents, *self.runs]

    def with_status(self, *statuses: Status) -> list[PlannedRun]:
        """The runs with one of these statuses: parents, then the others in the order of the grid."""
        return [run for run in self.all_runs if run.status in statuses]

    def variants(self) -> dict[str, list[PlannedRun]]:
        """Variant -> its runs, parents included."""
        return by_variant(self.all_runs)


def by_variant(runs: Iterable[PlannedRun]) -> dict[str, list[PlannedRun]]:
    """Variant -> those of the runs that are of it: they differ in the seed alone."""
    variants: dict[str, list[PlannedRun]] = {}
    for run in runs:
        variants.setdefault(run.variant, []).append(run)
    return variants


def evaluation_settings(runs: Iterable[PlannedRun]) -> tuple[str, ...]:
    """The ``FIELD=VALUE`` by which the wanted estimates of runs differ from those in their result.json."""
    return differing_settings((run.config, run.result) for run in runs if run.result)
