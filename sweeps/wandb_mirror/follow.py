"""Follow a study: look at its run folders every few seconds and send what is new to W&B.

Claims in the folders show which runs are under way, so this works alongside any launch on any machine that
shares the study. One process at a time follows a study to the same W&B project: it holds a lease in the
study's folder, and others stand by until it ends.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING

from lvae_core.errors import reason
from lvae_core.run_folder.claims import (
    Claim,
    ClaimLostError,
    ClaimState,
    HeldError,
    StaleClaims,
    acquire,
    read_claim,
)
from lvae_core.run_folder.study import Study
from lvae_core.storage.parallel import read_each
from lvae_core.storage.retrying import is_transient
from sweeps.wandb_mirror.lease import lease_folder

if TYPE_CHECKING:  # a sweep reads FLUSH_SECONDS without loading the wandb library
    from sweeps.wandb_mirror.mirror import Mirror, Tally

POLL_SECONDS = 5.0
"""Seconds between two looks at the study."""

REST = 4
"""A pause lasts at least this many times as long as reading all claims took."""

RECHECK_SECONDS = 60.0
"""Seconds after which an unfinished run that no process works on is compared again with what was sent."""

FLUSH_SECONDS = 30.0
"""Longest time of the last push, in seconds."""

LAST_TRIES = 3
"""Attempts at the last push if W&B does not answer."""

_WAKE_SECONDS = 0.2


class Follower:
    """Drive a mirror from the state of the folders of its study. Not thread-safe."""

    def __init__(self, study: Study, mirror: Mirror, now: Callable[[], float] = time.monotonic) -> None:
        """Start without any knowledge of the study.

        Args:
            study: the study to look at; it need not exist yet.
            mirror: the mirror of this study.
            now: a clock.
        """
        self._study, self._mirror, self._now = study, mirror, now
        self._stale_claims = StaleClaims(now)
        self._checked: dict[str, float] = {}
        self._lease_folder = study.run(lease_folder(mirror.place))
        self._lease: Claim | None = None
        self._unreadable: dict[str, str] = {}
        """Name -> trouble of the runs that the last look could not read."""
        self._trouble, self._look_seconds = "", 0.0

    def follow(self, ended: Callable[[], bool], say: Callable[[str], None]) -> None:
        """Look and send until ``ended``.

        Args:
            ended: asked several times per second.
            say: gets a line whenever the numbers of runs change.
        """
        last = ""
        while not ended():
            self.step()
            if (line := self._progress()) != last:
                say(line)
                last = line
            wake_at = self._now() + max(POLL_SECONDS, REST * self._look_seconds)
            while not ended() and self._now() < wake_at:
                time.sleep(_WAKE_SECONDS)

    def step(self) -> None:
        """Look at the study once and send what is new."""
        self._trouble = ""
        try:
            if not self._may_send():
                return
            began = self._now()
            names = self._unfinished()
            claims = dict(zip(names, read_each(self._study.url, self._claim_of, names), strict=True))
            self._look_seconds = self._now() - began
        except OSError as error:
            self._trouble = _unreadable(error)
            return
        self._unreadable = {name: claim for name, claim in claims.items() if isinstance(claim, str)}
        running = {
            name
            for name, claim in claims.items()
            if isinstance(claim, ClaimState) and not self._stale_claims.is_stale(name, claim)
        }
        idle = [name for name in names if name not in running and name not in self._unreadable]
        due = [name for name in idle if self._is_due(name)]
        self._checked.update(dict.fromkeys(due, self._now()))
        self._mirror.follow(running)
        self._mirror.close(due)
        # A long list of runs to send must delay neither the rows of running ones nor the end.
        self._mirror.step(self._now() + POLL_SECONDS)

    def finish(self) -> Tally:
        """Push what is left within :data:`FLUSH_SECONDS`, end all W&B runs and release the lease.

        Runs still under way, such as those of another machine, end as preempted; the next push continues
        them.
        """
        deadline, self._trouble = self._now() + FLUSH_SECONDS, ""
        may_send = True
        try:
            may_send = self._may_send()
            if may_send:
                self._mirror.close(name for name in self._unfinished() if name not in self._unreadable)
        except OSError as error:
            self._trouble = _unreadable(error)
        for _ in range(LAST_TRIES if may_send else 0):
            self._mirror.close_all()
            while not self._mirror.step(deadline) and not self._mirror.waiting and self._now() < deadline:
                time.sleep(_WAKE_SECONDS)
            if not self._mirror.waiting:
                break
            time.sleep(1.0)
        if self._lease is not None:
            self._lease.release()
        tally = self._mirror.tally(self._unreadable)
        late = f"not sent within {FLUSH_SECONDS:.0f} seconds" if tally.left else ""
        tally.trouble = self._trouble or tally.trouble or late
        return tally

    def _unfinished(self) -> list[str]:
        """The runs of which W&B may still lack something."""
        return [name for name in self._study.run_names() if name not in self._mirror.finished]

    def _claim_of(self, name: str) -> ClaimState | str | None:
        """The claim of a process that trains the run, if any; the trouble if the run cannot be read."""
        folder = self._study.run(name)
        try:
            claim = read_claim(folder)
            # A claim on a finished run is of a process that evaluates it again.
            return None if claim is None or folder.has("result.json") else claim
        except OSError as error:
            return run_trouble(name, error)

    def _is_due(self, name: str) -> bool:
        """Whether a run that no process works on should be sent, or compared with what was sent."""
        return name not in self._mirror.sent or self._now() - self._checked[name] >= RECHECK_SECONDS

    def _may_send(self) -> bool:
        """Keep or take the lease; False if another process holds it."""
        try:
            if self._lease is not None:
                self._lease.check()
                return True
            seen = read_claim(self._lease_folder)
            gone = seen if seen and self._stale_claims.is_stale(self._lease_folder.name, seen) else None
            self._lease = acquire(self._lease_folder, uuid.uuid4().hex, stale=gone)
        except HeldError as error:
            self._trouble = f"{error.state.holder or 'another process'} is sending them"
            return False
        except ClaimLostError:
            # This process was suspended, on a laptop for example, and another one has taken over.
            assert self._lease is not None
            self._lease.release()
            self._lease = None
            self._mirror.abandon()
            return False
        except OSError as error:
            if is_transient(error):
                raise
            # The study can be read but not written: work without a lease.
        return True

    def _progress(self) -> str:
        tally = self._mirror.tally(self._unreadable)
        trouble = self._trouble or tally.trouble
        line = f"runs sent: {tally.sent}, under way: {tally.running}, to send: {tally.left}"
        line += f", deleted on W&B: {tally.deleted}" if tally.deleted else ""
        return line + (f" ({trouble})" if trouble else "")


def run_trouble(name: str, error: OSError) -> str:
    """A line on one run that cannot be read, which holds up no other.

    Raises:
        OSError: ``error`` is transient, so it concerns the storage rather than this run.
    """
    if is_transient(error):
        raise error
    return f"{name} cannot be read: {reason(error)}"


def _unreadable(error: OSError) -> str:
    return f"the study cannot be read: {reason(error)}"
