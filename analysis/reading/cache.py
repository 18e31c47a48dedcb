"""Cache the rows of runs, so that a study of ten thousand runs opens within a second.

The cache is never stale. A row is taken from it only if the run folder still has the signature under which
the row was read; analysis/reading/signatures.py explains why every change changes the signature. A row is
cached only if every file of the run was intact (its digest verified), the signature was the same before and
after reading, and the signature was settled. A row depends only on these files and on the code that reads
them, and a digest of that code is part of the key, including its defaults and the numerics version.

There is one cache file per study, in the user's cache folder (``$XDG_CACHE_HOME/lvae`` or
``~/.cache/lvae``), never in the study; it can be deleted at any time. It is Parquet after a line with its
digest. A file that is damaged, or of another version, is ignored and replaced. It is replaced as a whole:
of several concurrent processes, the last one's file stays, and every such file is correct.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.metadata
import io
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

import lvae_core.config
from analysis.reading.frame import COLUMNS
from analysis.reading.signatures import Signature, signatures
from analysis.reading.sources import Source
from lvae_core.run_folder.folder import RunFolder
from lvae_core.storage.local import replacing

CACHED_FROM = 100
"""Number of runs from which a source is cached; fewer are read as quickly as looked up."""

_MAGIC = b"lvae runs 1 sha256 "
_KEY = b"lvae"

_SIGNATURE = "signature"
_SCHEMA = pa.schema({**COLUMNS, _SIGNATURE: pa.string()})

# Whole folders: to leave out one file that a row depends on is worse than to read again after a change of
# one that it does not. A test follows the imports.
_CORE = Path(lvae_core.config.__file__).parent
_CODE = (Path(__file__).parent, _CORE, _CORE / "fields", _CORE / "run_folder", _CORE / "storage")
"""The folders with the code that a row depends on, in addition to the files of its run."""


class Cache:
    """The caches of all studies, in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def open(self, source: Source) -> CachedSource | None:
        """The cached rows of a source; None if it is too small, or its storage has no signatures."""
        if len(source.folders) < CACHED_FROM:
            return None
        seen = signatures(source)
        return CachedSource(source, seen, self.path(source.url)) if seen else None

    def path(self, url: str) -> Path:
        """The cache file of the source at ``url``."""
        return self.folder / f"runs-{hashlib.sha256(url.encode('utf-8', 'surrogateescape')).hexdigest()}"


def user_cache() -> Cache | None:
    """The cache in the user's cache folder; None if there is no such folder."""
    place = os.environ.get("XDG_CACHE_HOME", "")
    try:
        # The XDG specification says to ignore a relative path.
        root = Path(place) if os.path.isabs(place) else Path("~/.cache").expanduser()
    except RuntimeError:
        return None
    return Cache(root / "lvae")


class CachedSource:
    """A source with the rows of it that are cached and still valid."""

    def __init__(self, source: Source, seen: Mapping[str, Signature], path: Path) -> None:
        self._source, self._seen, self._path = source, seen, path
        self._table = _load(path, source.url)
        cached = zip(*(self._table[name].to_pylist() for name in ("folder", _SIGNATURE)), strict=True)
        self._rows = {
            folder: row
            for row, (folder, signature) in enumerate(cached)
            if folder in seen and seen[folder].text == signature
        }
        self.to_read: list[RunFolder] = [f for f in source.folders if f.name not in self._rows]
        """The runs without a valid row."""

    def add(self, read: pa.Table, intact: Sequence[bool]) -> pa.Table:
        """Cache the rows that were read; returns the rows of all runs in the order of the source's folders.

        Args:
            read: the rows of :attr:`to_read`, in its order.
            intact: for each of them, whether all files of the run were intact.
        """
        names = [folder.name for folder in self.to_read]
        after = signatures(Source(self._source.url, tuple(self.to_read)))
        to_cache = [
            self._seen[name].text
            if is_intact and name in self._seen and self._seen[name].settled
            # The run may have changed while it was read.
            and name in after and after[name].text == self._seen[name].text
            else None
            for name, is_intact in zip(names, intact, strict=True)
        ]  # fmt: skip
        read = read.append_column(_SIGNATURE, pa.array(to_cache, pa.string()))
        table = pa.concat_tables([self._table, read])
        place = self._rows | {name: len(self._table) + row for row, name in enumerate(names)}
        table = table.take([place[folder.name] for folder in self._source.folders])
        # Rows of runs that were deleted are dropped from the cache as well.
        if any(to_cache) or len(self._rows) < len(self._table):
            _save(table.filter(table[_SIGNATURE].is_valid()), self._path, self._source.url)
        return table.drop_columns([_SIGNATURE])


def _load(path: Path, url: str) -> pa.Table:
    """The rows in a cache file; none if it is absent, damaged, or of another URL or code."""
    try:
        head, _, data = path.read_bytes().partition(b"\n")
        if head == _MAGIC + hashlib.sha256(data).hexdigest().encode():
            table = pq.read_table(io.BytesIO(data))
            if (table.schema.metadata or {}).get(_KEY) == _key(url):
                return table.cast(_SCHEMA)
    except (OSError, pa.ArrowException):
        pass
    return _SCHEMA.empty_table()


def _save(table: pa.Table, path: Path, url: str) -> None:
    data = io.BytesIO()
    pq.write_table(table.replace_schema_metadata({_KEY: _key(url)}), data)
    content = data.getvalue()
    digest = hashlib.sha256(content).hexdigest().encode()
    # If it cannot be written, the runs are read again the next time.
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as file:
            file.writelines([_MAGIC, digest, b"\n", content])


def _key(url: str) -> bytes:
    return json.dumps({"url": url, "code": _code()}).encode()


@functools.cache
def _code() -> str:
    """A digest of the code that turns files into rows."""
    digest = hashlib.sha256(importlib.metadata.version("pyarrow").encode())
    for file in code_files():
        digest.update(file.read_bytes())
    return digest.hexdigest()


def code_files() -> list[Path]:
    """The files of the code that turns files into rows."""
    # An editor's lock is a link to no file.
    return [file for folder in _CODE for file in sorted(folder.glob("*.py")) if file.is_file()]
