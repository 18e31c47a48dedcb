"""A lease on a run folder: at most one process trains a run, even after crashes and with several launches.

A claim is a file ``claim-<n>.json`` in the run folder; the highest n is in force. The file is created
exclusively, so only one of several competing processes gets it. Its holder rewrites it with a higher
``beat`` every few seconds. To take over from a holder that has ended, a process creates
``claim-<n+1>.json``, which again only one can do. If the former holder is alive after all, it finds the
higher claim before its next write, or that its own claim is gone, and stops.

No two clocks are compared. A claim may be taken over if its process is seen to have ended (on the same
machine), if it belongs to the same launch (which knows what it has lost), or if its beat has not changed
for :data:`STALE_SECONDS` on the observer's own clock.
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
"""Seconds between two renewals of a claim."""

STALE_SECONDS = 60.0
"""Seconds without a renewal after which a claim may be taken over."""

_FILE = re.compile(r"claim-([1-9][0-9]*)\.json")


class HeldError(Exception):
    """Another process holds the claim on the run; the message names it."""

    def __init__(self, folder: RunFolder, state: ClaimState) -> None:
        super().__init__(f"{folder}: under way in {state.holder or 'an unknown process'}")
        self.state = state


class ClaimLostError(Exception):
    """Another process has taken over the run, so this process must not write to it any more."""


@dataclass(frozen=True)
class Holder:
    """A process that trains runs. A restart of the same program is another holder."""

    launch: str
    """Identifier of its sweep. A sweep makes its attempts at a run one after the other."""
    host: str
    machine: str
    """Identifier of one boot of a machine and of one PID namespace on it."""
    pid: int
    started: str
    """Start time of the process in ticks of its machine; a later process with the same PID has another."""

    @staticmethod
    def current(launch: str) -> Holder:
        """Describe the calling process."""
        return Holder(launch, platform.node(), _machine(), os.getpid(), start_ticks(os.getpid()) or "")

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Raises TypeError if a value is missing or has another type."""
        holder = cls(**values)
        texts = (holder.launch, holder.host, holder.machine, holder.started)
        if type(holder.pid) is not int or not all(isinstance(text, str) for text in texts):
            raise TypeError("a value has another type")
        return holder

    def is_gone(self) -> bool:
        """Whether this machine can see that the process has ended."""
        if not self.machine or self.machine != _machine():
            return False
        started = start_ticks(self.pid)
        return started is not None and started != self.started

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


@dataclass(frozen=True)
class ClaimState:
    """A claim at one moment. If two readings some time apart are equal, it was not renewed."""

    number: int
    beat: int
    holder: Holder | None
    """None if the file is damaged."""

    @property
    def is_abandoned(self) -> bool:
        """Whether this machine can see that the process which holds it has ended."""
        return self.holder is not None and self.holder.is_gone()


def read_claim(folder: RunFolder) -> ClaimState | None:
    """Read the claim that is in force; None if there is none."""
    while numbers := _numbers(folder):
        try:
            values = folder.read_json(_file(max(numbers)))
            if values is None:
                continue  # released since the files were listed
            beat = values.pop("beat")
            return ClaimState(max(numbers), beat, Holder.from_dict(values))
        except (DamagedError, KeyError, TypeError):
            return ClaimState(max(numbers), -1, None)
    return None


def is_under_way(folder: RunFolder) -> bool:
    """Whether a process works on the run, or may do so: its claim is not seen to be left behind."""
    claim = read_claim(folder)
    return claim is not None and not claim.is_abandoned


class Claim:
    """The exclusive right to train a run, until :meth:`release` or the end of the ``with`` block."""

    def __init__(self, folder: RunFolder, number: int, holder: Holder) -> None:
        self._folder, self._number, self._holder, self._beat = folder, number, holder, 0
        self._key = _place(folder), number
        self._released = threading.Event()
        self._heartbeat = threading.Thread(
            target=self._keep_renewing, daemon=True, name=f"claim on {folder.name}"
        )
        _held[self._key] = self
        self._heartbeat.start()

    def check(self) -> None:
        """Raise :class:`ClaimLostError` if another process has taken over, even if it has ended since."""
        if max(_numbers(self._folder), default=0) > self._number or not self._is_in_place():
            raise ClaimLostError(f"{self._folder}: taken over by another process")

    def _is_in_place(self) -> bool:
        """Whether its file is there and names it: once it has gone, a later claim may have its number."""
        if _held.get(self._key) is not self:
            return False
        try:
            values = self._folder.read_json(_file(self._number))
        except DamagedError:
            return True  # the next beat writes it anew
        return values is not None and {**values, "beat": 0} == _content(self._holder, 0)

    def release(self) -> None:
        """Give up the claim. If the store cannot be reached, others take over once the claim is stale."""
        self._released.set()
        self._heartbeat.join()
        try:
            with contextlib.suppress(OSError):
                # While its own file is in place, those with lower numbers are of holders that have ended.
                if self._is_in_place():
                    for number in sorted(_numbers(self._folder)):
                        if number <= self._number:
                            self._delete(number)
                _log.info("%s: released claim %d", self._folder, self._number)
        finally:
            if _held.get(self._key) is self:
                del _held[self._key]

    def _delete(self, number: int) -> None:
        # In a sticky folder, an earlier claim of another user stays.
        with contextlib.suppress(PermissionError):
            self._folder.store.delete(f"{self._folder.name}/{_file(number)}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def _keep_renewing(self) -> None:
        while not self._released.wait(HEARTBEAT_SECONDS):
            self._beat += 1
            try:
                self.check_and_renew()
            except OSError as error:  # one missed beat does no harm: the next one may succeed
                _log.info("%s: the claim could not be renewed (%s)", self._folder, error)

    def check_and_renew(self) -> None:
        """Rewrite the claim with its current beat, unless another process has taken over."""
        with contextlib.suppress(ClaimLostError):
            self.check()
            self._folder.write_json(_file(self._number), _content(self._holder, self._beat))


def acquire(folder: RunFolder, launch: str, *, stale: ClaimState | None = None) -> Claim:
    """Claim a run.

    Args:
        folder: the run folder.
        launch: the sweep, or the one command, that this process works for.
        stale: a claim whose holder is known to have ended; it is taken over if it has not changed since.

    Raises:
        HeldError: another process holds the claim, and may be alive.
    """
    holder = Holder.current(launch)
    while True:
        # Or else a thread could see the file of another thread's claim before it is known to be held.
        with _acquiring:
            seen = read_claim(folder)
            if seen is not None and seen != stale and not _may_take_over(folder, seen, holder):
                raise HeldError(folder, seen)
            number = 1 if seen is None else seen.number + 1
            if folder.create_json(_file(number), _content(holder, 0)):
                former = f", taken over from {seen.holder or 'an unknown process'}" if seen else ""
                _log.info("%s: claim %d by %s%s", folder, number, holder, former)
                return Claim(folder, number, holder)


def acquire_patiently(
    folder: RunFolder, launch: str, say: Callable[[str], None], sleep: Callable[[float], None] = time.sleep
) -> Claim:
    """Claim a run as :func:`acquire` does; if it is held, wait until the claim is renewed or stale.

    Raises:
        HeldError: another process holds the claim and has renewed it.
    """
    stale: ClaimState | None = None
    while True:
        try:
            return acquire(folder, launch, stale=stale)
        except HeldError as error:
            if stale is not None and error.state != stale:
                raise
            say(f"{error}; waiting {STALE_SECONDS:g} s to see whether it is alive")
            stale = error.state
            sleep(STALE_SECONDS)


class StaleClaims:
    """Find out by repeated observation which claims are stale."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._first: dict[str, tuple[ClaimState, float]] = {}

    def is_stale(self, run: str, state: ClaimState) -> bool:
        """Whether the claim on ``run`` has not changed for STALE_SECONDS, or its process has ended."""
        if state.is_abandoned:
            return True
        before = self._first.get(run)
        if before is None or before[0] != state:
            self._first[run] = state, self._now()
            return False
        return self._now() - before[1] >= STALE_SECONDS


def is_claim(file: str) -> bool:
    """Whether ``file``, a name in a run folder, names a claim."""
    return _FILE.fullmatch(file) is not None


_acquiring = threading.Lock()

_held: dict[tuple[str, int], Claim] = {}
"""Claims that this process holds, by place and number. One that names this process but is missing here was
left behind."""


def _may_take_over(folder: RunFolder, seen: ClaimState, holder: Holder) -> bool:
    if seen.holder is None:
        return False
    if replace(seen.holder, launch=holder.launch) == holder:
        return (_place(folder), seen.number) not in _held
    return seen.holder.launch == holder.launch or seen.holder.is_gone()


def _place(folder: RunFolder) -> str:
    """The address of a folder, the same by whichever path it was opened."""
    return str(folder) if "://" in str(folder) else os.path.realpath(str(folder))


def _numbers(folder: RunFolder) -> list[int]:
    found = (_FILE.fullmatch(name) for name in folder.store.names(folder.name))
    return [int(match[1]) for match in found if match]


def _file(number: int) -> str:
    return f"claim-{number}.json"


def _content(holder: Holder, beat: int) -> dict[str, Any]:
    return {**asdict(holder), "beat": beat}


def _machine() -> str:
    """Identifier of this boot and PID namespace; if empty, no holder can be seen to have ended."""
    try:
        # Containers on one kernel have separate PID namespaces.
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


def start_ticks(pid: int) -> str | None:
    """Start time of a process in clock ticks since boot; empty if it has ended, None if that is hidden."""
    try:
        # The second field is the program's name in parentheses, which may contain any character.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None if _exists(pid) else ""
    # A zombie has ended; only its exit status has not been read yet.
    return "" if fields[0] in "ZX" else fields[19]


def _exists(pid: int) -> bool:
    """Whether there is a process, also one of another user that /proc hides (its option ``hidepid``)."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # of another user
        pass
    return True
