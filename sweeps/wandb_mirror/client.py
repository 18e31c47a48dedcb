"""Send one run to one W&B run through the wandb library.

W&B's step of a line of history is its place in :attr:`Content.history`. An existing W&B run is resumed: the
server says how many lines it has, and only the lines after them are sent.
"""

from __future__ import annotations

import contextlib
import hashlib
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import requests
import wandb
from wandb.sdk.lib.service.service_connection import WandbApiFailedError

from lvae_core.run_folder.folder import DamagedError, RunFolder
from lvae_core.wandb_login import base_url
from sweeps.cluster.replaced import environment
from sweeps.wandb_mirror.content import FAILURE, JOB_TYPE, POINT_METRICS, STEP, Content, is_same_line
from sweeps.wandb_mirror.cursor import Cursor, read_cursor, sole_sender, write_cursor
from sweeps.wandb_mirror.model import artifact_name, copy_model
from sweeps.wandb_mirror.scratch import make_scratch, remove_scratch

INIT_SECONDS, FINISH_SECONDS, CONFIRM_SECONDS, PROBE_SECONDS = 20.0, 20.0, 5.0, 5.0

UPLOAD_SECONDS = 300
"""Longest wait for the upload of a model."""

RETRIES = 10**6
"""Retries of the library: practically unlimited, because the time-outs above bound every wait."""


class UnreachableError(Exception):
    """W&B cannot be reached or rejects what it is sent, for now."""


class DeletedError(Exception):
    """The run was deleted on W&B, which takes no run of its id again."""


_DELETED = "previously created and deleted"
"""Words of the server's answer to the id of a deleted run."""

_LONGEST_NAME = 128
"""Letters of the longest name of a run or a group that W&B takes."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """A W&B project, or a directory that is to be sent there later."""

    project: str
    entity: str | None = None
    """The project's owner; None: the default of the key."""
    mode: Literal["online", "offline"] = "online"
    folder: str = "."
    """Offline: the directory below which ``wandb/offline-run-…`` are written."""

    @property
    def place(self) -> str:
        """The target's name in cursors."""
        project = f"{self.entity or ''}/{self.project}"
        if self.mode == "offline":
            return f"offline {Path(self.folder).absolute()} {project}"
        return f"{base_url()} {project}"


def reachable() -> bool:
    """Whether the server answers, within :data:`PROBE_SECONDS`."""
    try:
        return requests.get(f"{base_url()}/healthz", timeout=PROBE_SECONDS).status_code < 500
    except requests.RequestException:
        return False


class Sender:
    """An open W&B run; :meth:`finish` ends it."""

    def __init__(self, target: Target, content: Content, folder: RunFolder) -> None:
        """Open the W&B run of ``content``; create it if there is none yet.

        Raises:
            UnreachableError: the W&B run cannot be opened now.
            DeletedError: it was deleted; the record of what W&B has of it is cleared.
            BusyError: another process of this machine is sending the run.
        """
        self._target, self._folder, self._content = target, folder, content
        self._stack = contextlib.ExitStack()
        self._stack.enter_context(sole_sender(f"{target.place} {content.id}"))
        try:
            self._cursor = read_cursor(folder, target.place)
            self._scratch = _scratch(target)
            self._stack.callback(remove_scratch, self._scratch)
            self._run = self._open(content)
        except BaseException:
            self._stack.close()
            raise
        self._sent: dict[int, Mapping[str, Any]] = {}
        self.url = str(self._run.project_url or "")
        known = max(self._cursor.lines, self._cursor.rows)
        self._next = known if target.mode == "offline" else int(self._run.starting_step)
        self._has_points = False
        self.disagrees = not self._cursor.agrees(content)
        """Whether the rows already sent differ from the run's current rows; W&B keeps those sent."""

    def _open(self, content: Content) -> wandb.Run:
        online = self._target.mode == "online"
        settings = wandb.Settings(
            **_QUIET,
            init_timeout=INIT_SECONDS,
            finish_timeout=FINISH_SECONDS,
            finish_timeout_raises=True,
            stop_fn=lambda: None,  # "stop run" on W&B's page must not interrupt this process
        )
        try:
            run = wandb.init(
                project=self._target.project,
                entity=self._target.entity,
                id=content.id,
                name=content.name[-_LONGEST_NAME:],  # which ends with the fingerprint
                group=_group(content.group),
                job_type=JOB_TYPE,
                tags=content.tags,
                config=dict(content.config),
                mode=self._target.mode,
                # An offline directory holds only the rows that earlier ones lack.
                resume="allow" if online else None,
                reinit="create_new",
                dir=str(self._scratch),
                settings=settings,
            )
        except wandb.Error as error:
            forget_all()
            if _DELETED in str(error):
                write_cursor(self._folder, self._target.place, Cursor())
                raise DeletedError(_line(error)) from None
            raise UnreachableError(_line(error)) from None
        run.define_metric("epoch", hidden=True)
        run.define_metric("*", step_metric="epoch")
        return run

    def send_history(self, content: Content) -> None:
        """Send the lines that W&B lacks."""
        self._content = content
        if content.points and not self._has_points:
            self._run.define_metric(STEP, hidden=True)
            for name in POINT_METRICS:  # by name: a second pattern beside "*" would have no precedence
                self._run.define_metric(name, step_metric=STEP)
            self._has_points = True
        for place, line in enumerate(content.history):
            if place >= self._next:
                self._run.log(dict(line), step=place, commit=True)
                self._next = place + 1
                self._sent[place] = line
            elif not is_same_line(self._sent.get(place, line), line):
                self.disagrees = True

    def finish(self, content: Content, *, model: bool = False) -> None:
        """Send what is missing and end the W&B run in the state of ``content``.

        Args:
            content: of the run.
            model: also upload the model of a finished run.

        Raises:
            UnreachableError: W&B has not confirmed everything; the rest is sent when it is opened again.
        """
        trouble = ""
        # The rows may have been too few to compare when this was opened.
        self.disagrees |= not self._cursor.agrees(content)
        try:
            self.send_history(content)
            there = self._run.summary.keys()  # type: ignore[no-untyped-call]
            # W&B cannot remove a key from a summary: empty those of an earlier attempt's failure.
            emptied = {key: None for key in FAILURE if key in there and key not in content.summary}
            self._run.summary.update({**content.summary, **emptied})
            if content.state == "preempted":
                self._run.mark_preempting()
            if model:
                trouble = self._upload(content)
            self._run.finish(exit_code=0 if content.state == "finished" else 1)
            if self._target.mode == "online":
                self._confirm(content)
            else:
                self._put_in_place(content)
        except (TimeoutError, wandb.Error, WandbApiFailedError) as error:
            raise UnreachableError(_line(error)) from None
        finally:
            self._stack.close()
        had_model = self._cursor.model and self._cursor.has_numbers_of(content.result_digest)
        has_model = content.state == "finished" and (had_model or (model and not trouble))
        after = Cursor.after(content, self._cursor, model=has_model)
        write_cursor(self._folder, self._target.place, after)
        if trouble:
            raise UnreachableError(f"the model: {trouble}")

    def preempt(self) -> None:
        """End the W&B run as preempted, with the content that was sent last: the run folder is gone.

        Raises:
            UnreachableError: see :meth:`finish`.
        """
        self.finish(replace(self._content, state="preempted"))

    def _upload(self, content: Content) -> str:
        """Upload the model; returns the reason if it fails. W&B makes no second version of what it has."""
        name = artifact_name(content.name)
        about = {"fingerprint": content.id, "best_epoch": content.summary.get("best_epoch")}
        artifact = wandb.Artifact(name, "model", metadata=about)
        try:
            for path in copy_model(self._folder, self._scratch / "model"):
                # Without copies in the user's cache.
                artifact.add_file(str(path), name=path.name, skip_cache=True, policy="immutable")
            self._run.log_artifact(artifact).wait(timeout=UPLOAD_SECONDS)
        except (DamagedError, OSError, ValueError, TimeoutError, wandb.Error, WandbApiFailedError) as error:
            return _line(error)
        return ""

    def _confirm(self, content: Content) -> None:
        """Ask the server what it has: the library reports no error if a request is refused for good."""
        settings = self._run.settings
        path = f"{settings.entity}/{settings.project}/{content.id}"
        deadline = time.monotonic() + CONFIRM_SECONDS
        while True:
            # The library makes a folder there for files of the run.
            with environment({"WANDB_DIR": str(self._scratch)}):
                there = wandb.Api(timeout=int(FINISH_SECONDS)).run(path)
            if there.historyLineCount >= len(content.history) and there.state != "running":
                return
            if time.monotonic() >= deadline:
                raise TimeoutError("W&B does not have all that was sent")
            time.sleep(1.0)

    def _put_in_place(self, content: Content) -> None:
        """Move the complete directory to where ``wandb sync`` looks for it."""
        (made,) = self._scratch.glob("wandb/offline-run-*")
        path = _free(Path(self._target.folder, "wandb", made.name).absolute())
        after = Cursor.after(content, self._cursor)
        write_cursor(self._folder, self._target.place, self._cursor, (str(path), after))
        made.rename(path)

    def drop(self) -> None:
        """Release a run that :func:`forget_all` has ended."""
        self._stack.close()


def forget_all() -> None:
    """Restart the library: otherwise it treats a run that it failed to open as still open."""
    with contextlib.suppress(Exception):
        wandb.teardown(exit_code=1)


_QUIET: Mapping[str, Any] = {
    "console": "off",
    "silent": True,
    "symlink": False,
    "save_code": False,
    "disable_git": True,
    "label_disable": True,
    "program": "lvae",
    "x_save_requirements": False,
    # The mirror's machine need not be the one that trains.
    "x_disable_meta": True,
    "x_disable_stats": True,
    "x_disable_machine_info": True,
    "x_disable_viewer": True,
    "x_file_stream_retry_max": RETRIES,
    "x_file_stream_retry_wait_max_seconds": 30.0,
    "x_graphql_retry_max": RETRIES,
}


def _scratch(target: Target) -> Path:
    """Make a directory for the library's files."""
    # Offline on the target's disk, where a rename moves it; online its files are not needed once sent.
    parent = Path(tempfile.gettempdir() if target.mode == "online" else f"{target.folder}/wandb")
    parent.mkdir(parents=True, exist_ok=True)
    return make_scratch(parent)


def _free(path: Path) -> Path:
    """``path``, or ``path`` with a number if that exists."""
    candidates = (path.with_name(f"{path.name}-{n}") for n in range(1, 10**6))
    return path if not path.exists() else next(c for c in candidates if not c.exists())


def _group(name: str) -> str:
    """The group's name; a long one is cut, and a digest keeps it apart from others that begin alike."""
    if len(name) <= _LONGEST_NAME:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    return f"{name[: _LONGEST_NAME - len(digest) - 1]}-{digest}"


def _line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__
