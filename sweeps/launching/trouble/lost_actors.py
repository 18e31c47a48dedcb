"""Runs whose actors are lost: why, how often, and when to give up."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from ray.exceptions import RayActorError, RayError, RayTaskError
from ray.tune.experiment import Trial
from rich.text import Text

from lvae_core.errors import describe
from lvae_core.run_folder.folder import FailureClass
from lvae_core.training.failures import Failure, PlaceLostError, one_line
from sweeps.launching.trouble.full_storage import is_full
from sweeps.launching.tune_patches import LowMemoryError, latest_error

MAX_LOSSES = 20
"""Number of times that the process, node or storage of a run may be lost before the run fails."""

_MAX_MEMORY_LOSSES = 4
"""Number of times that Ray may end a run to free memory: another run may be the cause."""

_MAX_CODE_LOSSES = 1
"""Number of times that an actor may fail to start because of an error in code, which often repeats."""

_TAIL_LINES = 40


@dataclass(frozen=True)
class Loss:
    """The cause of the loss of an actor."""

    kind: FailureClass
    message: str
    """One line."""
    traceback: str = ""
    """The last lines of Ray's own report."""
    is_storage_full: bool = False
    """Whether the study's storage had no space left."""


class LostActors:
    """Counts the actors that a launch has lost, by run and class."""

    def __init__(self, infrastructure: int = MAX_LOSSES) -> None:
        """``infrastructure``: how often a run's process, node or storage may be lost."""
        self._limits: dict[FailureClass, int] = {
            "infrastructure": infrastructure,
            "out_of_memory": _MAX_MEMORY_LOSSES,
            "code": _MAX_CODE_LOSSES,
        }
        self._counts: Counter[tuple[str, FailureClass]] = Counter()
        self._last: dict[str, Loss] = {}

    def add(self, name: str, loss: Loss) -> int:
        """Count a loss of a run; returns how often the run was lost for a reason of this class."""
        self._last[name] = loss
        self._counts[name, loss.kind] += 1
        return self._counts[name, loss.kind]

    def is_next_too_many(self, name: str) -> bool:
        """Whether one more loss of the same class would fail the run."""
        kind = self._last[name].kind
        return self._counts[name, kind] >= self._limits[kind]

    def failure(self, name: str) -> Failure | None:
        """The failure to record for a run that was lost too often; None if it may be retried."""
        loss = self._last.get(name)
        if loss is None or self._counts[name, loss.kind] <= self._limits[loss.kind]:
            return None
        message = f"{loss.message} (lost {self._counts[name, loss.kind]} times)"
        return Failure(loss.kind, message, loss.traceback)


def why_lost(trial: Trial) -> Loss:
    """Return the cause for which Tune lost the actor of a trial."""
    error = latest_error(trial)
    text = Text.from_ansi(str(error or "")).plain.strip()
    tail = "\n".join(text.splitlines()[-_TAIL_LINES:])
    if isinstance(error, LowMemoryError):
        return Loss("out_of_memory", "Ray ended it because its node ran low on memory", tail)
    if isinstance(error, RayActorError) and error.actor_init_failed:
        return Loss("code", f"its process could not start: {last_line(text)}", tail)
    if isinstance(error, RayTaskError):
        cause = error.cause
        if isinstance(cause, OSError):
            message = f"its storage failed: {describe(cause)}"
            return Loss("infrastructure", message, tail, is_storage_full=is_full(cause))
        if isinstance(cause, PlaceLostError):
            return Loss("infrastructure", str(cause), tail)
        kind: FailureClass = "infrastructure" if isinstance(cause, RayError) else "code"
        return Loss(kind, one_line(cause), tail)
    return Loss("infrastructure", "its process or node was lost", tail)


def last_line(text: str) -> str:
    """The last line of a traceback: what was raised."""
    return (text.strip().splitlines() or [""])[-1].strip()
