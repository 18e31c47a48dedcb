"""A study: the run folders in one storage location, and the files beside them."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any, TypeVar

from lvae_core.errors import InputError, reason
from lvae_core.run_folder.digests import unseal
from lvae_core.run_folder.folder import DamagedError, RunFolder, move_aside
from lvae_core.run_folder.names import RunName
from lvae_core.storage import retrying
from lvae_core.storage.retrying import RetryingStore
from lvae_core.storage.store import open_store

Parsed = TypeVar("Parsed")


class Study:
    """A named set of runs in one storage location. Commands open it with :func:`open_study`."""

    def __init__(self, url: str, *, create: bool = True, retry_seconds: float = 0.0) -> None:
        """Open the study at ``url``.

        Args:
            url: a path, or an address such as ``s3://bucket/prefix``.
            create: whether a missing folder may be created; if not, it causes an OSError.
            retry_seconds: seconds for which operations on the store are retried.
        """
        store = open_store(url, create=create)
        self.store = RetryingStore(store, retry_seconds) if retry_seconds else store
        self.url = self.store.url
        self.given = url
        """The place as the user wrote it, for lines that repeat it."""

    def run_names(self) -> list[str]:
        """Sorted names of the run folders; other files and folders of the study are ignored."""
        return [name for name in self.store.names() if RunName.parse(name)]

    def run(self, name: str) -> RunFolder:
        """The run folder with this name, which need not exist yet."""
        return RunFolder(self.store, name)

    def read_sealed(
        self, file: str, parse: Callable[[dict[str, Any]], Parsed], remedy: str
    ) -> Parsed | None:
        """Read a sealed file of the study, see lvae_core/run_folder/digests.py; None if there is none.

        Args:
            file: name of the file.
            parse: makes the result of the object in the file; a Python error for a missing or wrong value
                means that the file is damaged.
            remedy: what happens to a damaged file, or what the user can do, for the message.

        Raises:
            DamagedError: the file is not what was written.
            OSError: the storage cannot be read.
        """
        try:
            data = self.store.read(file)
        except (FileNotFoundError, NotADirectoryError):
            return None  # a place that cannot be a study is refused elsewhere
        try:
            return parse(unseal(data))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise DamagedError(f"{self.url}/{file}: damaged, {error}; {remedy}") from None

    def set_aside(self, file: str) -> None:
        """Rename a damaged file of the study so that nothing reads it again."""
        move_aside(self.store, file, f"{file}.damaged")

    def check_writable(self) -> None:
        """Write a probe, read it back and remove it.

        Raises:
            InputError: the storage cannot be written, or does not return what was written.
        """
        probe = f".probe-{uuid.uuid4().hex}"  # several launches may probe at the same time
        try:
            self.store.write(probe, b"probe")
            back = self.store.read(probe)
            self.store.delete(probe)
        except OSError as error:
            raise InputError(
                f"storage {self.url}: cannot be written ({reason(error)}); give another --storage"
            ) from None
        if back != b"probe":
            raise InputError(
                f"storage {self.url}: does not return what was written; give another --storage"
            )


def open_study(url: str, *, create: bool = True) -> Study:
    """Open the study at ``url`` and retry every operation on it through a short outage.

    A command calls this once and passes the study on. Arguments as for :class:`Study`.
    """
    is_web = url.startswith(("http://", "https://"))
    seconds = retrying.WEB_RETRY_SECONDS if is_web else retrying.RETRY_SECONDS
    return Study(url, create=create, retry_seconds=min(seconds, retrying.RETRY_SECONDS))
