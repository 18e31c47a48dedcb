"""Runs that were read before, kept so that a study of ten thousand opens within a second.

The cache is never stale. A row is taken from it only where the run folder's signature is the one under
which the row was read: see analysis/reading/signatures.py for why no change leaves a signature as it was.
A row is put there only if every file of the run was intact, its digest verified; if the folder looked the
same before and after it was read; and if what was seen was settled. A row follows from nothing but these
files and the code that reads them, and a digest of that code is part of the key, its defaults and the
numerics version included.

There is one file a study, in the user's own cache folder (``$XDG_CACHE_HOME/lvae`` or ``~/.cache/lvae``),
never in the study; it can be deleted at any time. It is Parquet under a line with its own digest: one that
is damaged, or of another version, is passed over and written anew. It is replaced as a whole, so of several
processes at once the last one's stays, and each is right.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.metadata
import io
import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

import lvae_core.config
from analysis.reading.frame import COLUMNS
from analysis.reading.signatures import Seen, look
from analysis.reading.sources import Source
from lvae_core.run_folder.folder import RunFolder

CACHED_FROM = 100
"""Runs of a source below which it is read as quickly as looked up."""

_MAGIC = b"lvae runs 1 sha256 "
_KEY = b"lvae"

_SIGNATURE = "signature"
_SCHEMA = pa.schema({**COLUMNS, _SIGNATURE: pa.string()})

# What a row follows from beside the files of its run.
_CODE = {
    Path(__file__).parent: ("frame.py", "run_row.py", "signatures.py", "cache.py"),
    Path(lvae_core.config.__file__).parent: (
        "config.py",
        "errors.py",
        "run_folder/digests.py",
        "run_folder/estimates.py",
        "run_folder/folder.py",
        "run_folder/names.py",
    ),
}


class Cache:
    """The caches of all studies, in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def open(self, source: Source) -> Known | None:
        """What is known of a source; None where it is too small, or cannot be seen."""
        if len(source.folders) < CACHED_FROM:
            return None
        seen = look(source)
        return Known(source, seen, self.path(source.url)) if seen else None

    def path(self, url: str) -> Path:
        """Where the runs of the source at ``url`` are kept."""
        return self.folder / f"runs-{hashlib.sha256(url.encode('utf-8', 'surrogateescape')).hexdigest()}"


def user_cache() -> Cache | None:
    """The cache in the user's own folder; None where there is no such folder."""
    place = os.environ.get("XDG_CACHE_HOME", "")
    try:
        # A relative path is to be ignored, says the XDG specification.
        root = Path(place) if os.path.isabs(place) else Path("~/.cache").expanduser()
    except RuntimeError:
        return None
    return Cache(root / "lvae")


class Known:
    """A source, of which some runs are known from before."""

    def __init__(self, source: Source, seen: Mapping[str, Seen], path: Path) -> None:
        self._source, self._seen, self._path = source, seen, path
        self._table = _load(path, source.url)
        kept = zip(*(self._table[name].to_pylist() for name in ("folder", _SIGNATURE)), strict=True)
        self._rows = {
            folder: row
            for row, (folder, signature) in enumerate(kept)
            if folder in seen and seen[folder].signature == signature
        }
        self.unknown: list[RunFolder] = [f for f in source.folders if f.name not in self._rows]
        """The runs that must be read."""

    def add(self, read: pa.Table, sound: Sequence[bool]) -> pa.Table:
        """All runs, in the order of the source's folders.

        Args:
            read: the rows of :attr:`unknown`, in its order. They are kept for the next time.
            sound: of each, whether all its files were intact.
        """
        names = [folder.name for folder in self.unknown]
        again = look(Source(self._source.url, tuple(self.unknown)))
        signatures = [
            self._seen[name].signature
            if intact and name in self._seen and self._seen[name].settled
            # It may have been changed while it was read.
            and name in again and again[name].signature == self._seen[name].signature
            else None
            for name, intact in zip(names, sound, strict=True)
        ]  # fmt: skip
        read = read.append_column(_SIGNATURE, pa.array(signatures, pa.string()))
        table = pa.concat_tables([self._table, read])
        place = self._rows | {name: len(self._table) + row for row, name in enumerate(names)}
        table = table.take([place[folder.name] for folder in self._source.folders])
        if any(signatures) or len(self._rows) < len(self._table):
            _save(table.filter(table[_SIGNATURE].is_valid()), self._path, self._source.url)
        return table.drop_columns([_SIGNATURE])


def _load(path: Path, url: str) -> pa.Table:
    """The cached rows; none where there is no such file, or not of this url, code and content."""
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
    # Where it cannot be kept, the runs are read again the next time.
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=".", dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.writelines([_MAGIC, digest, b"\n", content])
            os.replace(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise


def _key(url: str) -> bytes:
    return json.dumps({"url": url, "code": _code()}).encode()


@functools.cache
def _code() -> str:
    """A digest of the code that makes rows from files."""
    digest = hashlib.sha256(importlib.metadata.version("pyarrow").encode())
    for folder, files in _CODE.items():
        for file in files:
            digest.update((folder / file).read_bytes())
    return digest.hexdigest()
