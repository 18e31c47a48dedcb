"""Runs whose actors are lost: why, how often, and when another try is not worth it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from ray import cloudpickle
from ray.exceptions import RayActorError, RayError, RayTaskError
from ray.tune.experiment import Trial
from rich.text import Text

from lvae_core.run_folder.folder import FailureClass
from lvae_core.training.failures import Failure, one_line
from sweeps.launching.tune_patches import LowMemoryError

MAX_LOSSES = 20
"""How often the process, node or storage of one run may be lost before the run counts as failed."""

_MEMORY_LOSSES = 4
"""How often Ray may end a run to free memory: another run may be to blame, but not for ever."""

_CODE_LOSSES = 1
"""How often an actor may fail to come up by an error in code: it will do so again."""

_TAIL_LINES = 40


@dataclass(frozen=True)
class Loss:
    """Why Tune had to give up an actor."""

    kind: FailureClass
    message: str
    """One line."""
    traceback: str = ""
    """What Ray says of it, its last lines."""


class LostActors:
    """Counts the losses of a launch, those of each class for themselves."""

    def __init__(self, infrastructure: int = MAX_LOSSES) -> None:
        """``infrastructure``: how often a run's process, node or storage may be lost."""
        self._most: dict[FailureClass, int] = {
            "infrastructure": infrastructure,
            "out_of_memory": _MEMORY_LOSSES,
            "code": _CODE_LOSSES,
        }
        self._counts: Counter[tuple[str, FailureClass]] = Counter()
        self._last: dict[str, Loss] = {}

    def add(self, name: str, loss: Loss) -> int:
        """A run was lost; returns how often that has happened to it for such a reason."""
        self._last[name] = loss
        self._counts[name, loss.kind] += 1
        return self._counts[name, loss.kind]

    def is_next_too_many(self, name: str) -> bool:
        """Whether one more loss like the last would be the end of the run."""
        kind = self._last[name].kind
        return self._counts[name, kind] >= self._most[kind]

    def failure(self, name: str) -> Failure | None:
        """What is to be recorded of a run that was lost too often; None where it may be tried again."""
        loss = self._last.get(name)
        if loss is None or self._counts[name, loss.kind] <= self._most[loss.kind]:
            return None
        message = f"{loss.message} (lost {self._counts[name, loss.kind]} times)"
        return Failure(loss.kind, message, loss.traceback)


def why_lost(trial: Trial) -> Loss:
    """Why Tune has to take a run up again, or gives it up."""
    error = _latest_error(trial)
    text = Text.from_ansi(str(error or "")).plain.strip()
    tail = "\n".join(text.splitlines()[-_TAIL_LINES:])
    if isinstance(error, LowMemoryError):
        return Loss("out_of_memory", "Ray ended it because its node ran low on memory", tail)
    if isinstance(error, RayActorError) and error.actor_init_failed:
        return Loss("code", f"its process could not start: {last_line(text)}", tail)
    if isinstance(error, RayTaskError):
        cause = error.cause
        if isinstance(cause, OSError):
            return Loss("infrastructure", f"its storage failed: {one_line(cause)}", tail)
        kind: FailureClass = "infrastructure" if isinstance(cause, RayError) else "code"
        return Loss(kind, one_line(cause), tail)
    return Loss("infrastructure", "its process or node was lost", tail)


def last_line(text: str) -> str:
    """Of a traceback, what was raised."""
    return (text.strip().splitlines() or [""])[-1].strip()


def _latest_error(trial: Trial) -> Exception | None:
    # Trial.get_pickled_error looks for the file in the storage, where Tune brings it much later.
    file = trial.pickled_error_file
    if file is None:
        return None
    try:
        error = cloudpickle.loads(Path(file).read_bytes())
    except Exception:  # whatever a class in there does when it is made anew
        return None
    return error if isinstance(error, Exception) else None
