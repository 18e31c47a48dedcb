"""A store that fsspec reaches by URL, usually an object store.

The file systems of fsspec differ in these points, according to their sources:

- An object store writes an object completely or not at all. Other file systems (``sftp://``, ``smb://``)
  write in place, so a reader may see half a file.
- ``create`` is one conditional request on S3 (``If-None-Match``), Google and Azure, and is locked here for
  ``memory://``. All others check first and write afterwards, so two concurrent calls may both return True.
- s3fs and gcsfs read the parts of a large file concurrently, and the parts may come from two versions. Here
  one request reads the whole file.
- On object stores a rename is a copy and a delete; a process killed in between leaves both files.
- On S3, making a folder also makes the bucket. Here no bucket is ever made.
"""

from __future__ import annotations

import contextlib
import errno
import re
import secrets
import threading
from collections.abc import Iterator
from typing import Any

from lvae_core.errors import InputError, reason

# File systems (by the first name of their protocol) in which a file needs no folder.
_OBJECT_STORES = {"s3", "gs", "abfs", "memory"}
# Options that make a read a single request.
_ONE_REQUEST = {"s3": {"max_concurrency": 1}, "gs": {"concurrency": 1}, "abfs": {"max_concurrency": 1}}
# Name of the put option that attaches metadata to a file.
_METADATA = {"s3": "Metadata", "gs": "metadata"}
_MARK = "writer"

# Attempts within the libraries (those of botocore times those of s3fs), each as long as its time-out. They
# are few, because the caller should soon learn of a failure and may retry with its own limits.
_S3_CONFIG = {"retries": {"mode": "standard", "total_max_attempts": 2}}
_S3_RETRIES = 1

_OF_AWS = "; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"

# Errors of libraries that lack credentials, and what to do.
_NO_ACCESS = {
    "NoCredentialsError": _OF_AWS,
    "PartialCredentialsError": _OF_AWS,
    "DefaultCredentialsError": "; run `gcloud auth application-default login`",
    "TokenRetrievalError": "; log in again",
}
_NEVER_VALID = {"ParamValidationError"}
# S3's codes for data damaged in transfer: s3fs reports an invalid argument, but a retry may succeed.
_DAMAGED_IN_TRANSFER = {"BadDigest", "IncompleteBody"}
# The codes of servers for a storage that is full, or a quota that is used up, which s3fs does not know:
# of MinIO (both) and of Ceph.
_NO_SPACE = {
    "XMinioStorageFull": errno.ENOSPC,
    "XMinioAdminBucketQuotaExceeded": errno.EDQUOT,
    "QuotaExceeded": errno.EDQUOT,
}

_memory_lock = threading.Lock()


def names_no_bucket(url: str) -> bool:
    """Whether the address of an object store lacks its bucket, or the two slashes in front of it."""
    is_scheme = re.fullmatch(r"[\w+.-]+:/*", url)
    return bool(is_scheme or re.match(r"(s3a?|gs|gcs|az|abfs):(?!//[^/])", url))


class FsspecStore:
    """A store in any file system that fsspec reaches by URL, such as ``s3://bucket/prefix``.

    An object store writes objects atomically, so no temporary names are needed here.

    Raises (every method):
        FileNotFoundError: as in the contract of :class:`Store`.
        PermissionError: credentials are missing or insufficient.
        OSError: any other error of the underlying library, in one line.
    """

    def __init__(self, url: str) -> None:
        try:
            import fsspec
        except ModuleNotFoundError:
            raise InputError(f"{url}: storage by URL needs fsspec; pip install fsspec") from None
        scheme = url.partition("://")[0]
        if names_no_bucket(url):
            raise InputError(f"{url}: names no bucket; give an address such as {scheme}://bucket/prefix")
        self.url = url.rstrip("/")
        options: dict[str, Any] = {"use_listings_cache": False}
        if scheme in ("s3", "s3a"):
            configured = fsspec.config.conf.get(scheme, {}).get("config_kwargs", {})
            options["config_kwargs"] = _S3_CONFIG | configured
        try:
            self._fs, self._root = fsspec.core.url_to_fs(self.url, **options)
        except ImportError as error:
            extra = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs"}.get(scheme)
            install = f"; pip install -c constraints.txt -e '.[{extra}]' installs what is needed"
            raise InputError(f"{url}: {reason(error)}{install if extra else ''}") from None
        except (ValueError, TypeError) as error:  # file systems take an address apart, each in its own way
            raise InputError(f"{url}: not a storage address ({reason(error)})") from None
        except Exception as error:  # some connect at once
            number = error.errno if isinstance(error, OSError) else None
            raise OSError(number or errno.EIO, reason(error), self.url) from error
        names = self._fs.protocol
        self._kind: str = names if isinstance(names, str) else names[0]
        if self._kind == "s3":
            self._fs.retries = _S3_RETRIES

    def _path(self, path: str) -> str:
        return f"{self._root}/{path}" if path else str(self._root)

    def read(self, path: str) -> bytes:
        with _translated_errors():
            data: bytes = self._fs.cat_file(self._path(path), **_ONE_REQUEST.get(self._kind, {}))
        return data

    def write(self, path: str, data: bytes) -> None:
        with _translated_errors():
            self._make_folder(path)
            self._fs.pipe_file(self._path(path), data)

    def create(self, path: str, data: bytes) -> bool:
        # If the response is lost, the library repeats the request and then fails on its own first one. So
        # every file carries a mark of the call that wrote it.
        mark = {_MARK: secrets.token_hex(16)}
        described = {_METADATA[self._kind]: mark} if self._kind in _METADATA else {}
        with _translated_errors(), _memory_lock if self._kind == "memory" else contextlib.nullcontext():
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
        with _translated_errors():
            try:
                self._fs.info(self._path(path))
            except FileNotFoundError as error:
                _assert_bucket(error)
                return False
        return True

    def names(self, path: str = "") -> list[str]:
        folder = self._path(path)
        with _translated_errors():
            try:
                found = (
                    self._names_at_s3(folder) if self._kind == "s3" else self._fs.ls(folder, detail=False)
                )
            except (FileNotFoundError, NotADirectoryError) as error:
                _assert_bucket(error)
                return []
        # Some file systems list a file as if it were a folder that contains itself.
        inside = {str(p).rstrip("/") for p in found} - {folder}
        return sorted(p.rpartition("/")[2] for p in inside)

    def _names_at_s3(self, folder: str) -> list[str]:
        # For a folder without files, s3fs's `ls` also lists the parent folder: for each new run, the whole
        # study.
        from fsspec.asyn import sync

        return [entry["name"] for entry in sync(self._fs.loop, self._fs._lsdir, folder)]

    def leftovers(self, folder: str) -> list[str]:
        return []

    def rename(self, source: str, target: str) -> None:
        with _translated_errors():
            if self._kind in _OBJECT_STORES:
                # Unlike `mv`, these two calls do not interpret special characters in names.
                self._fs.cp_file(self._path(source), self._path(target))
                self._fs.rm_file(self._path(source))
            else:
                self._fs.mv(self._path(source), self._path(target))

    def delete(self, path: str) -> None:
        with _translated_errors():
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
def _translated_errors() -> Iterator[None]:
    """Translate a library's errors to one-line OSErrors that separate transient from permanent ones."""
    try:
        yield
    except OSError as error:
        _assert_bucket(error)
        if _code(error) in _DAMAGED_IN_TRANSFER:
            raise OSError(f"{_code(error)}: {reason(error)}") from error
        if number := _NO_SPACE.get(_code(error)):
            raise OSError(number, reason(error)) from error
        if str(error).startswith("Forbidden:"):  # gcsfs
            raise PermissionError(reason(error)) from error
        raise
    except (InputError, MemoryError):
        raise
    except Exception as error:
        kind = type(error).__name__
        line = f"{kind}: {reason(error)}{_NO_ACCESS.get(kind, '')}"
        if kind in _NO_ACCESS or getattr(error, "code", None) in (401, 403):
            raise PermissionError(line) from error
        if kind in _NEVER_VALID or isinstance(error, ValueError | TypeError | NotImplementedError):
            raise OSError(errno.EINVAL, line) from error
        raise OSError(line) from error


def _assert_bucket(error: OSError) -> None:
    """Raise OSError for a missing bucket, which must not look like a store without files."""
    if _code(error) == "NoSuchBucket":
        raise OSError(errno.EINVAL, "there is no such bucket") from error


def _code(error: BaseException) -> str:
    """S3's code for an error; empty if there is none."""
    response = getattr(error.__cause__, "response", None) or {}
    return str(response.get("Error", {}).get("Code", ""))
