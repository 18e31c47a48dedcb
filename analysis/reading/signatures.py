"""Detect whether a run folder has changed since it was read, without reading it again.

The signature of a run folder is made of what the storage itself records about the files that a row depends
on (see analysis/reading/run_row.py). Nobody can change a file without changing these records:

- In a local or shared folder: device, inode, size, mtime and ctime of each file. This project replaces
  files, and a replaced file has another inode. A file that is written in place, with size and mtime
  restored afterwards, has a later ctime, which no call can set. Windows has no ctime of this meaning, so
  there are no signatures there.
- In an object store: ETag, size and time of each file, from one listing. An ETag identifies the content.
  File systems whose listings have none (``memory://``, ``sftp://``) have no signatures.

Clocks are coarse: two changes within one tick look like one. So a file that changed within the last
SETTLING_SECONDS, or in the future, is not settled yet, and its signature must not be relied on.
"""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from analysis.reading.run_row import FILES
from analysis.reading.sources import Source
from lvae_core.run_folder.claims import is_claim
from lvae_core.run_folder.evaluations import is_evaluation

SETTLING_SECONDS = 2.0
"""The resolution of the coarsest clock of a file system, FAT's."""

_CHANGED = ("LastModified", "last_modified", "updated", "mtime")


@dataclass(frozen=True)
class Signature:
    """The state of a run folder at one moment."""

    text: str
    """Equal texts mean equal content."""
    settled: bool
    """Whether the last change is long enough ago to be relied on."""


def signatures(source: Source) -> dict[str, Signature]:
    """Name of each folder of a source -> its signature; folders that have none are left out."""
    if not source.folders:
        return {}
    store = source.folders[0].store.url
    if "://" in store:
        return _remote_signatures(store, {folder.name for folder in source.folders})
    if os.name == "nt":
        return {}
    found = ((folder.name, _local_signature(f"{store}/{folder.name}")) for folder in source.folders)
    return {name: signature for name, signature in found if signature is not None}


def _local_signature(folder: str) -> Signature | None:
    now = time.time_ns()
    parts: list[str] = []
    newest = 0
    try:
        listed = os.listdir(folder)
        for file in (*FILES, *sorted(filter(is_evaluation, listed))):
            try:
                s = os.stat(f"{folder}/{file}")
            except FileNotFoundError:
                continue
            # ctime is the only time that a program cannot set.
            parts.append(f"{file} {s.st_dev} {s.st_ino} {s.st_size} {s.st_mtime_ns} {s.st_ctime_ns}")
            newest = max(newest, s.st_ctime_ns)
        # Whether the process behind a claim still runs is in no file.
        if not (parts and parts[0].startswith("result.json")) and any(map(is_claim, listed)):
            parts.append("claim")
            newest = now
    except OSError:
        return None
    return Signature("\n".join(parts), newest < now - SETTLING_SECONDS * 1e9)


def _remote_signatures(url: str, names: set[str]) -> dict[str, Signature]:
    try:
        import fsspec

        files, root = fsspec.core.url_to_fs(url, use_listings_cache=False)
        now = time.time()
        listed: Mapping[str, Mapping[str, Any]] = files.find(root, detail=True)
    except Exception:  # reading the runs will raise it again, in one line
        return {}
    folders: dict[str, dict[str, Mapping[str, Any]]] = defaultdict(dict)
    for path, facts in listed.items():
        folder, _, file = path.removeprefix(root).strip("/").rpartition("/")
        if folder in names and (file in FILES or is_claim(file) or is_evaluation(file)):
            folders[folder][file] = facts
    found = ((name, _remote_signature(files, now)) for name, files in folders.items())
    return {name: signature for name, signature in found if signature is not None}


def _remote_signature(files: Mapping[str, Mapping[str, Any]], now: float) -> Signature | None:
    parts, newest = [], 0.0
    for file in (*FILES, *sorted(filter(is_evaluation, files))):
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
        newest = newest if "result.json" in files else now
    return Signature("\n".join(parts), newest < now - SETTLING_SECONDS)
