"""A store in a local folder, or in a folder that several machines share."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from lvae_core.errors import InputError, reason

# Name of a file that is still being written.
_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{16}")
# Errors of file systems without hard links (exFAT, some in user space).
_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS}


class LocalStore:
    """A store in a local folder, or in a folder that several machines share.

    A root folder that this object has seen is never made again. If it disappears (for example because its
    disk is unmounted), every operation raises an OSError, and none treats the store as empty.

    Args:
        root: the folder. It need not exist yet if ``create`` is true.
        create: whether the first write may make the root folder.
    """

    def __init__(self, root: str | Path, create: bool = True) -> None:
        self.root = local_path(root).absolute()
        self.url = str(self.root)
        self._may_make_root = create and not os.path.isdir(self.root)

    def read(self, path: str) -> bytes:
        place = f"{self.url}/{path}"
        try:
            data = _content(place)
        except (FileNotFoundError, NotADirectoryError):
            if not self._has_root():
                raise
            data = _content(place)  # the root may have reappeared in between
        self._mark_root_seen()
        return data

    def write(self, path: str, data: bytes) -> None:
        self._put(path, data, _replace)

    def create(self, path: str, data: bytes) -> bool:
        if os.path.lexists(self.root / path):
            self._mark_root_seen()
            return False
        return self._put(path, data, _link)

    def exists(self, path: str) -> bool:
        place = self.root / path
        if not place.exists():
            return self._has_root() and place.exists()
        self._mark_root_seen()
        return True

    def names(self, path: str = "") -> list[str]:
        # Names that start with a dot are files still being written.
        return [name for name in self._list(path) if not name.startswith(".")]

    def leftovers(self, folder: str) -> list[str]:
        return [name for name in self._list(folder) if _TEMPORARY.fullmatch(name)]

    def rename(self, source: str, target: str) -> None:
        try:
            os.replace(self.root / source, self.root / target)
        except FileNotFoundError:
            if not self._has_root():
                raise
            os.replace(self.root / source, self.root / target)
        self._mark_root_seen()

    def delete(self, path: str) -> None:
        try:
            (self.root / path).unlink()
            self._mark_root_seen()
        except FileNotFoundError:
            if self._has_root():
                (self.root / path).unlink(missing_ok=True)

    def _list(self, folder: str) -> list[str]:
        place = self.root / folder
        for last in (False, True):
            try:
                found = sorted(os.listdir(place))
                self._mark_root_seen()
                return found
            except (FileNotFoundError, NotADirectoryError):
                if last or not self._has_root():
                    break
        return []

    def _mark_root_seen(self) -> None:
        self._may_make_root = False

    def _has_root(self) -> bool:
        """Whether the root exists; called only after something in it was found missing.

        Raises:
            OSError: the root is missing although it existed before or must exist. This is not a
                FileNotFoundError, which would mean that a file in the store is missing.
        """
        # Read the flag before looking: another thread may make the root just after the look.
        may_be_missing = self._may_make_root
        if self.root.is_dir():
            self._mark_root_seen()
            return True
        if not may_be_missing:
            raise OSError(f"storage folder {self.root} is gone")
        return False

    def _make_folder(self, folder: Path) -> None:
        if not self._has_root():
            _make_root(self.root)
        # Folder by folder, so that a root that disappears now is not made again.
        place = self.root
        for part in folder.relative_to(self.root).parts:
            place = place / part
            try:
                place.mkdir()
            except FileExistsError:
                continue
            except FileNotFoundError:
                if place.parent.is_dir():
                    raise _takes_no_folders(place.parent, place) from None
                raise
            _sync_folder(place.parent)

    def _put(self, path: str, data: bytes, publish: Callable[[Path, Path], bool]) -> bool:
        target = self.root / path
        try:
            done = _put(target, data, publish)
        except FileNotFoundError:
            try:
                self._make_folder(target.parent)
                done = _put(target, data, publish)
            except FileNotFoundError as error:
                self._has_root()
                raise OSError(f"{target.parent}: removed while {target.name} was being written") from error
        self._mark_root_seen()
        return done


def _make_root(root: Path) -> None:
    try:
        root.mkdir(parents=True, exist_ok=True)
    except FileNotFoundError:
        above = next((folder for folder in root.parents if folder.is_dir()), None)
        if above is None:
            raise
        raise _takes_no_folders(above, root) from None
    except FileExistsError as error:
        link = next((place for place in (root, *root.parents) if place.is_symlink()), None)
        if link is None or link.exists():
            raise
        what = f"a link to {link.readlink()}, which does not exist"
        raise OSError(error.errno, what, str(link)) from None


def _takes_no_folders(above: Path, folder: Path) -> OSError:
    # Some file systems, such as /proc, say of a new folder that it does not exist.
    return OSError(errno.EOPNOTSUPP, f"no folder can be made in {above}", str(folder))


def local_path(path: str | Path) -> Path:
    """Convert a path given by the user, with ``~`` expanded. Raises InputError for an unknown user."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise InputError(f"{path}: no such user, so ~ has no home folder; write the full path") from None


def unwritable(folder: Path) -> tuple[Path, str] | None:
    """Say where, and why, no file can be made in a folder, or in the nearest one above it that exists.

    Permissions do not tell: in /proc, even root can make no file. The file that is tried has no name.
    """
    folder = folder.absolute()
    present = next(place for place in (folder, *folder.parents) if os.path.exists(place))
    try:
        tempfile.TemporaryFile(dir=present).close()
    except FileNotFoundError:
        return present, reason(_takes_no_folders(present, folder))
    except OSError as error:
        return present, reason(error)
    return None


def _content(place: str) -> bytes:
    # Takes half the time of Path.read_bytes, which matters for tens of thousands of small files.
    with open(place, "rb", buffering=0) as file:
        return file.read()


def _put(target: Path, data: bytes, publish: Callable[[Path, Path], bool]) -> bool:
    """Write ``data`` to a temporary file, sync it to disk, and rename it to ``target`` by ``publish``.

    An error names ``target``, not the temporary file.
    """
    try:
        with _temporary_beside(target) as temporary:
            with _created(temporary) as file:
                file.write(data)
            done = publish(temporary, target)
    except OSError as error:
        error.filename, error.filename2 = str(target), None
        raise
    _sync_folder(target.parent)
    return done


@contextlib.contextmanager
def replacing(target: Path) -> Iterator[BinaryIO]:
    """Open a file that atomically replaces ``target`` if the ``with`` block ends without an error."""
    with _temporary_beside(target) as temporary:
        with _created(temporary) as file:
            yield file
        os.replace(temporary, target)
    _sync_folder(target.parent)


@contextlib.contextmanager
def _temporary_beside(target: Path) -> Iterator[Path]:
    """Yield a new name in the folder of ``target``; after an error, delete the file of that name."""
    temporary = target.parent / f".{target.name}.{secrets.token_hex(8)}"
    try:
        yield temporary
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


@contextlib.contextmanager
def _created(path: Path) -> Iterator[BinaryIO]:
    """Create a file for writing; its content is on the disk at the end of the ``with`` block."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    with os.fdopen(handle, "wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


def _replace(temporary: Path, target: Path) -> bool:
    os.replace(temporary, target)
    return True


def _link(temporary: Path, target: Path) -> bool:
    """Name the file ``target`` unless the name is taken: atomic, also on network file systems."""
    try:
        os.link(temporary, target)
        done = True
    except FileExistsError:
        # NFS also reports this if its first response was lost and ``target`` already is this file.
        done = os.stat(temporary).st_nlink > 1
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        return _reserve(temporary, target)
    with contextlib.suppress(OSError):  # a leftover, not a failure: the target has its name
        os.unlink(temporary)
    return done


def _reserve(temporary: Path, target: Path) -> bool:
    """Do what :func:`_link` does without hard links: reserve the name with an empty file, then replace it.

    A concurrent reader may see the empty file. It stays empty if the process is killed in between.
    """
    try:
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666))
    except FileExistsError:
        os.unlink(temporary)
        return False
    os.replace(temporary, target)
    return True


def _sync_folder(folder: Path) -> None:
    # Makes the rename itself durable. Some network file systems refuse this and do not need it.
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
