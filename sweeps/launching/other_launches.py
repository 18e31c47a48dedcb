"""Runs that another launch is at work on: watched until they are done, or free to be taken over."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from lvae_core.errors import InputError
from lvae_core.run_folder.claims import ClaimState, StaleClaims, read_claim
from lvae_core.run_folder.folder import DamagedError, RunFolder, Study
from lvae_core.storage.parallel import read_each
from sweeps.launching.board import Board
from sweeps.planning.plan import PlannedRun

LOOK_SECONDS = 5.0
"""Between two looks at the claims of others."""


@dataclass(frozen=True)
class _Seen:
    """One read_claim at a run: its claim, and where it has none its result or failure."""

    claim: ClaimState | None
    result: Mapping[str, Any] | None = None
    failure: Mapping[str, Any] | None = None


class OtherLaunches:
    """Keeps ``board.held`` true. What it finds abandoned goes back to ``board.waiting``."""

    def __init__(
        self,
        study: Study,
        board: Board,
        runs: Iterable[PlannedRun],
        say: Callable[[str], None],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._study, self._board, self._say, self._now = study, board, say, now
        # While runs are under way nothing waits for a store that fails: the next read_claim will tell.
        self._glance = Study(study.url, create=False)
        self._known = {run.name: run.failure for run in runs if run.begun}
        self._stale_claims = StaleClaims(now)
        self._looked = -LOOK_SECONDS
        self.gone: dict[str, ClaimState] = {}
        """Run -> claim of a holder that is gone: what a run may be taken over from."""

    def begin(self) -> None:
        """Keep back the runs whose claims may be alive.

        Raises:
            InputError: the storage cannot be read.
        """
        try:
            seen = self._see(self._study, self._known)
        except OSError as error:
            raise InputError(
                f"storage {self._study.url}: cannot be read ({error.strerror or error})"
            ) from None
        label = self._board.label
        for name, one in seen.items():
            if one.claim is not None and not self._is_gone(name, one.claim):
                self._board.hold(name)
                self._say(f"{label(name)}: under way in {one.claim.holder or 'another process'}")

    def held(self, name: str) -> None:
        """An actor found the run claimed."""
        self._known.setdefault(name, None)

    def look(self) -> None:
        """See what has become of the runs elsewhere, if it is time for that."""
        if not self._board.held or self._now() - self._looked < LOOK_SECONDS:
            return
        try:
            seen = self._see(self._glance, self._board.held)
        except OSError:
            return
        finally:
            self._looked = self._now()
        label = self._board.label
        for name, one in seen.items():
            if one.claim is not None:
                if self._is_gone(name, one.claim):
                    self._say(f"{label(name)}: {one.claim.holder or 'its process'} is gone; taking over")
                    self._board.free(name)
            elif one.result is not None:
                self._board.done_by_other(name, one.result)
                self._say(f"{label(name)}: done by another launch")
            elif one.failure is not None and one.failure != self._known.get(name):
                self._board.failed_in_other(name, one.failure)
                self._say(f"{label(name)}: failed in another launch")
            else:
                self._board.free(name)

    def _is_gone(self, name: str, claim: ClaimState) -> bool:
        if self._stale_claims.is_stale(name, claim):
            self.gone[name] = claim
            return True
        return False

    def _see(self, study: Study, names: Iterable[str]) -> dict[str, _Seen]:
        listed = list(names)
        return dict(zip(listed, read_each(study.url, lambda n: _see(study.run(n)), listed), strict=True))


def _see(folder: RunFolder) -> _Seen:
    claim = read_claim(folder)
    if claim is not None:
        return _Seen(claim)
    try:
        return _Seen(None, folder.read_json("result.json"), folder.read_json("failure.json"))
    except DamagedError:
        return _Seen(None)
