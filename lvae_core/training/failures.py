"""The four classes of failure that a run folder records."""

from __future__ import annotations

import math
import sys
import traceback
from collections.abc import Mapping
from typing import NamedTuple

from lvae_core.run_folder.folder import FailureClass

_TAIL_LINES = 40

_NO_MEMORY = (
    "can't allocate memory",
    "CUDA error: out of memory",
    "CUDA driver error: out of memory",
    "ALLOCATION_FAILED",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUBLAS_STATUS_NOT_INITIALIZED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_NOT_INITIALIZED",
    "could not create a primitive",
)
"""Parts of the messages of RuntimeErrors that mean a lack of memory. Only torch's CUDA allocator raises
OutOfMemoryError. Its allocator on the CPU does not, nor do libraries that take memory without an allocator
of torch: oneDNN for the programs that it compiles, cuBLAS and cuDNN when they start."""

_NO_DEVICE = (
    "busy or unavailable",
    "No CUDA GPUs are available",
    "no CUDA-capable device",
    "no NVIDIA driver",
    "CUDA error: unknown error",
    "CUDA unknown error",
    "system not yet initialized",
    "invalid device ordinal",
    "driver shutting down",
    "uncorrectable",
    "hardware stack error",
    "hardware error",
    "unspecified launch failure",
    "MPS client",
    "MPS server",
)
"""Parts of CUDA's messages about a GPU that failed or that another process broke; another GPU may work."""

_NOT_SUPPORTED = "could not create a primitive descriptor"
"""Message of oneDNN if it has no program for an operation."""


class Failure(NamedTuple):
    """The arguments of :meth:`lvae_core.run_folder.folder.RunFolder.write_failure`."""

    kind: FailureClass
    message: str
    traceback: str


def failure_class(error: BaseException) -> FailureClass:
    """The class of an error that a run raised.

    Most infrastructure failures end the process and raise nothing; a store that is full or gone does, and
    a GPU that has failed.
    """
    if isinstance(error, DivergedError):
        return "diverged"
    torch = sys.modules.get("torch")  # a plan reads failures without loading it
    if isinstance(error, MemoryError) or (torch and isinstance(error, torch.OutOfMemoryError)):
        return "out_of_memory"
    if isinstance(error, OSError) or has_lost_device(error):
        return "infrastructure"
    said = str(error).replace(_NOT_SUPPORTED, "")
    if isinstance(error, RuntimeError) and any(words in said for words in _NO_MEMORY):
        return "out_of_memory"
    return "code"


def has_lost_device(error: BaseException) -> bool:
    """Whether an error says that the GPU has failed, whatever the run did there."""
    words = _NO_DEVICE if isinstance(error, RuntimeError) else ()
    return isinstance(error, DeviceLostError) or any(each in str(error) for each in words)


def failure_of(error: BaseException) -> Failure:
    """Record of an error that ended an attempt; it refers to no object of the run."""
    lines = "".join(traceback.format_exception(error)).splitlines()
    return Failure(failure_class(error), one_line(error), "\n".join(lines[-_TAIL_LINES:]))


def one_line(error: BaseException) -> str:
    """An error in one line, with its type unless it is a DivergedError."""
    text = str(error).strip().partition("\n")[0]
    return text if isinstance(error, DivergedError) else f"{type(error).__name__}: {text}"


class PlaceLostError(Exception):
    """A run cannot go on where it is, and may elsewhere. The message says where that is, and why."""


class DeviceLostError(PlaceLostError):
    """The GPU that a run computed on has failed. The message says which, and how."""


class DivergedError(Exception):
    """The loss is not finite, or has exploded. The message says in which epoch."""


def check_finite(estimates: Mapping[str, Mapping[str, float]]) -> None:
    """Raise DivergedError if an estimate, or its error, is not finite."""
    if not all(math.isfinite(value) for entry in estimates.values() for value in entry.values()):
        raise DivergedError("an estimate on the test split is not finite; try a lower learning_rate")
