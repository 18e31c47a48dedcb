"""Why a run failed, in one of four classes, and its record in the run folder."""

from __future__ import annotations

import traceback

import torch

from lvae_core.record import FailureClass, RunFolder
from lvae_core.trainer import DivergedError

_TAIL_LINES = 40


def failure_class(error: BaseException) -> FailureClass:
    """The class of an error that a run raised; infrastructure failures raise nothing in the run."""
    if isinstance(error, DivergedError):
        return "diverged"
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return "out_of_memory"
    # torch's CPU allocator says it in words only.
    if isinstance(error, RuntimeError) and "can't allocate memory" in str(error):
        return "out_of_memory"
    return "code"


def record_failure(folder: RunFolder, error: BaseException) -> FailureClass:
    """Write ``failure.json`` for an error that ended an attempt; returns its class."""
    kind = failure_class(error)
    lines = "".join(traceback.format_exception(error)).splitlines()
    folder.write_failure(kind, one_line(error), "\n".join(lines[-_TAIL_LINES:]))
    return kind


def one_line(error: BaseException) -> str:
    """An error in one line, with its type where the message does not speak for itself."""
    text = str(error).strip().partition("\n")[0]
    return text if isinstance(error, DivergedError) else f"{type(error).__name__}: {text}"
