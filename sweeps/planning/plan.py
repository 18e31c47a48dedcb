"""Plan = grid - done: what a launch has to do, read from the study's folders and nothing else."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from lvae_core.config import RunConfig
from lvae_core.errors import InputError
from lvae_core.identity import fingerprint
from lvae_core.run_folder.folder import TIMING_FIELDS, DamagedError, RunFolder, Study
from lvae_core.run_folder.names import CellName, RunName, run_name
from lvae_core.storage.parallel import read_each
from sweeps.planning.durations import Speed

Status = Literal["done", "failed", "left"]

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class PlannedRun:
    """A run of the grid and what its folder says of it."""

    config: RunConfig
    name: str
    status: Status
    result: Mapping[str, Any] | None = None
    """``result.json`` of a run that is done."""
    failure: Mapping[str, Any] | None = None
    """``failure.json`` of a run that has failed."""
    damages: tuple[str, ...] = ()
    """A line for each file that is not what was written. Such a run is left: executing it mends it."""
    begun: bool = False
    """Whether it has a folder."""

    @property
    def cell(self) -> str:
        """The name of its cell."""
        return str(CellName.of(self.config))


@dataclass(frozen=True)
class Plan:
    """The runs of a grid and how long runs like them took."""

    runs: Sequence[PlannedRun]
    speed: Speed

    def with_status(self, *statuses: Status) -> list[PlannedRun]:
        """The runs of these statuses, in the order of the grid."""
        return [run for run in self.runs if run.status in statuses]

    def cells(self) -> dict[str, list[PlannedRun]]:
        """Cell -> its runs."""
        cells: dict[str, list[PlannedRun]] = {}
        for run in self.runs:
            cells.setdefault(run.cell, []).append(run)
        return cells


def make_plan(configs: Iterable[RunConfig], data_sha256: Mapping[str, str], study: Study) -> Plan:
    """Look up every run of a grid in the study.

    Args:
        configs: the grid; two configs of one fingerprint are one run.
        data_sha256: dataset, as the configs name it -> content hash.
        study: where the runs are kept; it is listed once, and need not exist.

    Raises:
        InputError: a run folder holds a whole file that is another run's. The message names the file.
    """
    planned: dict[str, tuple[RunConfig, str]] = {}
    for config in configs:
        key = fingerprint(config, data_sha256[config.dataset])
        planned.setdefault(run_name(config, key), (config, key))
    present = set(study.run_names())

    def look_up(name: str) -> PlannedRun:
        config, key = planned[name]
        if name not in present:
            return PlannedRun(config=config, name=name, status="left")
        return _read_run(study.run(name), config, key)

    runs = list(read_each(study.url, look_up, planned))
    speed = Speed()
    for run in runs:
        if run.result is not None and (seconds := _seconds(run.result)) is not None:
            speed.add(run.cell, *seconds)
    unknown = {run.cell for run in runs if speed.expect(run.cell) is None}
    others = _comparable(present - planned.keys(), unknown)
    for cell, seconds in read_each(study.url, lambda name: _timing(study, name), others):
        if seconds is not None:
            speed.add(cell, *seconds)
    return Plan(runs, speed)


def _read_run(folder: RunFolder, config: RunConfig, key: str) -> PlannedRun:
    damages: list[str] = []
    claim = _intact(folder.read_config, damages)
    if claim is not None and not _claims(*claim, config, key):
        raise InputError(
            f"{folder}/config.json: not the config that the folder's name stands for; {_REMEDY}"
        )
    result = _intact(lambda: folder.read_json("result.json"), damages)
    if result is not None:
        if result.get("fingerprint") != key:
            raise InputError(f"{folder}/result.json: the result of another run; {_REMEDY}")
        if _seconds(result) is None or not result.get("estimates"):
            raise InputError(f"{folder}/result.json: it lacks estimates or times; {_REMEDY}")
        _intact(lambda: folder.check_metrics(str(result.get("metrics_sha256"))), damages)
    status, failure = _status(folder, result, damages)
    return PlannedRun(
        config=config,
        name=folder.name,
        status=status,
        result=result if status == "done" else None,
        failure=failure,
        damages=tuple(damages),
        begun=True,
    )


_REMEDY = "move this folder out of the study and launch again"


def _status(
    folder: RunFolder, result: Mapping[str, Any] | None, damages: list[str]
) -> tuple[Status, dict[str, Any] | None]:
    if result is not None:
        return "left" if damages else "done", None
    failure = _intact(lambda: folder.read_json("failure.json"), damages)
    return "left" if failure is None else "failed", failure


def _intact(read: Callable[[], T], damages: list[str]) -> T | None:
    """What ``read`` gives; None, and a line for people, where the file is damaged."""
    try:
        return read()
    except DamagedError as damage:
        damages.append(str(damage))
        return None


def _claims(present: RunConfig, identity: str, config: RunConfig, key: str) -> bool:
    # A folder of data counts by its name and content, not by where it lies.
    return identity == key and {**present.to_dict(), "dataset": config.dataset} == config.to_dict()


def _comparable(names: Iterable[str], cells: Iterable[str]) -> list[str]:
    """The runs that can tell how long a run of one of ``cells`` takes: those of the same datasets."""
    datasets = {CellName.parse(cell).dataset for cell in cells}
    found = ((name, RunName.parse(name)) for name in names)
    return sorted(name for name, parts in found if parts and parts.cell.dataset in datasets)


def _timing(study: Study, name: str) -> tuple[str, tuple[float, float] | None]:
    parts = RunName.parse(name)
    assert parts is not None  # Study.run_names gives nothing else
    try:
        result = study.run(name).read_json("result.json")
    except DamagedError:
        # Not a run of this grid: whoever reads it will say so.
        result = None
    return str(parts.cell), None if result is None else _seconds(result)


def _seconds(result: Mapping[str, Any]) -> tuple[float, float] | None:
    """Seconds of training and of evaluation; None where the result does not tell."""
    train, evaluate = (result.get(field) for field in TIMING_FIELDS)
    if not isinstance(train, int | float) or not isinstance(evaluate, int | float):
        return None
    return (train, evaluate) if 0 <= train + evaluate < math.inf else None
