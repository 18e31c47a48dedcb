"""Follows run folders and sends what is new; what cannot be sent now waits, and nobody waits for it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from lvae_core.run_folder.folder import DamagedError, Study
from sweeps.wandb_mirror.client import Sender, Target, UnreachableError, forget_all, reachable
from sweeps.wandb_mirror.content import Content, read_content
from sweeps.wandb_mirror.cursor import BusyError, read_cursor

RETRY_SECONDS = (5.0, 120.0)
"""W&B is knocked at again after this long when it could not be reached; doubled up to the second."""


@dataclass
class Tally:
    """What has become of the runs."""

    sent: int = 0
    """Runs of which W&B has all there is,"""
    left: int = 0
    """and those that are still to be sent."""
    trouble: str = ""
    """The last reason, in one line."""
    url: str = ""
    """Of the project, where it is known."""
    disagreeing: int = 0
    """Runs that were trained anew with other numbers than W&B was sent, and keeps."""


class Mirror:
    """One study in one W&B project. Not for several threads."""

    def __init__(
        self,
        study: Study,
        target: Target,
        *,
        again: bool = False,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin with nothing.

        Args:
            study: whose runs these are.
            target: where they go.
            again: whether W&B is asked even of runs that are known to be sent.
            now: a clock.
        """
        self._again = again
        self._study, self._target, self._now = study, target, now
        self._running: set[str] = set()
        self._over: dict[str, None] = {}
        self._open: dict[str, Sender] = {}
        self._sent: set[str] = set()
        self._disagreeing: set[str] = set()
        self._trouble, self._url = "", ""
        self._retry_at, self._pause = now(), RETRY_SECONDS[0]

    def follow(self, running: Iterable[str]) -> None:
        """Say which runs are under way now, by name."""
        self._running = set(running)
        self._over = {name: None for name in self._over if name not in self._running}

    def close(self, names: Iterable[str]) -> None:
        """Say that runs have ended: done, failed, or saved to be gone on with."""
        names = list(names)
        self._over.update(dict.fromkeys(names))
        self._running.difference_update(names)

    def close_all(self) -> None:
        """Say that no run is under way any more, and that the next step is to try whatever was before."""
        self.close([*self._running, *self._open])
        self._retry_at = self._now()

    @property
    def waiting(self) -> bool:
        """Whether W&B could not be reached and is left alone for a while."""
        return self._now() < self._retry_at

    def step(self, until: float = float("inf")) -> bool:
        """Send what can be sent now, or before ``until``; whether all that has ended is sent."""
        if self.waiting:
            return not self._over
        if self._target.mode == "online" and (self._over or self._running) and not reachable():
            self._postpone("W&B cannot be reached")
            return not self._over
        try:
            failed = not self._finish_all(until)
            # A directory that is written offline is of use to nobody before it is whole.
            for name in sorted(self._running) if self._target.mode == "online" else ():
                self._send(name)
            if failed:
                self._postpone(self._trouble)
            else:
                self._pause = RETRY_SECONDS[0]
        except UnreachableError as error:
            self._postpone(str(error))
        except Exception as error:  # whatever becomes of the library's own process, the mirror goes on
            self._drop()
            forget_all()
            self._postpone(f"{type(error).__name__}: {error}".partition("\n")[0])
        return not self._over

    def _finish_all(self, until: float) -> bool:
        """End what has ended; whether nothing was refused. What is refused holds up nothing else."""
        well = True
        for name in list(self._over):
            if self._now() >= until:
                break
            try:
                self._finish(name)
            except UnreachableError as error:
                if self._target.mode == "online" and not reachable():
                    raise
                self._trouble, well = str(error), False
                self._over[name] = self._over.pop(name)
        return well

    def tally(self) -> Tally:
        """Where it stands."""
        left = len(self._over) + len(self._running)
        return Tally(len(self._sent), left, self._trouble, self._url, len(self._disagreeing))

    def _send(self, name: str) -> None:
        content = self._read(name)
        if content is not None and (sender := self._sender(name, content.under_way())):
            sender.send_rows(content)

    def _finish(self, name: str) -> None:
        folder = self._study.run(name)
        cursor = read_cursor(folder, self._target.place)
        opened = name in self._open
        if opened or self._again or not cursor.finished:
            content = self._read(name)
            if content is None:
                if not folder.has("config.json"):
                    del self._over[name]  # it was never begun
                return
            if opened or self._again or cursor.digest != content.digest:
                sender = self._sender(name, content)
                if sender is None:
                    return
                del self._open[name]
                sender.finish(content)
                if sender.disagrees:
                    self._disagreeing.add(name)
        self._sent.add(name)
        del self._over[name]

    def _read(self, name: str) -> Content | None:
        try:
            return read_content(self._study.run(name))
        except (DamagedError, OSError) as error:
            self._trouble = str(error)
            return None

    def _sender(self, name: str, content: Content) -> Sender | None:
        if name not in self._open:
            try:
                self._open[name] = Sender(self._target, content, self._study.run(name))
            except BusyError as error:
                self._trouble = str(error)
                return None
            except UnreachableError:
                self._drop()  # the library was started anew, and the others with it
                raise
            self._url = self._open[name].url or self._url
        return self._open[name]

    def _drop(self) -> None:
        for sender in self._open.values():
            sender.drop()
        self._open.clear()

    def _postpone(self, reason: str) -> None:
        self._trouble = reason
        self._retry_at = self._now() + self._pause
        self._pause = min(2 * self._pause, RETRY_SECONDS[1])
