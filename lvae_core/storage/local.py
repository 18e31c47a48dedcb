"""A store that is a folder of this machine, or one that several machines share."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
from collections.abc import Callable
from pathlib import Path

from lvae_core.errors import InputError

# What a write names its file before it is whole.
_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{16}")
# How file systems without hard links (exFAT, some in user space) refuse to make one.
_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS}


class LocalStore:
    """A folder of this machine, or one that several machines share.

    Args:
        root: the folder. It need not exist yet where ``create`` is true.
        create: whether the first write may make the root folder. A root that this object has once seen is
            never made anew: where it is gone (a disk that is not mounted, say), every operation raises an
            OSError that says so, and no operation takes the place for an empty one.
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
            data = _content(place)  # the root may have come back in between
        self._seen()
        return data

    def write(self, path: str, data: bytes) -> None:
        self._put(path, data, _replace)

    def create(self, path: str, data: bytes) -> bool:
        if os.path.lexists(self.root / path):
            self._seen()
            return False
        return self._put(path, data, _link)

    def exists(self, path: str) -> bool:
        place = self.root / path
        if not place.exists():
            return self._has_root() and place.exists()
        self._seen()
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
        self._seen()

    def delete(self, path: str) -> None:
        try:
            (self.root / path).unlink()
            self._seen()
        except FileNotFoundError:
            if self._has_root():
                (self.root / path).unlink(missing_ok=True)

    def _list(self, folder: str) -> list[str]:
        place = self.root / folder
        for last in (False, True):
            try:
                found = sorted(os.listdir(place))
                self._seen()
                return found
            except (FileNotFoundError, NotADirectoryError):
                if last or not self._has_root():
                    break
        return []

    def _seen(self) -> None:
        self._may_make_root = False

    def _has_root(self) -> bool:
        """Whether the root is there; asked only where something else was found missing.

        Raises:
            OSError: it has been there, or must be. Not FileNotFoundError: that says what a store holds.
        """
        # As it was before the look: another thread may make the root just after it.
        may_be_missing = self._may_make_root
        if self.root.is_dir():
            self._seen()
            return True
        if not may_be_missing:
            raise OSError(f"storage folder {self.root} is gone")
        return False

    def _make_folder(self, folder: Path) -> None:
        if not self._has_root():
            self.root.mkdir(parents=True, exist_ok=True)
        # One by one, so that a root that goes now is not made anew.
        place = self.root
        for part in folder.relative_to(self.root).parts:
            place = place / part
            with contextlib.suppress(FileExistsError):
                place.mkdir()
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
                raise OSError(f"{target.parent}: went away while {target.name} was written") from error
        self._seen()
        return done


def local_path(path: str | Path) -> Path:
    """A path as the user wrote it, with ``~`` resolved. Raises InputError where that names nobody."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise InputError(f"{path}: there is no such user's home; write the path out") from None


def _content(place: str) -> bytes:
    # As Path.read_bytes in half its time: a study has tens of thousands of small files.
    with open(place, "rb", buffering=0) as file:
        return file.read()


def _put(target: Path, data: bytes, publish: Callable[[Path, Path], bool]) -> bool:
    """Write ``data`` beside ``target`` to the disk itself, then give it its name by ``publish``."""
    temporary = target.parent / f".{target.name}.{secrets.token_hex(8)}"
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        done = publish(temporary, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    _sync_folder(target.parent)
    return done


def _replace(temporary: Path, target: Path) -> bool:
    os.replace(temporary, target)
    return True


def _link(temporary: Path, target: Path) -> bool:
    """Name the file ``target`` unless that is taken: an atomic step, on network file systems as well."""
    try:
        os.link(temporary, target)
        done = True
    except FileExistsError:
        # NFS says so, too, where its first answer was lost and it is this file that is there.
        done = os.stat(temporary).st_nlink > 1
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        return _reserve(temporary, target)
    with contextlib.suppress(OSError):  # a leftover, no failure: the name is given
        os.unlink(temporary)
    return done


def _reserve(temporary: Path, target: Path) -> bool:
    """As :func:`_link` where there are no links, with less: whoever looks at once sees an empty file.

    It stays empty where the process is killed in between.
    """
    try:
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666))
    except FileExistsError:
        os.unlink(temporary)
        return False
    os.replace(temporary, target)
    return True


def _sync_folder(folder: Path) -> None:
    # Makes the rename itself durable; some network file systems refuse, and lose nothing by it.
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
