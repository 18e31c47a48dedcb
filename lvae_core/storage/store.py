"""A place for small whole files: a local or shared folder, or an object store.

The contract of a :class:`Store`, stated once for every implementation: ``write`` leaves the complete new
content or the complete old one, whatever dies in between; ``read`` never sees half a file; a path is
relative, with ``/`` between its parts.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from lvae_core.errors import InputError
from lvae_core.storage.fsspec_store import FsspecStore
from lvae_core.storage.local import LocalStore


class Store(Protocol):
    """Whole-file storage under one root; see the module's contract."""

    url: str

    def read(self, path: str) -> bytes:
        """The content of ``path``. Raises FileNotFoundError where there is none."""

    def write(self, path: str, data: bytes) -> None:
        """Replace ``path`` by ``data``, whole or not at all. Raises OSError where it cannot."""

    def create(self, path: str, data: bytes) -> bool:
        """Write ``path`` only where nothing is, whole or not at all; whether this call wrote it.

        Of many who try at the same time exactly one is told True. Raises OSError where it cannot.
        """

    def exists(self, path: str) -> bool:
        """Whether ``path`` is a file or a folder."""

    def names(self, path: str = "") -> list[str]:
        """Sorted names of the files and folders directly in folder ``path``; [] where it is none."""

    def leftovers(self, folder: str) -> list[str]:
        """Sorted names of what writes that were killed left in ``folder``, and of those at work now.

        They can be renamed and deleted like any file. An object store has none.
        """

    def rename(self, source: str, target: str) -> None:
        """Give a file another name in the same folder; what has that name already is replaced.

        At an object store this is to copy and to delete: both may be there if it is interrupted.
        """

    def delete(self, path: str) -> None:
        """Remove a file; nothing happens where there is none."""


def open_store(url: str | Path, create: bool = True) -> Store:
    """The store at a local path (``file://…`` is one), or at a URL with a scheme (``s3://…``).

    Args:
        url: where it is.
        create: whether the first write may make a local store's root folder; see :class:`LocalStore`.

    Raises:
        InputError: the address is empty, its scheme is unknown or its library is not installed.
    """
    if not str(url).strip():
        raise InputError("an empty path: give a folder, or an address such as s3://bucket/prefix")
    scheme, separator, path = str(url).partition("://")
    if not separator:
        return LocalStore(url, create)
    # fsspec writes local files in place: a reader could see half of one.
    return LocalStore(path, create) if scheme in ("file", "local") else FsspecStore(str(url))
