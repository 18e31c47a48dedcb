"""Who is at work on a run: one process at a time, whatever dies and however many launches there are.

A claim is a file ``claim-<n>.json`` in the run folder; the highest n counts. It comes about by an exclusive
create, so of many who try one gets it, and its holder writes it anew with a higher ``beat`` every few
seconds. To take over from a holder that is gone is to create ``claim-<n+1>.json``, which again only one can
do; should the former holder live after all, it sees the higher claim before it writes and lets go.

No two clocks are compared. A holder is gone where its process is seen to be (on the same machine), where it
belongs to the same launch (which knows what it has lost), or where the beat has stood still for
:data:`STALE_SECONDS` of the observer's own time.
"""

from __future__ import annotations

import contextlib
import logging
import os
import platform
import re
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from lvae_core.run_folder.folder import DamagedError, RunFolder

_log = logging.getLogger("lvae.run_folder")

HEARTBEAT_SECONDS = 10.0
STALE_SECONDS = 60.0

_FILE = re.compile(r"claim-([1-9][0-9]*)\.json")


class HeldError(Exception):
    """Somebody else is at work on the run; the message says who."""

    def __init__(self, folder: RunFolder, state: ClaimState) -> None:
        super().__init__(f"{folder}: under way in {state.holder or 'an unknown process'}")
        self.state = state


class ClaimLostError(Exception):
    """Somebody else has taken the run over, thinking this process gone; nothing more may be written."""


@dataclass(frozen=True)
class Holder:
    """A process that works on runs. Another start of the same program is another holder."""

    launch: str
    """Of the sweep it belongs to; its attempts at one run follow each other."""
    host: str
    machine: str
    """A boot of a machine and a space of process numbers on it."""
    pid: int
    started: str
    """When the process began, as its machine counts; tells it from a later one of the same number."""

    @staticmethod
    def current(launch: str) -> Holder:
        """The process that calls."""
        return Holder(launch, platform.node(), _machine(), os.getpid(), _started(os.getpid()))

    def is_gone(self) -> bool:
        """Whether it can be seen from here to have ended."""
        return bool(self.machine) and self.machine == _machine() and _started(self.pid) != self.started

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


@dataclass(frozen=True)
class ClaimState:
    """A claim as it was seen: the same twice, some time apart, is a heart that does not beat."""

    number: int
    beat: int
    holder: Holder | None
    """None where the file is damaged."""


def look(folder: RunFolder) -> ClaimState | None:
    """The claim that counts, or None."""
    while numbers := _numbers(folder):
        try:
            values = folder.read_json(_file(max(numbers)))
            if values is None:
                continue  # released between the two looks
            beat = values.pop("beat")
            return ClaimState(max(numbers), beat, Holder(**values))
        except (DamagedError, KeyError, TypeError):
            return ClaimState(max(numbers), -1, None)
    return None


class Claim:
    """A run that this process alone works on, until :meth:`release` or the end of the ``with`` block."""

    def __init__(self, folder: RunFolder, number: int, holder: Holder) -> None:
        self._folder, self._number, self._holder, self._beat = folder, number, holder, 0
        self._over = threading.Event()
        self._heart = threading.Thread(target=self._live, daemon=True, name=f"claim on {folder.name}")
        _held.add(self._key)
        self._heart.start()

    def check(self) -> None:
        """Raise :class:`ClaimLostError` if somebody has taken over."""
        if max(_numbers(self._folder), default=0) > self._number:
            raise ClaimLostError(f"{self._folder}: taken over by another process")

    def release(self) -> None:
        """Let others have the run. Where the store is out of reach, they will find out by themselves."""
        self._over.set()
        self._heart.join()
        _held.discard(self._key)
        with contextlib.suppress(OSError):
            for number in sorted(_numbers(self._folder)):
                if number <= self._number:
                    self._folder.store.delete(f"{self._folder.name}/{_file(number)}")
            _log.info("%s: released claim %d", self._folder, self._number)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    @property
    def _key(self) -> tuple[str, int]:
        return str(self._folder), self._number

    def _live(self) -> None:
        while not self._over.wait(HEARTBEAT_SECONDS):
            self._beat += 1
            try:
                self.check_and_beat()
            except OSError as error:  # a beat that is missed is no worse than a late one
                _log.info("%s: the claim could not be renewed (%s)", self._folder, error)

    def check_and_beat(self) -> None:
        """Write the claim anew, unless somebody has taken over."""
        with contextlib.suppress(ClaimLostError):
            self.check()
            self._folder.write_json(_file(self._number), _content(self._holder, self._beat))


def acquire(folder: RunFolder, launch: str, *, gone: ClaimState | None = None) -> Claim:
    """Claim a run.

    Args:
        folder: of the run.
        launch: the sweep, or the one command, that this process works for.
        gone: a claim whose holder is known to be gone, if it is still there as it was seen.

    Raises:
        HeldError: somebody else is at work on it, or may be.
    """
    holder = Holder.current(launch)
    while True:
        seen = look(folder)
        if seen is not None and seen != gone and not _may_take_over(folder, seen, holder):
            raise HeldError(folder, seen)
        number = 1 if seen is None else seen.number + 1
        if folder.create_json(_file(number), _content(holder, 0)):
            former = f", taken over from {seen.holder or 'an unknown process'}" if seen else ""
            _log.info("%s: claim %d by %s%s", folder, number, holder, former)
            return Claim(folder, number, holder)


def acquire_patiently(
    folder: RunFolder, launch: str, say: Callable[[str], None], sleep: Callable[[float], None] = time.sleep
) -> Claim:
    """Like :func:`acquire`, but watch another's claim until it is seen to beat or to stand still.

    Raises:
        HeldError: it beats.
    """
    gone: ClaimState | None = None
    while True:
        try:
            return acquire(folder, launch, gone=gone)
        except HeldError as error:
            if gone is not None and error.state != gone:
                raise
            say(f"{error}; waiting {STALE_SECONDS:g} s for a sign of life")
            gone = error.state
            sleep(STALE_SECONDS)


class Pulse:
    """Tells from repeated looks which claims stand still."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._first: dict[str, tuple[ClaimState, float]] = {}

    def is_stale(self, run: str, state: ClaimState) -> bool:
        """Whether the claim on ``run`` has been the same for STALE_SECONDS, or its process has ended."""
        if state.holder is not None and state.holder.is_gone():
            return True
        before = self._first.get(run)
        if before is None or before[0] != state:
            self._first[run] = state, self._now()
            return False
        return self._now() - before[1] >= STALE_SECONDS


def is_claim(file: str) -> bool:
    """Whether a file of a run folder is a claim."""
    return _FILE.fullmatch(file) is not None


_held: set[tuple[str, int]] = set()
"""Claims of this process that are in force: one that is not was copied or left behind."""


def _may_take_over(folder: RunFolder, seen: ClaimState, holder: Holder) -> bool:
    if seen.holder is None:
        return False
    if replace(seen.holder, launch=holder.launch) == holder:
        return (str(folder), seen.number) not in _held
    return seen.holder.launch == holder.launch or seen.holder.is_gone()


def _numbers(folder: RunFolder) -> list[int]:
    found = (_FILE.fullmatch(name) for name in folder.store.names(folder.name))
    return [int(match[1]) for match in found if match]


def _file(number: int) -> str:
    return f"claim-{number}.json"


def _content(holder: Holder, beat: int) -> dict[str, Any]:
    return {**asdict(holder), "beat": beat}


def _machine() -> str:
    """Empty where the system does not tell: nobody can then be seen to be gone."""
    try:
        # Containers on one kernel have process numbers of their own.
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


def _started(pid: int) -> str:
    """The start of a process in clock ticks since the boot; empty where there is no such process."""
    try:
        # The second field is the program's name, in parentheses and with whatever in it.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    # A zombie has ended: nobody has asked for its exit status yet, that is all.
    return "" if fields[0] in "ZX" else fields[19]
