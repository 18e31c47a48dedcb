"""Send what is new in the runs of a study. What cannot be sent now is sent later; nothing waits for it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from lvae_core.run_folder.folder import CHECKPOINT, DamagedError
from lvae_core.run_folder.study import Study
from sweeps.wandb_mirror.client import (
    DeletedError,
    Sender,
    Target,
    UnreachableError,
    forget_all,
    reachable,
)
from sweeps.wandb_mirror.content import Content, digest_of, read_content, study_name
from sweeps.wandb_mirror.cursor import BusyError, read_cursor

RETRY_SECONDS = (5.0, 120.0)
"""First and longest pause before W&B is tried again; each pause is twice the one before."""


@dataclass
class Tally:
    """Number of runs that have been sent, and the errors."""

    sent: int = 0
    """Runs of which W&B has everything."""
    running: int = 0
    """Runs under way."""
    left: int = 0
    """Runs that have ended and are still to be sent."""
    deleted: int = 0
    """Runs that were deleted on W&B, so that they cannot be sent."""
    trouble: str = ""
    """The last reason why something is not sent, in one line."""
    url: str = ""
    """Address of the W&B project, if known."""
    disagreeing: int = 0
    """Runs that were trained again with numbers other than those that W&B received and keeps."""


class Mirror:
    """The mirror of one study in one W&B project. Not thread-safe."""

    def __init__(
        self,
        study: Study,
        target: Target,
        *,
        again: bool,
        artifacts: bool,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start without any knowledge of the study.

        Args:
            study: the runs to send.
            target: where they go.
            again: ask W&B even about runs that are known to be sent.
            artifacts: upload the model of every finished run.
            now: a clock.
        """
        self.sent: set[str] = set()
        """Names of the runs of which W&B has everything."""
        self.finished: set[str] = set()
        """Names of those among them that are done, so that nothing changes any more."""
        self._again, self._artifacts = again, artifacts
        self._study, self._target, self._now = study, target, now
        self._running: set[str] = set()
        self._ended: dict[str, None] = {}
        self._deleted: set[str] = set()
        self._open: dict[str, Sender] = {}
        self._disagreeing: set[str] = set()
        self._trouble, self._url = "", ""
        self._retry_at, self._pause = now(), RETRY_SECONDS[0]

    @property
    def place(self) -> str:
        """The name of the target in cursors."""
        return self._target.place

    def follow(self, running: Iterable[str]) -> None:
        """Set which runs are under way now, by name."""
        self._running = set(running) - self._deleted
        self.sent -= self._running
        # A run whose folder was deleted is among neither, although its W&B run is open.
        ended = [*self._ended, *self._open]
        self._ended = {name: None for name in ended if name not in self._running}

    def close(self, names: Iterable[str]) -> None:
        """Note that runs have ended: done, failed, or saved and to be resumed."""
        names = [name for name in names if name not in self._deleted]
        self._ended.update(dict.fromkeys(names))
        self._running.difference_update(names)

    def close_all(self) -> None:
        """Note that no run is under way any more, and have the next step try W&B at once."""
        self.close([*self._running, *self._open])
        self._retry_at = self._now()

    @property
    def waiting(self) -> bool:
        """Whether W&B could not be reached and is not tried for a while."""
        return self._now() < self._retry_at

    def step(self, deadline: float = float("inf")) -> bool:
        """Send what can be sent now; begin no ended run after ``deadline``.

        Returns:
            Whether every ended run is sent.
        """
        if self.waiting:
            return not self._ended
        if self._target.mode == "online" and (self._ended or self._running) and not reachable():
            self._postpone("W&B cannot be reached")
            return not self._ended
        self._trouble = ""
        try:
            refused = not self._finish_all(deadline)
            # Offline directories are written whole at a run's end: `wandb sync` cannot use half of one.
            for name in sorted(self._running) if self._target.mode == "online" else ():
                self._send(name)
            if refused:
                self._postpone(self._trouble)
            else:
                self._pause = RETRY_SECONDS[0]
        except UnreachableError as error:
            self._postpone(str(error))
        except Exception as error:  # the library's own process may die; the mirror restarts it
            self.abandon()
            self._postpone(f"{type(error).__name__}: {error}".partition("\n")[0])
        return not self._ended

    def abandon(self) -> None:
        """Drop all open W&B runs as if this process had died; later steps open them again."""
        self._drop()
        forget_all()

    def tally(self, unreadable: Mapping[str, str] | None = None) -> Tally:
        """Count the runs.

        Args:
            unreadable: name -> trouble of runs that could be neither followed nor closed.
        """
        trouble = self._trouble if self._ended or self._running else ""
        left = {**self._ended, **(unreadable or {})}
        return Tally(
            sent=len(self.sent - left.keys()),
            running=len(self._running),
            left=len(left),
            deleted=len(self._deleted),
            trouble=trouble or next(filter(None, left.values()), ""),
            url=self._url,
            disagreeing=len(self._disagreeing),
        )

    def _finish_all(self, deadline: float) -> bool:
        """Send the runs that have ended; False if W&B refused one, which does not hold up the others."""
        accepted = True
        for name in list(self._ended):
            if self._now() >= deadline:
                break
            try:
                self._finish(name)
            except UnreachableError as error:
                if self._target.mode == "online" and not reachable():
                    raise
                self._trouble, accepted = str(error), False
                self._ended[name] = self._ended.pop(name)  # to the end of the queue
        return accepted

    def _send(self, name: str) -> None:
        try:
            content = read_content(self._study.run(name))
        except (DamagedError, OSError) as error:
            self._trouble = str(error)
            return
        if content is not None and (sender := self._sender(name, content.under_way())):
            sender.send_history(content)

    def _finish(self, name: str) -> None:
        folder = self._study.run(name)
        cursor, opened = read_cursor(folder, self._target.place), name in self._open
        try:
            result = folder.read_json("result.json") if cursor.finished else None
            is_same = result is not None and cursor.has_numbers_of(digest_of(result))
            finished = is_same and cursor.is_finished_in(study_name(folder))
            has_model = is_same and cursor.model and not self._again
            lacks_model = self._artifacts and not has_model and folder.has(CHECKPOINT)
            is_due = opened or self._again or not finished or lacks_model
            content = read_content(folder) if is_due else None
        except (DamagedError, OSError) as error:
            self._trouble = str(error)
            return
        if is_due:
            if content is None:
                if opened:
                    self._open.pop(name).preempt()  # its folder was deleted
                del self._ended[name]  # or it has not started
                return
            model = lacks_model and content.state == "finished"
            if opened or self._again or cursor.digest != content.digest or model:
                sender = self._sender(name, content)
                if sender is None:
                    return
                del self._open[name]
                sender.finish(content, model=model)
                if sender.disagrees:
                    self._disagreeing.add(name)
            finished = content.state == "finished"
        self.sent.add(name)
        if finished:
            self.finished.add(name)
        del self._ended[name]

    def _sender(self, name: str, content: Content) -> Sender | None:
        if name not in self._open:
            try:
                self._open[name] = Sender(self._target, content, self._study.run(name))
            except BusyError as error:
                self._trouble = str(error)
                return None
            except UnreachableError:
                self._drop()  # the library has been restarted, which ended all open W&B runs
                raise
            except DeletedError:
                self._drop()
                self._give_up(name)
                return None
            self._url = self._open[name].url or self._url
        return self._open[name]

    def _give_up(self, name: str) -> None:
        """Send nothing more of a run that was deleted on W&B."""
        self._deleted.add(name)
        self._running.discard(name)
        self._ended.pop(name, None)
        self.sent.discard(name)

    def _drop(self) -> None:
        for sender in self._open.values():
            sender.drop()
        self._open.clear()

    def _postpone(self, reason: str) -> None:
        self._trouble = reason
        self._retry_at = self._now() + self._pause
        self._pause = min(2 * self._pause, RETRY_SECONDS[1])
