"""Files of another user, as a fixture for every test; ``tests/conftest.py`` imports it.

Tests usually run as root, for whom no file is closed. Here a process gives up root's power over files of
others, so that it is an ordinary user who happens to have number 0.
"""

import contextlib
import ctypes
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

OTHER = 1234
"""Number of the other user and group, who need not exist."""

AS_ORDINARY_USER = ("setpriv", "--bounding-set", "-chown,-dac_override,-dac_read_search,-fowner")
"""Before a command: it and all that it starts are without root's power over files of others."""

# Of capabilities(7): CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH and CAP_FOWNER.
_OVER_FILES = 0b1111
_VERSION = 0x20080522


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Set(ctypes.Structure):
    _fields_ = tuple((name, ctypes.c_uint32) for name in ("effective", "permitted", "inheritable"))


@contextlib.contextmanager
def ordinary_user() -> Iterator[None]:
    """Give up root's power over files of others in this thread and those it starts, inside the block."""
    libc = ctypes.CDLL(None, use_errno=True)
    header, sets = _Header(_VERSION, 0), (_Set * 2)()
    assert libc.capget(ctypes.byref(header), sets) == 0
    before = sets[0].effective
    sets[0].effective = before & ~_OVER_FILES
    assert libc.capset(ctypes.byref(header), sets) == 0
    try:
        yield
    finally:
        sets[0].effective = before
        assert libc.capset(ctypes.byref(header), sets) == 0


class Theirs:
    """Folders that belong to another user."""

    def take(self, place: Path, folders: int = 0o755, files: int = 0o644) -> None:
        """Give a folder and all in it to the other user, with these permissions."""
        for path in (place, *place.rglob("*")):
            os.chown(path, OTHER, OTHER)
            path.chmod(folders if path.is_dir() else files)

    def give_back(self, place: Path) -> None:
        """Undo :meth:`take`."""
        for path in (place, *place.rglob("*")):
            os.chown(path, os.getuid(), os.getgid())
            path.chmod(0o755 if path.is_dir() else 0o644)

    @staticmethod
    def visit() -> contextlib.AbstractContextManager[None]:
        """Be an ordinary user inside the block."""
        return ordinary_user()


@pytest.fixture
def theirs() -> Theirs:
    if os.geteuid() != 0:
        pytest.skip("only root can give files to another user")
    return Theirs()
