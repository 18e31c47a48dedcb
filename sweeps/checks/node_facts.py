"""Collect facts about a node before anything runs there.

This code travels to the node by value, and must work even if the project there is missing or of another
version. It therefore imports only the standard library and Ray at first.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from sweeps.cluster.internals import session_folder

PACKAGES = ("torch", "numpy", "ray")
PROJECT = ("lvae_core", "sweeps")

_RETRY_SECONDS = 10.0
"""Seconds of retries before a node counts as unable to reach the store."""

_TORCH_SECONDS = 45.0
"""Seconds that torch may take to be imported and to find the GPUs."""


def examine(url: str, probe: str, content: bytes, own: str, gpu: bool) -> dict[str, Any]:
    """Collect the facts about this node; see :class:`sweeps.checks.findings.Facts`.

    Args:
        url: the study's storage.
        probe: a file that the driver has written there.
        content: the content of that file.
        own: a file for this node to write there, with the same content.
        gpu: whether runs would compute on this node's GPUs.
    """
    scratch = session_folder()
    return {
        "clock": time.time(),
        "storage": storage_trouble(url, probe, content, own),
        "storage_free": None if "://" in url else free_bytes(url),
        "scratch": scratch,
        "scratch_free": free_bytes(scratch),
        "memory": available_memory(),
        "versions": versions(),
        "project": project(),
        "gpu": gpu_trouble() if gpu else None,
        "tokens": os.environ.get("RAY_AUTH_MODE", "").lower() == "token",
    }


def storage_trouble(url: str, probe: str, content: bytes, own: str) -> str | None:
    """The reason in one line why a run on this node could not store its results; None: it could."""
    try:
        from lvae_core.storage.retrying import RetryingStore
        from lvae_core.storage.store import open_store

        store = RetryingStore(open_store(url), _RETRY_SECONDS)
        # Read first: writing would make the folder on a node that lacks the shared one.
        try:
            found = store.read(probe)
        except FileNotFoundError:
            return f"does not see {url}"
        if found != content:
            return f"reads in {url} something else than was written"
    except Exception as error:  # object stores raise errors of many classes
        return f"cannot read {url} ({reason(error)})"
    try:
        store.write(own, content)
    except Exception as error:
        return f"cannot write to {url} ({reason(error)})"
    return None


def remove(url: str, own: str) -> None:
    """Remove the file that :func:`examine` wrote, if only this node sees it."""
    from lvae_core.storage.store import open_store

    open_store(url).delete(own)


def versions() -> dict[str, str]:
    """The installed versions that results and Ray's protocol depend on; imports none of them."""
    found = {"Python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "none"
    try:
        from lvae_core.identity import NUMERICS_VERSION

        found["numerics"] = str(NUMERICS_VERSION)
    except Exception as error:
        found["numerics"] = f"none ({reason(error)})"
    return found


def gpu_trouble() -> str | None:
    """The reason in one line why torch cannot use this node's GPUs; None: it can."""
    # Ray can hide all GPUs from a task that asks for none; a choice of some is the user's.
    hidden = {"CUDA_VISIBLE_DEVICES"} if not os.environ.get("CUDA_VISIBLE_DEVICES") else set()
    visible = {name: value for name, value in os.environ.items() if name not in hidden}
    command = [sys.executable, "-c", "import torch; torch.cuda.init()"]
    try:
        done = subprocess.run(command, env=visible, capture_output=True, text=True, timeout=_TORCH_SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        return reason(error)
    said = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
    return None if done.returncode == 0 else said[-1]


def project() -> dict[str, str]:
    """Folder that the project is imported from, and a digest of its source."""
    digest, places = hashlib.sha256(), []
    for package in PROJECT:
        spec = importlib.util.find_spec(package)
        if spec is None or not spec.submodule_search_locations:
            return {"digest": "", "place": f"{package} is not installed"}
        root = Path(next(iter(spec.submodule_search_locations)))
        places.append(str(root))
        for path in sorted(root.rglob("*.py")):
            name = f"{package}/{path.relative_to(root).as_posix()}"
            digest.update(f"{name} {path.stat().st_size}\n".encode() + path.read_bytes())
    return {"digest": digest.hexdigest(), "place": ", ".join(places)}


def free_bytes(path: str) -> int | None:
    """Free bytes of the file system that ``path`` is, or would be, on; None if unknown."""
    place = Path(path)
    while not place.exists() and place != place.parent:
        place = place.parent
    try:
        return shutil.disk_usage(place).free
    except OSError:
        return None


def available_memory() -> int | None:
    """Bytes that new processes can have without swapping; None if unknown."""
    try:
        import psutil  # which comes with Ray

        return int(psutil.virtual_memory().available)
    except (ImportError, OSError, RuntimeError):
        return None


def reason(error: BaseException) -> str:
    """The reason of an error, in one line."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(str(text).split())
