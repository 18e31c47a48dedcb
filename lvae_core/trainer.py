"""One run from first step to final estimates, as an iterator that can be stopped anywhere."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from lvae_core.config import RunConfig
from lvae_core.record import RunFolder


class DivergedError(Exception):
    """The loss is not a number or infinite. The message says in which epoch and step."""


@dataclass(frozen=True, kw_only=True)
class Runtime:
    """Where and how a run executes: nothing here can change its numbers on one machine type.

    The number of threads can change the last bits (sums are split differently), so runs to be
    compared bit for bit use the same number.
    """

    device: str = "cpu"
    threads: int = 1
    checkpoint_epochs: int = 1
    """Write a checkpoint at the end of every so many epochs."""
    checkpoint_seconds: float = 600.0
    """…and whenever this much time has passed since the last, in an epoch or in evaluation."""
    progress_seconds: float = 1.0
    """Yield a :class:`Progress` about this often."""


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a run has come."""

    phase: Literal["train", "evaluate", "done"]
    epoch: int
    """Epochs finished."""
    step: int
    """Gradient steps taken."""
    fraction: float
    """Of the whole run, 0 to 1, evaluation included, if it goes on to max_epochs."""
    metrics: dict[str, Any] | None = None
    """The row of metrics.jsonl, in the one Progress that follows the end of an epoch."""


def execute(config: RunConfig, corpus: Any, folder: RunFolder, runtime: Runtime) -> Iterator[Progress]:
    """Train, evaluate and write ``folder``, going on from its checkpoint if it has one.

    Yields often; between two yields the run may be closed (``close()``, an exception thrown in), upon
    which it saves a checkpoint and stops. The last Progress has phase "done", after ``result.json`` is
    written; a folder that already holds a result yields just that.

    Raises:
        DivergedError: the loss is no longer finite.
        InputError: the folder holds a config other than ``config``.
    """
    raise NotImplementedError
