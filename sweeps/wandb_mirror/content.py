"""The content of a W&B run, as a pure function of the run folder."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Any, Literal

from lvae_core.config import RunConfig
from lvae_core.identity import canonical_json
from lvae_core.run_folder import claims
from lvae_core.run_folder.event_files import POINT_FIELDS
from lvae_core.run_folder.folder import DamagedError, RunFolder, metrics_sha256
from lvae_core.run_folder.names import CellName

State = Literal["running", "finished", "failed", "preempted"]
"""States in W&B's words; preempted: saved, to be resumed."""

JOB_TYPE = "train"

STEP = "step"
"""The x-axis of points within epochs: gradient steps."""

_POINT_FIELDS = {
    **{name: f"train/{name}" for name in POINT_FIELDS},
    **{name: f"system/{name}" for name in ("cpu_percent", "memory_mib", "gpu_percent", "gpu_memory_mib")},
}

POINT_METRICS = tuple(_POINT_FIELDS.values())
"""The metrics of points within epochs; the rest of W&B's history has the epoch as its x-axis."""

_MEASURED = {name for name in POINT_METRICS if name.startswith("system/")} | {"train/tokens_per_second"}

FAILURE = ("failure/class", "failure/attempt", "failure/message")

_RESULT_FIELDS = (
    "tokens",
    "sentences",
    "parameters",
    "best_epoch",
    "epochs",
    "steps",
    "train_seconds",
    "evaluate_seconds",
)

_ATTEMPT_FIELDS = ("commit", "dirty", "versions", "processor", "device", "threads", "data_sha256")


@dataclass(frozen=True, kw_only=True)
class Content:
    """Everything that W&B stores about a run."""

    id: str
    """The run's fingerprint."""
    name: str
    """The run folder's name."""
    group: str
    """The run's cell."""
    tags: tuple[str, ...]
    config: Mapping[str, Any]
    """Every field of the run's config; ``cell``, ``run``, ``study``; ``provenance`` of the last attempt."""
    rows: Sequence[Mapping[str, Any]]
    """``metrics.jsonl``, one row per epoch; ``epoch`` is the axis of their charts."""
    points: Sequence[Mapping[str, Any]] = ()
    """Points within epochs from ``steps.jsonl``, without any that precede a missing row."""
    summary: Mapping[str, Any]
    """The last row; if finished, also ``test/<estimate>`` and ``_stderr``; if failed, the reason."""
    state: State
    result_digest: str = ""
    """:func:`digest_of` the result of a finished run. It is not sent."""

    @property
    def digest(self) -> str:
        """A digest of everything that is sent; content with an unchanged digest is not sent again."""
        parts = {**vars(self), "rows": metrics_sha256(self.rows)}
        del parts["result_digest"]
        if not self.points:
            del parts["points"]  # so that runs of earlier versions are not sent again
        return hashlib.sha256(canonical_json(parts).encode()).hexdigest()

    @property
    def history(self) -> list[dict[str, Any]]:
        """The lines of W&B's history: all points and rows by gradient step, a row after its epoch's points.

        Line k is W&B's step k. A run that trains on only adds lines at the end, because the points of an
        epoch are written before its row.
        """
        points = [
            {
                "epoch": point["epoch"],
                STEP: point[STEP],
                **{_POINT_FIELDS[name]: point[name] for name in _POINT_FIELDS if name in point},
            }
            for point in self.points
        ]
        # Sorting is stable: at the last step of an epoch the point comes first.
        return sorted([*points, *map(dict, self.rows)], key=lambda line: int(line[STEP]))

    def under_way(self) -> Content:
        """The content while a process works on the run: without the failure of an earlier attempt."""
        summary = {key: value for key, value in self.summary.items() if key not in FAILURE}
        return replace(self, state="running", summary=summary)


def read_content(folder: RunFolder) -> Content | None:
    """Read what W&B stores about a run; None if the folder has neither a config nor a result.

    Raises:
        DamagedError: a file is not what was written, or a finished run lacks rows.
        OSError: the storage cannot be read.
    """
    present = folder.read_identity()
    if present is None:
        return None
    config, identity = present
    # The result comes first, because it says which rows the run must have.
    result = folder.read_json("result.json")
    rows = folder.read_metrics((result or {}).get("metrics_sha256"))
    points = _points(folder, len(rows), finished=result is not None)
    failure = folder.read_json("failure.json") if result is None else None
    attempt = _last_attempt(folder)
    study = study_name(folder)
    return Content(
        id=identity,
        name=folder.name,
        group=str(CellName.of(config)),
        tags=_tags(config, study),
        config={
            **config.to_dict(),
            "cell": str(CellName.of(config)),
            "run": folder.name,
            "study": study,
            "provenance": {key: attempt[key] for key in _ATTEMPT_FIELDS if key in attempt},
        },
        rows=rows,
        points=points,
        summary={**(rows[-1] if rows else {}), **_outcome(result, failure)},
        state="finished" if result is not None else "failed" if failure is not None else "preempted",
        result_digest=digest_of(result) if result is not None else "",
    )


def digest_of(result: Mapping[str, Any]) -> str:
    """A digest of the rows and numbers of a finished run that W&B stores, from its result alone."""
    parts = {**_outcome(result, None), "metrics_sha256": result.get("metrics_sha256")}
    return hashlib.sha256(canonical_json(parts).encode()).hexdigest()


def study_name(folder: RunFolder) -> str:
    """The name of a run's study, as W&B has it."""
    return PurePosixPath(folder.store.url).name


def is_in_training(folder: RunFolder) -> bool:
    """Whether a process trains the run, or may do so.

    A process that evaluates a finished run again adds nothing to what W&B stores.
    """
    return claims.is_under_way(folder) and not folder.has("result.json")


def is_same_line(sent: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    """Whether two lines of a history agree in everything but measured time and load."""
    return _without_measured(sent) == _without_measured(now)


def _without_measured(line: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in line.items() if name not in _MEASURED}


def _points(folder: RunFolder, epochs: int, *, finished: bool) -> list[dict[str, Any]]:
    """Read the points of ``epochs`` finished epochs and of the one after; to be read after their rows."""
    try:
        points = folder.read_steps()
    except DamagedError:
        if finished:
            return []  # the numbers are complete without them
        raise
    # Since the rows were read, a further epoch may have ended: its row must come before later points.
    return [point for point in points if point["epoch"] <= epochs + 1]


def _last_attempt(folder: RunFolder) -> Mapping[str, Any]:
    try:
        attempts = (folder.read_json("provenance.json") or {}).get("attempts")
    except DamagedError:
        return {}  # the numbers are complete without it
    return attempts[-1] if isinstance(attempts, list) and attempts else {}


def _tags(config: RunConfig, study: str) -> tuple[str, ...]:
    dataset = CellName.of(config).dataset
    words = (study, dataset, config.system, config.setting, f"L{config.num_samples}")
    # W&B refuses tags of more than 64 characters, and the run with them.
    return tuple(dict.fromkeys(word[:64] for word in words))


def _outcome(result: Mapping[str, Any] | None, failure: Mapping[str, Any] | None) -> dict[str, Any]:
    if result is not None:
        estimates = {
            f"test/{name}" + ("" if part == "value" else f"_{part}"): number
            for name, estimate in result["estimates"].items()
            for part, number in estimate.items()
        }
        return {**estimates, **{key: result[key] for key in _RESULT_FIELDS if key in result}}
    if failure is not None:
        return {key: failure.get(key.removeprefix("failure/")) for key in FAILURE}
    return {}
