"""A store that fsspec reaches by URL: an object store, mostly.

What fsspec's file systems differ in, and what their sources say of it:

- A put is whole or not at all at object stores. A file system that is none (``sftp://``, ``smb://``) writes
  in place: a reader may see half a file.
- ``create`` is one conditional request at S3 (``If-None-Match``), Google and Azure, and locked here for
  ``memory://``. All others look first and write then: of two who do so at once both may be told True.
- Of a large file s3fs and gcsfs read several parts at the same time, which may be of two versions; here one
  request reads the whole.
- Renaming is copying and deleting at object stores: what is killed in between leaves both.
- Making a folder makes the bucket, too, at S3: here no bucket is ever made.
"""

from __future__ import annotations

import contextlib
import errno
import secrets
import threading
from collections.abc import Iterator
from typing import Any

from lvae_core.errors import InputError

# By the first of the names that a file system goes by: no folders have to be made for a file in it.
_OBJECT_STORES = {"s3", "gs", "abfs", "memory"}
# How to read a file by one request.
_ONE_REQUEST = {"s3": {"max_concurrency": 1}, "gs": {"concurrency": 1}, "abfs": {"max_concurrency": 1}}
# The argument by which a put takes words that describe the file.
_METADATA = {"s3": "Metadata", "gs": "metadata"}
_MARK = "writer"

# Attempts within the libraries (botocore's, times those of s3fs), each as long as its time-out: few, for
# whoever waits wants to know, and may have patience of their own.
_S3_CONFIG = {"retries": {"mode": "standard", "total_max_attempts": 2}}
_S3_RETRIES = 1

_NO_ACCESS = {
    "NoCredentialsError",
    "PartialCredentialsError",
    "DefaultCredentialsError",
    "TokenRetrievalError",
}
_HOPELESS = {"ParamValidationError"}
# S3's words for what was damaged on its way: s3fs calls it an invalid argument, but it may pass.
_DAMAGED_ON_THE_WAY = {"BadDigest", "IncompleteBody"}

_memory_lock = threading.Lock()


class FsspecStore:
    """Any file system that fsspec knows by URL, such as ``s3://bucket/prefix``.

    An object store's put is whole or not at all by itself, so there is no temporary name here.

    Raises (every method):
        FileNotFoundError: as the contract has it.
        PermissionError: there are no credentials, or they do not suffice.
        OSError: anything else that the library underneath raises, in one line.
    """

    def __init__(self, url: str) -> None:
        try:
            import fsspec
        except ModuleNotFoundError:
            raise InputError(f"{url}: storage by URL needs fsspec; pip install fsspec") from None
        scheme, _, place = url.partition("://")
        if not place.strip("/") or (place.startswith("/") and scheme in ("s3", "s3a", "gs", "gcs")):
            raise InputError(f"{url}: names no bucket; give an address such as {scheme}://bucket/prefix")
        self.url = url.rstrip("/")
        options: dict[str, Any] = {"use_listings_cache": False}
        if scheme in ("s3", "s3a"):
            configured = fsspec.config.conf.get(scheme, {}).get("config_kwargs", {})
            options["config_kwargs"] = _S3_CONFIG | configured
        try:
            self._fs, self._root = fsspec.core.url_to_fs(self.url, **options)
        except ImportError as error:
            raise InputError(f"{url}: {error}; install it and try again") from None
        except ValueError as error:
            raise InputError(f"{url}: not a storage address ({error})") from None
        names = self._fs.protocol
        self._kind: str = names if isinstance(names, str) else names[0]
        if self._kind == "s3":
            self._fs.retries = _S3_RETRIES

    def _path(self, path: str) -> str:
        return f"{self._root}/{path}" if path else str(self._root)

    def read(self, path: str) -> bytes:
        with _as_os_errors():
            data: bytes = self._fs.cat_file(self._path(path), **_ONE_REQUEST.get(self._kind, {}))
        return data

    def write(self, path: str, data: bytes) -> None:
        with _as_os_errors():
            self._make_folder(path)
            self._fs.pipe_file(self._path(path), data)

    def create(self, path: str, data: bytes) -> bool:
        # The library may send a request again whose answer was lost, and be told of its own first one. So a
        # file tells who wrote it.
        mark = {_MARK: secrets.token_hex(16)}
        described = {_METADATA[self._kind]: mark} if self._kind in _METADATA else {}
        with _as_os_errors(), _memory_lock if self._kind == "memory" else contextlib.nullcontext():
            self._make_folder(path)
            try:
                self._fs.pipe_file(self._path(path), data, mode="create", **described)
            except OSError as error:
                if not (
                    isinstance(error, FileExistsError) or _code(error) in ("PreconditionFailed", "412")
                ):
                    raise
                return bool(described) and self._mark_of(path) == mark[_MARK]
        return True

    def exists(self, path: str) -> bool:
        with _as_os_errors():
            try:
                self._fs.info(self._path(path))
            except FileNotFoundError as error:
                _assert_bucket(error)
                return False
        return True

    def names(self, path: str = "") -> list[str]:
        folder = self._path(path)
        with _as_os_errors():
            try:
                found = (
                    self._names_at_s3(folder) if self._kind == "s3" else self._fs.ls(folder, detail=False)
                )
            except (FileNotFoundError, NotADirectoryError) as error:
                _assert_bucket(error)
                return []
        # Of a file, some file systems list the file itself.
        inside = {str(p).rstrip("/") for p in found} - {folder}
        return sorted(p.rpartition("/")[2] for p in inside)

    def _names_at_s3(self, folder: str) -> list[str]:
        # Its `ls` is this and, of a folder without files, a listing of the one above: for each new run, of
        # the whole study.
        from fsspec.asyn import sync

        return [entry["name"] for entry in sync(self._fs.loop, self._fs._lsdir, folder)]

    def leftovers(self, folder: str) -> list[str]:
        return []

    def rename(self, source: str, target: str) -> None:
        with _as_os_errors():
            if self._kind in _OBJECT_STORES:
                # Unlike `mv`, these two take every character of a name as it is.
                self._fs.cp_file(self._path(source), self._path(target))
                self._fs.rm_file(self._path(source))
            else:
                self._fs.mv(self._path(source), self._path(target))

    def delete(self, path: str) -> None:
        with _as_os_errors():
            try:
                self._fs.rm_file(self._path(path))
            except FileNotFoundError as error:
                _assert_bucket(error)

    def _make_folder(self, path: str) -> None:
        if self._kind not in _OBJECT_STORES:
            self._fs.makedirs(self._path(path).rpartition("/")[0], exist_ok=True)

    def _mark_of(self, path: str) -> str | None:
        try:
            mark: str | None = self._fs.getxattr(self._path(path), _MARK)
        except (FileNotFoundError, KeyError):
            return None
        return mark


@contextlib.contextmanager
def _as_os_errors() -> Iterator[None]:
    """What a library raises, as an OSError of one line that tells what may pass from what will not."""
    try:
        yield
    except OSError as error:
        _assert_bucket(error)
        if _code(error) in _DAMAGED_ON_THE_WAY:
            raise OSError(f"{_code(error)}: {_line(error)}") from error
        if str(error).startswith("Forbidden:"):  # gcsfs
            raise PermissionError(_line(error)) from error
        raise
    except (InputError, MemoryError):
        raise
    except Exception as error:
        kind = type(error).__name__
        line = f"{kind}: {_line(error)}"
        if kind in _NO_ACCESS or getattr(error, "code", None) in (401, 403):
            raise PermissionError(line) from error
        if kind in _HOPELESS or isinstance(error, ValueError | TypeError | NotImplementedError):
            raise OSError(errno.EINVAL, line) from error
        raise OSError(line) from error


def _assert_bucket(error: OSError) -> None:
    """A bucket that is not there is no store without files."""
    if _code(error) == "NoSuchBucket":
        raise OSError(errno.EINVAL, "there is no such bucket") from error


def _line(error: Exception) -> str:
    return " ".join((getattr(error, "strerror", None) or str(error)).split())


def _code(error: BaseException) -> str:
    """S3's word for an error; empty where there is none."""
    response = getattr(error.__cause__, "response", None) or {}
    return str(response.get("Error", {}).get("Code", ""))
