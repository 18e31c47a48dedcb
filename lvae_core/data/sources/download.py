"""Download public corpora. Only files with a known hash are kept, each whole or not at all."""

from __future__ import annotations

import contextlib
import functools
import http.client
import io
import sys
import tarfile
import time
import urllib.error
import urllib.request
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePosixPath

from lvae_core.data.sources.public import PUBLIC, Archive, Files, Hashes, MissingError, data_folder, locate
from lvae_core.data.text_files import SPLITS
from lvae_core.errors import InputError, check_name, reason
from lvae_core.messages import is_quiet
from lvae_core.storage.local import replacing

TIMEOUT_SECONDS = 30.0
"""Seconds without a connection or a further byte after which a download is abandoned."""

MAX_BYTES = 64 * 2**20
"""Size limit of a download, and of a file in an archive. Every corpus file is smaller, so a larger one is
the wrong file."""

_CHUNK = 2**16


class PlaceError(InputError):
    """A place cannot be reached or breaks off the transfer. Another place may have the files."""


class WrongFileError(PlaceError):
    """A place lacks one of the files or has a different file of that name. It may have the others."""


def download(
    dataset: str, data_dir: str | Path | None = None, *, base_url: str | None = None
) -> list[Path]:
    """Download the three files of a public corpus to ``<data_dir>/<dataset>/{train,valid,test}.txt``.

    An existing file with a known hash is kept; one with another hash is an error, never replaced. A
    download is verified before it gets its name. A later place is tried if the ones before it fail, and the
    files that arrived before a failure stay, so that the next call fetches only the others.

    Args:
        dataset: a public corpus, such as ``ptb``.
        data_dir: folder of the public corpora; None: $LVAE_DATA_DIR if set, else ``./data``.
        base_url: address of a mirror that serves archives and files under their usual names.

    Returns:
        The three paths. A file that already existed under another usual name keeps that name.

    Raises:
        InputError: no place has the files: a server cannot be reached or lacks the file, or the response is
            cut short, too large or not the usual file; the folder cannot be written; or a different file
            already has the target's name.
    """
    check_name(dataset, PUBLIC, "dataset to download")
    folder = data_folder(data_dir)
    found = {split: path for split in SPLITS if (path := _existing_file(dataset, split, folder))}
    missing = [split for split in SPLITS if split not in found]
    if missing:
        # All folders are checked before the first byte is fetched.
        with _writable(folder / dataset):
            _fetch_all(dataset, missing, folder / dataset, base_url)
    return [found.get(split, folder / dataset / f"{split}.txt") for split in SPLITS]


def _existing_file(dataset: str, split: str, folder: Path) -> Path | None:
    """The split's file if it exists with a known hash, or None if it does not exist."""
    try:
        path = locate(dataset, split, folder)
    except MissingError:
        return None
    try:
        is_usual = PUBLIC[dataset].hashes[split].matches(path.read_bytes())
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({reason(error)}); check the file") from None
    if not is_usual:
        raise InputError(f"{path}: not the usual {dataset} {split} file; move it away or give --data-dir")
    return path


@contextlib.contextmanager
def _writable(folder: Path) -> Iterator[None]:
    """Make ``folder`` for writing; remove it, and new folders above it, if nothing was put into it."""
    new_folders = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise InputError(
            f"{folder}: cannot be written ({reason(error)}); give another --data-dir"
        ) from None
    finally:
        with contextlib.suppress(OSError):  # rmdir fails, as it should, if the folder is not empty
            for path in new_folders:
                path.rmdir()


def _fetch_all(dataset: str, splits: Sequence[str], folder: Path, base_url: str | None) -> None:
    """Fetch the files of ``splits`` into ``folder``, each from the first place that has it."""
    public = PUBLIC[dataset]
    missing = list(splits)
    reasons: list[str] = []
    for place in public.places:
        try:
            for split, read in _files(place, missing, base_url):
                try:
                    content = read(public.hashes[split])
                except WrongFileError as error:
                    reasons.append(str(error))
                    continue
                with replacing(folder / f"{split}.txt") as file:
                    file.write(content)
                missing.remove(split)
        except PlaceError as error:
            reasons.append(str(error))
        if not missing:
            return
    raise InputError(f"{'; '.join(reasons)}; try again, or {public.by_hand}")


def _files(
    place: Archive | Files, splits: Sequence[str], base_url: str | None
) -> Iterator[tuple[str, Callable[[Hashes], bytes]]]:
    """Yield those of ``splits`` that ``place`` has, each with a function that reads and verifies it."""
    # Copies of ``splits``, because the caller removes what has arrived.
    if isinstance(place, Archive):
        url = _address(place.url, base_url)
        archive = _read(url, place.hashes)
        for split in tuple(splits):
            yield split, functools.partial(_member, archive, place.members[split], url)
    else:
        for split in tuple(splits):
            if split in place.urls:
                yield split, functools.partial(_read, _address(place.urls[split], base_url))


def _address(url: str, base_url: str | None) -> str:
    return url if base_url is None else base_url.rstrip("/") + "/" + url.rpartition("/")[2]


def _usual(content: bytes, known: Hashes, source: str) -> bytes:
    if not known.matches(content):
        raise WrongFileError(f"{source}: does not have the {known}: not the usual file, so not kept")
    return content


def _member(archive: bytes, name: str, url: str, known: Hashes) -> bytes:
    """Read and verify the only regular file called ``name`` of a tar archive.

    Nothing is extracted to the paths that the archive names, so none can lead outside a folder. Links and
    special files are ignored.
    """
    try:
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            members = [m for m in tar if m.isreg() and PurePosixPath(m.name).name == name]
            if len(members) != 1:
                raise WrongFileError(f"{url}: has {len(members)} files called {name} instead of one")
            file = tar.extractfile(members[0])
            content = file.read(MAX_BYTES + 1) if file else b""
    except (tarfile.TarError, zlib.error, EOFError, OSError, ValueError) as error:
        raise PlaceError(f"{url}: cannot be unpacked ({error})") from None
    if len(content) > MAX_BYTES:
        raise WrongFileError(f"{name} in {url}: has more than {MAX_BYTES} bytes: not the usual file")
    return _usual(content, known, f"{name} in {url}")


def _read(url: str, known: Hashes) -> bytes:
    """Read and verify the content of ``url``, and print progress on standard error.

    Raises:
        WrongFileError: the server has no such file, or another one.
        PlaceError: it cannot be reached, or breaks off.
    """
    # torch.hub.download_url_to_file has neither a time-out nor a size limit, and reports a truncated file
    # as one with a wrong hash.
    is_live = sys.stderr.isatty() and not is_quiet()
    content = bytearray()
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS) as response:
            expected = int(response.headers.get("Content-Length") or 0)
            start = time.monotonic()
            while chunk := response.read(_CHUNK):
                content += chunk
                if len(content) > MAX_BYTES:
                    raise WrongFileError(
                        f"{url}: sends more than {MAX_BYTES} bytes: not the usual file, so not kept"
                    )
                if is_live:
                    line = _progress(url, len(content), expected, start)
                    print(f"\r{line}", end="", file=sys.stderr, flush=True)
    except InputError:
        raise
    except http.client.IncompleteRead:
        pass  # Reported below, like a connection that simply ends early.
    except (OSError, http.client.HTTPException, ValueError) as error:
        kind = PlaceError
        if isinstance(error, urllib.error.HTTPError):
            error.close()  # It keeps the connection open.
            kind = WrongFileError
        raise kind(f"{url}: cannot be downloaded ({getattr(error, 'reason', None) or error})") from None
    if len(content) < expected:
        raise PlaceError(f"{url}: cut short at {len(content)} of {expected} bytes")
    if not is_quiet():
        print(("\r" if is_live else "") + _progress(url, len(content), expected, start), file=sys.stderr)
    return _usual(bytes(content), known, url)


def _progress(url: str, size: int, expected: int, start: float) -> str:
    if not expected:
        return f"{url}: {size / 1e6:.1f} MB"
    left = (time.monotonic() - start) * (expected - size) / size if size else 0.0
    return f"{url}: {size / 1e6:.1f} of {expected / 1e6:.1f} MB, {left:.0f} s left"
