"""Whether a run folder has changed since it was read, without reading it.

What a row follows from (analysis/reading/run_row.py) is *seen* by facts that the storage itself keeps,
and that nobody who changes a file can leave as they were:

- In a local or shared folder: device, inode, size, and the times of the last change of content and of inode
  of each file. A file that is replaced, as this project does it, has another inode; one that is written in
  place, its size and time put back afterwards, has a later ctime, which no call can set. Where a system has
  no ctime of that meaning (Windows), nothing counts as seen.
- At an object store: the ETag of each file, with its size and time, from one listing. An ETag names a
  content. File systems whose listing has none (``memory://``, ``sftp://``) are not seen.

Clocks are coarse: what is changed twice within a tick looks as if it were changed once. So what was changed
within the last SETTLING_SECONDS, or in the future, is not settled yet, and not to be relied on.
"""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from analysis.reading.run_row import FILES, is_claim
from analysis.reading.sources import Source

SETTLING_SECONDS = 2.0
"""The coarsest clock there is, FAT's."""

_CHANGED = ("LastModified", "last_modified", "updated", "mtime")


@dataclass(frozen=True)
class Seen:
    """A run folder as it was at one moment."""

    signature: str
    """The same text: the same content."""
    settled: bool


def look(source: Source) -> dict[str, Seen]:
    """Name of each folder of a source -> what is seen of it; without those that cannot be seen."""
    if not source.folders:
        return {}
    store = source.folders[0].store.url
    if "://" in store:
        return _look_remotely(store, {folder.name for folder in source.folders})
    if os.name == "nt":
        return {}
    found = ((folder.name, _look_locally(f"{store}/{folder.name}")) for folder in source.folders)
    return {name: seen for name, seen in found if seen is not None}


def _look_locally(folder: str) -> Seen | None:
    now = time.time_ns()
    parts: list[str] = []
    newest = 0
    try:
        for file in FILES:
            try:
                s = os.stat(f"{folder}/{file}")
            except FileNotFoundError:
                continue
            parts.append(f"{file} {s.st_dev} {s.st_ino} {s.st_size} {s.st_mtime_ns} {s.st_ctime_ns}")
            newest = max(newest, s.st_ctime_ns)
            if file == "provenance.json" and parts[0].startswith("result.json"):
                break  # of a run that is done nothing else is read
        if not (parts and parts[0].startswith("result.json")):
            parts += ["claim"] if any(map(is_claim, os.listdir(folder))) else []
    except OSError:
        return None
    return Seen("\n".join(parts), newest < now - SETTLING_SECONDS * 1e9)


def _look_remotely(url: str, names: set[str]) -> dict[str, Seen]:
    try:
        import fsspec

        files, root = fsspec.core.url_to_fs(url, use_listings_cache=False)
        now = time.time()
        listed: Mapping[str, Mapping[str, Any]] = files.find(root, detail=True)
    except Exception:  # whatever is wrong, reading the runs will tell
        return {}
    folders: dict[str, dict[str, Mapping[str, Any]]] = defaultdict(dict)
    for path, facts in listed.items():
        folder, _, file = path.removeprefix(root).strip("/").rpartition("/")
        if folder in names and (file in FILES or is_claim(file)):
            folders[folder][file] = facts
    found = ((name, _seen_remotely(files, now)) for name, files in folders.items())
    return {name: seen for name, seen in found if seen is not None}


def _seen_remotely(files: Mapping[str, Mapping[str, Any]], now: float) -> Seen | None:
    parts, newest = [], 0.0
    for file in FILES:
        if file not in files:
            continue
        facts = files[file]
        tag = facts.get("ETag") or facts.get("etag")
        changed = next((facts[name] for name in _CHANGED if name in facts), None)
        if not tag:
            return None
        parts.append(f"{file} {tag} {facts.get('size')} {changed}")
        if isinstance(changed, datetime):
            newest = max(newest, changed.timestamp())
    if any(map(is_claim, files)):
        parts.append("claim")
    return Seen("\n".join(parts), newest < now - SETTLING_SECONDS)
