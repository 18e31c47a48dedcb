"""Provenance of a run: everything that explains its numbers but does not define them."""

from __future__ import annotations

import datetime
import functools
import importlib.metadata
import platform
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lvae_core.identity import NUMERICS_VERSION


def describe_attempt(
    *, from_step: int, device: str, threads: int, precision: str, data_sha256: str
) -> dict[str, Any]:
    """One attempt at a run, as ``provenance.json`` lists them; it begins after ``from_step`` steps."""
    return {
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "from_step": from_step,
        **_commit(),
        "versions": {
            "lvae": _version(),
            "numerics": NUMERICS_VERSION,
            "python": platform.python_version(),
            "torch": torch.__version__,
            "numpy": np.__version__,
            **(_cuda_versions() if device.startswith("cuda") else {}),
        },
        "host": platform.node(),
        "platform": platform.platform(),
        "processor": processor(),
        "device": torch.cuda.get_device_name(device) if device.startswith("cuda") else "cpu",
        "threads": threads,
        "precision": precision,
        "data_sha256": data_sha256,
    }


def _cuda_versions() -> dict[str, Any]:
    """Versions of the libraries beside torch that decide the last bits of a run on a GPU."""
    return {"cuda": torch.version.cuda, "cudnn": torch.backends.cudnn.version()}  # type: ignore[no-untyped-call]


@functools.cache
def _commit() -> dict[str, Any]:
    """The checkout this code runs from; outside of one, its commit is "unknown"."""
    root = Path(__file__).parents[2]

    def git(*arguments: str) -> str:
        done = subprocess.run(
            ["git", "-C", str(root), *arguments], capture_output=True, text=True, timeout=10
        )
        return done.stdout.strip() if done.returncode == 0 else ""

    try:
        # Only where this package is the checkout: not where it is installed inside another one.
        if git("rev-parse", "--show-prefix") or not (commit := git("rev-parse", "HEAD")):
            return {"commit": "unknown", "dirty": None}
        # Untracked files, such as runs and data, change no line of the code.
        return {"commit": commit, "dirty": bool(git("status", "--porcelain", "--untracked-files=no"))}
    except (OSError, subprocess.TimeoutExpired):
        return {"commit": "unknown", "dirty": None}


@functools.cache
def processor() -> str:
    """The name of the machine's processor."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _version() -> str:
    try:
        return importlib.metadata.version("lvae")
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
