"""What a part of gpu_check.py does with its results: one JSON line each on standard output, at once.

A part is a module with ``work(settings)``, a generator of records. It ends by itself near its limit, so
that the last record is whole; the command ends it if it does not.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

Record = dict[str, Any]
"""name, text, passed (True, False or None for what is not a check), and figures by name."""


@dataclass(frozen=True)
class Settings:
    """How a part is to be executed."""

    device: str
    seconds: float
    """Time that the part has."""
    tiny: bool
    """Tiny sizes, to try the part on a CPU."""
    only: Sequence[str] = ()
    """Texts of which a record's subject must contain one; empty: no restriction."""
    since: float = 0.0
    """When that time began, by the monotonic clock."""
    left_out: list[str] = field(default_factory=list)
    """Subjects for which no time was left."""

    @property
    def left(self) -> float:
        """Seconds left."""
        return self.seconds - (time.monotonic() - self.since)

    @property
    def is_gpu(self) -> bool:
        """Whether the device is a GPU."""
        return self.device.startswith("cuda")

    def wants(self, subject: str) -> bool:
        """Whether the part is to deal with ``subject``: not excluded, and some time is left."""
        if self.only and not any(text in subject for text in self.only):
            return False
        if self.left <= 0:
            self.left_out.append(subject)
        return self.left > 0


def note(name: str, text: str, **figures: Any) -> Record:
    """Make a record of something that is no check."""
    return {"name": name, "passed": None, "text": text, **figures}


def check(name: str, work: Callable[[], str]) -> Record:
    """Make the record of a check, which returns what it found, or raises an AssertionError that says it."""
    start = time.monotonic()
    try:
        found = {"passed": True, "text": work()}
    except AssertionError as error:
        found = {"passed": False, "text": str(error).partition("\n")[0] or "an assertion failed"}
    except Exception as error:  # of a GPU that does not answer, for example
        reason = str(error).partition("\n")[0]
        found = {"passed": False, "text": f"{type(error).__name__}: {reason}"}
    return {"name": name, **found, "seconds": round(time.monotonic() - start, 3)}


def run_part(work: Callable[[Settings], Iterator[Record]]) -> int:
    """Write the records of a part as they come; return the exit status."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--only", action="append", default=[])
    parser.add_argument("--since", type=float, default=time.monotonic())
    settings = Settings(**vars(parser.parse_args()))
    device = torch.device(settings.device)
    if settings.is_gpu and device.index is not None:
        torch.cuda.set_device(device)  # on which streams, and so graphs, are made
    # Whatever a library prints goes to standard error.
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for record in work(settings):
        print(json.dumps(record), file=out, flush=True)
        if record["passed"] is False and settings.is_gpu:
            try:
                torch.ones(1, device=settings.device).sum().item()
            except RuntimeError as error:  # after some errors no kernel runs any more in this process
                print(f"the GPU no longer answers this process: {error}", file=sys.stderr)
                return 1
    if settings.left_out:
        rest = note("no time left for", f"{len(settings.left_out)} more", left_out=settings.left_out)
        print(json.dumps({**rest, "cut": True}), file=out, flush=True)
    return 0
