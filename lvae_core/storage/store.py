"""A place for small files that are read and written whole: a local or shared folder, or an object store.

Every implementation of :class:`Store` keeps this contract: ``write`` leaves the complete new content or the
complete old one, even if the process or machine dies. ``read`` never sees half a file. A path is relative,
with ``/`` between its parts.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from lvae_core.errors import InputError
from lvae_core.storage.fsspec_store import FsspecStore
from lvae_core.storage.local import LocalStore


class Store(Protocol):
    """Storage of whole files under one root; see the contract in the module's docstring."""

    url: str

    def read(self, path: str) -> bytes:
        """Return the content of ``path``. Raises FileNotFoundError if it does not exist."""

    def write(self, path: str, data: bytes) -> None:
        """Replace the content of ``path`` with ``data``, atomically. Raises OSError on failure."""

    def create(self, path: str, data: bytes) -> bool:
        """Write ``path`` atomically if it does not exist; return whether this call wrote it.

        Of several concurrent calls exactly one returns True. Raises OSError on failure.
        """

    def exists(self, path: str) -> bool:
        """Whether ``path`` is a file or a folder."""

    def names(self, path: str = "") -> list[str]:
        """Sorted names of the files and folders directly in folder ``path``; [] if it is not a folder."""

    def leftovers(self, folder: str) -> list[str]:
        """Sorted names of the temporary files in ``folder``, of interrupted writes and of current ones.

        They can be renamed and deleted like any file. An object store has none.
        """

    def rename(self, source: str, target: str) -> None:
        """Rename a file within its folder; an existing ``target`` is replaced.

        On an object store this is a copy and a delete: both files may exist after an interruption.
        """

    def delete(self, path: str) -> None:
        """Delete a file; do nothing if it does not exist."""


def open_store(url: str | Path, create: bool = True) -> Store:
    """Open the store at a local path (also as ``file://…``) or at a URL such as ``s3://…``.

    Args:
        url: path or address of the root.
        create: whether the first write may make a local store's root folder; see :class:`LocalStore`.

    Raises:
        InputError: the address is empty, its scheme is unknown or its library is not installed.
    """
    if not str(url).strip():
        raise InputError("an empty path: give a folder, or an address such as s3://bucket/prefix")
    scheme, separator, path = str(url).partition("://")
    if not separator:
        return LocalStore(url, create)
    # Local files bypass fsspec, which writes them in place: a reader could see half a file.
    return LocalStore(path, create) if scheme in ("file", "local") else FsspecStore(str(url))
