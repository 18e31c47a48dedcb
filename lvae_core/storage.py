"""A place for small whole files: a local or shared folder, or an object store.

The contract of a :class:`Store`, stated once for every implementation: ``write`` leaves the complete new
content or the complete old one, whatever dies in between; ``read`` never sees half a file; a path is
relative, with ``/`` between its parts.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path
from typing import Any, Protocol

from lvae_core.config import InputError


class Store(Protocol):
    """Whole-file storage under one root; see the module's contract."""

    url: str

    def read(self, path: str) -> bytes:
        """The content of ``path``. Raises FileNotFoundError where there is none."""

    def write(self, path: str, data: bytes) -> None:
        """Replace ``path`` by ``data``, whole or not at all. Raises OSError where it cannot."""

    def exists(self, path: str) -> bool:
        """Whether ``path`` is a file or a folder."""

    def names(self, path: str = "") -> list[str]:
        """Sorted names of the files and folders directly in folder ``path``; [] where it is none."""

    def rename(self, source: str, target: str) -> None:
        """Give a file another name in the same folder."""

    def delete(self, path: str) -> None:
        """Remove a file; nothing happens where there is none."""


class LocalStore:
    """A folder of this machine, or one that several machines share."""

    def __init__(self, root: str | Path) -> None:
        self.root = local_path(root).absolute()
        self.url = str(self.root)

    def read(self, path: str) -> bytes:
        return (self.root / path).read_bytes()

    def write(self, path: str, data: bytes) -> None:
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            # mkstemp makes files for their owner alone; a shared folder is read by others.
            os.chmod(temporary, 0o666 & ~_umask())
            os.replace(temporary, target)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise
        _sync_folder(target.parent)

    def exists(self, path: str) -> bool:
        return (self.root / path).exists()

    def names(self, path: str = "") -> list[str]:
        try:
            # Names that start with a dot are files still being written.
            return sorted(n for n in os.listdir(self.root / path) if not n.startswith("."))
        except (FileNotFoundError, NotADirectoryError):
            return []

    def rename(self, source: str, target: str) -> None:
        os.replace(self.root / source, self.root / target)

    def delete(self, path: str) -> None:
        (self.root / path).unlink(missing_ok=True)


class FsspecStore:
    """Any file system that fsspec knows by URL, such as ``s3://bucket/prefix``.

    An object store's put is whole or not at all by itself, so there is no temporary name here.
    """

    def __init__(self, url: str) -> None:
        try:
            import fsspec
        except ModuleNotFoundError:
            raise InputError(f"{url}: storage by URL needs fsspec; pip install fsspec") from None
        self.url = url.rstrip("/")
        try:
            self._fs, self._root = fsspec.core.url_to_fs(self.url, use_listings_cache=False)
        except ImportError as error:
            raise InputError(f"{url}: {error}; install it and try again") from None
        except ValueError as error:
            raise InputError(f"{url}: not a storage address ({error})") from None

    def _path(self, path: str) -> str:
        return f"{self._root}/{path}" if path else str(self._root)

    def read(self, path: str) -> bytes:
        data: bytes = self._fs.cat_file(self._path(path))
        return data

    def write(self, path: str, data: bytes) -> None:
        self._fs.makedirs(self._path(path).rpartition("/")[0], exist_ok=True)
        self._fs.pipe_file(self._path(path), data)

    def exists(self, path: str) -> bool:
        return bool(self._fs.exists(self._path(path)))

    def names(self, path: str = "") -> list[str]:
        try:
            found: list[Any] = self._fs.ls(self._path(path), detail=False)
        except (FileNotFoundError, NotADirectoryError):
            return []
        # Of a file, some file systems list the file itself.
        inside = {str(p).rstrip("/") for p in found} - {self._path(path)}
        return sorted(p.rpartition("/")[2] for p in inside)

    def rename(self, source: str, target: str) -> None:
        self._fs.mv(self._path(source), self._path(target))

    def delete(self, path: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            self._fs.rm_file(self._path(path))


def local_path(path: str | Path) -> Path:
    """A path as the user wrote it, with ``~`` resolved. Raises InputError where that names nobody."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise InputError(f"{path}: there is no such user's home; write the path out") from None


def open_store(url: str | Path) -> Store:
    """The store at a local path (``file://…`` is one), or at a URL with a scheme (``s3://…``).

    Raises:
        InputError: the address is empty, its scheme is unknown or its library is not installed.
    """
    if not str(url).strip():
        raise InputError("an empty path: give a folder, or an address such as s3://bucket/prefix")
    scheme, separator, path = str(url).partition("://")
    if not separator:
        return LocalStore(url)
    # fsspec writes local files in place: a reader could see half of one.
    return LocalStore(path) if scheme in ("file", "local") else FsspecStore(str(url))


def _umask() -> int:
    # The only portable way to read it is to set it. Threads do not write run folders.
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _sync_folder(folder: Path) -> None:
    # Makes the rename itself durable; some network file systems refuse, and lose nothing by it.
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
