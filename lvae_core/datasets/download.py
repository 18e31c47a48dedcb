"""Fetch a public corpus, and keep only what has the expected hash."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import os
import sys
import tempfile
import urllib.error
import urllib.request
from pathlib import Path
from typing import IO

from lvae_core.config import InputError, check_name
from lvae_core.datasets.public import PUBLIC, data_folder
from lvae_core.datasets.text import SPLITS

TIMEOUT_SECONDS = 30.0
"""Without an answer, or without another byte, for so long: given up."""
MAX_BYTES = 64 * 2**20
"""No file of a corpus is larger; an address that sends more is not the corpus."""

_CHUNK = 2**16


def download(
    dataset: str, data_dir: str | Path | None = None, *, base_url: str | None = None
) -> list[Path]:
    """Bring the three files of a public corpus to ``<data_dir>/<dataset>/{train,valid,test}.txt``.

    A file that is already there with the expected hash is left as it is. A new one is written beside its
    place and renamed into it once its SHA-256 is found right, so that nothing wrong is ever left behind.

    Args:
        dataset: a public corpus that has an address, such as ``ptb``.
        data_dir: the folder of the public corpora; None: $LVAE_DATA_DIR, else ``./data``.
        base_url: take the files from this address instead, under their usual names (a mirror).

    Returns:
        The three paths.

    Raises:
        InputError: the dataset has no address, the server cannot be reached or does not have the file,
            what it sends is cut short, too large or not the expected file, or the folder cannot be written.
    """
    check_name(dataset, PUBLIC, "dataset to download")
    public = PUBLIC[dataset]
    folder = data_folder(data_dir)
    if public.url is None:
        raise InputError(f"{dataset}: {public.remedy.format(data_dir=folder, split='train')}")
    paths = []
    for split in SPLITS:
        url = public.url.format(split=split)
        if base_url is not None:
            url = base_url.rstrip("/") + "/" + url.rpartition("/")[2]
        target = folder / dataset / f"{split}.txt"
        if not _has_hash(target, public.sha256[split]):
            _fetch(url, target, public.sha256[split])
        paths.append(target)
    return paths


def _has_hash(path: Path, sha256: str) -> bool:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest() == sha256
    except FileNotFoundError:
        return False
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check the file") from None


def _fetch(url: str, target: Path, sha256: str) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    except OSError as error:
        raise InputError(
            f"{target.parent}: cannot be written ({error.strerror}); give --data-dir"
        ) from None
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            found = _stream(url, file)
        if found != sha256:
            raise InputError(
                f"{url}: SHA-256 {found[:8]}… instead of {sha256[:8]}…, not the usual file; nothing was kept"
            )
        # mkstemp makes files for their owner alone; a data folder is often shared.
        temporary.chmod(0o644)
        temporary.replace(target)
    except OSError as error:
        raise InputError(f"{target}: cannot be written ({error.strerror}); free some space") from None
    finally:
        # Gone already where the rename succeeded; else it must not stay, whatever went wrong.
        with contextlib.suppress(OSError):
            temporary.unlink()


def _stream(url: str, file: IO[bytes]) -> str:
    """Copy what ``url`` sends into ``file``; return its SHA-256."""
    digest, size = hashlib.sha256(), 0
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS) as response:
            expected = int(response.headers.get("Content-Length") or 0)
            while chunk := response.read(_CHUNK):
                size += len(chunk)
                if size > MAX_BYTES:
                    raise InputError(f"{url}: sends more than {MAX_BYTES >> 20} MiB, not the usual file")
                digest.update(chunk)
                file.write(chunk)
                _progress(url, size, expected)
    except (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError) as error:
        reason = getattr(error, "reason", None) or error
        raise InputError(f"{url}: cannot be downloaded ({reason}); try again or give --data-dir") from None
    finally:
        if size:
            print(file=sys.stderr)
    if size < expected:
        raise InputError(f"{url}: cut short at {size} of {expected} bytes; try again")
    return digest.hexdigest()


def _progress(url: str, size: int, expected: int) -> None:
    of = f" of {expected / 1e6:.1f}" if expected else ""
    print(f"\r{url}: {size / 1e6:.1f}{of} MB", end="", file=sys.stderr, flush=True)
