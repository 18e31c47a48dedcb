"""The record of what has been sent of a run and where to: ``wandb.json`` in the run folder.

It is written after W&B has confirmed, so it never claims too much. It may claim too little, if it is lost
or a process died before writing it; W&B itself is therefore asked what it has before anything is sent.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from lvae_core.errors import InputError
from lvae_core.run_folder.folder import DamagedError, RunFolder, metrics_sha256
from sweeps.wandb_mirror.content import Content

FILE = "wandb.json"


class BusyError(Exception):
    """Another process of this machine is sending the same run."""


@dataclass(frozen=True)
class Cursor:
    """The part of a run that one target has received."""

    rows: int = 0
    """The number of rows of metrics.jsonl that the target has."""
    rows_sha256: str = ""
    """The digest of these rows."""
    digest: str = ""
    """:attr:`Content.digest` of what was sent last."""
    finished: bool = False
    """Whether that was a finished run, which does not change any more."""
    lines: int = 0
    """The number of lines of the history that the target has; 0 in records of earlier versions."""
    model: bool = False
    """Whether the target has the model of the finished run, as an artifact."""
    study: str = ""
    """The name of the study that the run was in; "" in records of earlier versions."""
    result_digest: str = ""
    """:attr:`Content.result_digest` of a finished run; "" in records of earlier versions."""

    @staticmethod
    def after(content: Content, before: Cursor | None = None, *, model: bool = False) -> Cursor:
        """The cursor of a target that has all of ``content``, and perhaps the model.

        Args:
            content: of the run.
            before: the cursor until now. A target keeps rows and lines that the run no longer has.
            model: whether the target has the model.
        """
        before = before or Cursor()
        keeps = before.rows > len(content.rows)
        return Cursor(
            before.rows if keeps else len(content.rows),
            before.rows_sha256 if keeps else metrics_sha256(content.rows),
            content.digest,
            content.state == "finished",
            max(before.lines, len(content.history)),
            model,
            content.config["study"],
            content.result_digest,
        )

    def is_finished_in(self, study: str) -> bool:
        """Whether the target has a finished run, and that it belongs to ``study``.

        A study may be renamed or copied after its runs were sent; reports select runs by study.
        """
        return self.finished and self.study in ("", study)

    def has_numbers_of(self, result_digest: str) -> bool:
        """Whether the target has the numbers of a finished run, given its :attr:`Content.result_digest`.

        A run may be trained anew in its folder after it was sent.
        """
        return self.finished and self.result_digest in ("", result_digest)

    def agrees(self, content: Content) -> bool:
        """Whether the rows that were sent are still rows of the run, or may become so again."""
        rows = content.rows[: self.rows]
        if len(rows) < self.rows:
            return content.state != "finished"
        return not self.rows or metrics_sha256(rows) == self.rows_sha256


def read_cursor(folder: RunFolder, place: str) -> Cursor:
    """Read what ``place`` has of the run; an empty cursor if that is unknown."""
    found = _places(folder).get(place, {})
    try:
        if found["pending"]:
            # A process died around the rename: the directory is either there, complete, or not at all.
            path, promised = found["pending"]
            if Path(path).exists():
                return Cursor(**promised)
        return Cursor(**found["cursor"])
    except (KeyError, TypeError, ValueError):
        return Cursor()


def write_cursor(
    folder: RunFolder, place: str, cursor: Cursor, pending: tuple[str, Cursor] | None = None
) -> None:
    """Record what ``place`` has of the run, unless its folder has been deleted.

    A store that cannot be written does no harm: W&B knows what it has.

    Args:
        folder: the run folder.
        place: the name of the target.
        cursor: what the target has now.
        pending: a path that is about to appear, and what the target has from then on.
    """
    entry = {"cursor": asdict(cursor), "pending": (pending[0], asdict(pending[1])) if pending else None}
    with contextlib.suppress(OSError):
        # Writing to a folder that has been deleted would make it again.
        if not (folder.has("config.json") or folder.has("result.json")):
            return
        folder.write_json(FILE, {"places": {**_places(folder), place: entry}})


def _places(folder: RunFolder) -> dict[str, Any]:
    try:
        places = (folder.read_json(FILE) or {}).get("places")
    except (DamagedError, OSError):
        places = None
    return places if isinstance(places, dict) else {}


@contextlib.contextmanager
def sole_sender(identity: str) -> Iterator[None]:
    """Be the only process of this machine that sends a run; the lock ends with the process.

    Raises:
        BusyError: another process sends it.
        InputError: the folder of the locks belongs to another user.
    """
    digest = hashlib.sha256(identity.encode()).hexdigest()[:24]
    folder = Path(tempfile.gettempdir(), f"lvae-wandb-{os.getuid()}")
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid != os.getuid():
        raise InputError(f"{folder}: belongs to another user; set TMPDIR to a folder of yours")
    path = folder / digest
    try:
        with FileLock(path, timeout=0, thread_local=False, fallback_to_soft=False):
            try:
                yield
            finally:
                path.unlink(missing_ok=True)  # while it is locked, so no other process can hold it
    except Timeout:
        raise BusyError("another process is sending it") from None
