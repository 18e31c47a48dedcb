"""What a node tells of itself when it is asked, before anything is placed on it.

This code travels to the node by value and reads there what a run would find: it must work where the
project is of another version or missing. So it imports only the standard library and Ray until it has to.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import os
import platform
import shutil
import time
from pathlib import Path
from typing import Any

from sweeps.cluster.internals import session_folder

PACKAGES = ("torch", "numpy", "ray")
PROJECT = ("lvae_core", "sweeps")

_PATIENCE = 10.0
"""Seconds for which a store may stumble before a node is said not to reach it."""


def examine(url: str, probe: str, content: bytes, own: str) -> dict[str, Any]:
    """Facts about the node that this runs on, as :class:`sweeps.checks.findings.Facts` has them.

    Args:
        url: the study's storage.
        probe: a file there that the driver has written ...
        content: ... and what it holds.
        own: a file to be written there, of the same content.
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
        "tokens": os.environ.get("RAY_AUTH_MODE", "").lower() == "token",
    }


def storage_trouble(url: str, probe: str, content: bytes, own: str) -> str | None:
    """Why a run could not keep its results there: one line; None: it could."""
    try:
        from lvae_core.storage.retrying import RetryingStore
        from lvae_core.storage.store import open_store

        store = RetryingStore(open_store(url), _PATIENCE)
        # Read first: writing would make the folders of a path that only looks like the shared one.
        try:
            found = store.read(probe)
        except FileNotFoundError:
            return f"does not see {url}"
        if found != content:
            return f"does not read in {url} what was written"
    except Exception as error:  # object stores raise what they like
        return f"cannot read {url} ({reason(error)})"
    try:
        store.write(own, content)
    except Exception as error:
        return f"cannot write to {url} ({reason(error)})"
    return None


def remove(url: str, own: str) -> None:
    """Take back what :func:`examine` wrote, where only this node sees it."""
    from lvae_core.storage.store import open_store

    open_store(url).delete(own)


def versions() -> dict[str, str]:
    """What a run's numbers and its transport depend on, as installed; nothing is imported for it."""
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


def project() -> dict[str, str]:
    """Where the project is imported from, and a digest of its source."""
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
    """Free space of the file system that ``path`` is, or would be, on; None where that cannot be told."""
    place = Path(path)
    while not place.exists() and place != place.parent:
        place = place.parent
    try:
        return shutil.disk_usage(place).free
    except OSError:
        return None


def available_memory() -> int | None:
    """Bytes that new processes can have without swapping; None where that cannot be told."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    sizes = {name: value.split()[0] for name, _, value in (line.partition(":") for line in lines)}
    return int(sizes["MemAvailable"]) * 1024 if "MemAvailable" in sizes else None


def reason(error: BaseException) -> str:
    """What went wrong, in one line."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(str(text).split())
