"""Device, threads and checkpoints of a run, and its progress.

Functions import torch, this module does not: the driver of a sweep uses it, and never computes.
"""

from __future__ import annotations

import math
import os
import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from lvae_core.errors import InputError, check_type, real_number, whole_number
from lvae_core.training.pace import Pace

_MOST_THREADS = 64
"""Threads that are allowed even if the machine has few cores; tens of thousands crash the process."""


@dataclass(frozen=True, kw_only=True)
class Runtime:
    """Device, threads and checkpoints of a run. They change no number on one machine type.

    The number of threads can change the last bits (sums are split differently), so runs to be compared
    bit for bit use the same number.
    """

    device: str = "cpu"
    threads: int = 1
    checkpoint_epochs: int = 1
    """Write a checkpoint at the end of every so many epochs."""
    checkpoint_seconds: float = 600.0
    """…and whenever this much time has passed since the last, in an epoch or in evaluation."""
    progress_seconds: float = 1.0
    """Yield a :class:`Progress` about this often."""
    device_share: float = 1.0
    """Of a GPU's memory, what this process may take; more is out of memory, whatever is free."""
    launch: str = field(default_factory=lambda: uuid.uuid4().hex)
    """The sweep or command that the run is executed for; see :mod:`lvae_core.run_folder.claims`."""


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Progress of a run."""

    phase: Literal["train", "evaluate", "done"]
    epoch: int
    """Epochs finished."""
    step: int
    """Gradient steps taken."""
    fraction: float
    """Of this phase, 0 to 1: of training up to max_epochs, or of the final evaluation."""
    metrics: dict[str, Any] | None = None
    """The row of metrics.jsonl, in the one Progress that follows the end of an epoch."""
    epochs: int = 0
    """Epochs at most; 0 if no training is under way."""
    pace: Pace | None = None
    """Of the latest training steps; None before the first and in the final evaluation."""


def make_runtime(
    device: str,
    threads: int,
    checkpoint_minutes: float = 10.0,
    checkpoint_epochs: int = 1,
    label: Callable[[str], str] = "{} =".format,
) -> Runtime:
    """Check where and how a run is to execute; ``label`` names an argument in an error.

    Raises:
        InputError: a value has the wrong type or lies outside its range, or the device cannot be used.
    """
    check_type("device", device, str, "a name, such as 'cpu' or 'cuda:0'")
    checkpoint_minutes = real_number("checkpoint_minutes", checkpoint_minutes)
    threads = whole_number("threads", threads)
    checkpoint_epochs = whole_number("checkpoint_epochs", checkpoint_epochs)
    for name, value in (("threads", threads), ("checkpoint_epochs", checkpoint_epochs)):
        if value < 1:
            raise InputError(f"{label(name)} {value}: must be at least 1")
    if threads > (most := max(_MOST_THREADS, 4 * (os.cpu_count() or 1))):
        raise InputError(f"{label('threads')} {threads}: must be at most {most} on this machine")
    if not 0 <= checkpoint_minutes < math.inf:
        raise InputError(f"{label('checkpoint_minutes')} {checkpoint_minutes}: must be 0 or more")
    check_device(device)
    return Runtime(
        device=device,
        threads=threads,
        checkpoint_epochs=checkpoint_epochs,
        checkpoint_seconds=60.0 * checkpoint_minutes,
    )


def check_device(device: str) -> None:
    """Raise :class:`InputError` unless a run can execute on ``device``, such as cpu or cuda:0."""
    import torch

    if not re.fullmatch(r"(cpu|cuda)(:[0-9]{1,3})?", device):
        raise InputError(f"device {device!r}: not usable here; give cpu, cuda or cuda:N")
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).partition("\n")[0]
        raise InputError(f"device {device!r}: not usable here ({reason}); try cpu") from None
