"""Runs that another launch works on: watched until they end, or until their claim is stale."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from lvae_core.errors import cannot_read
from lvae_core.run_folder.claims import ClaimState, StaleClaims, read_claim
from lvae_core.run_folder.folder import DamagedError, RunFolder
from lvae_core.run_folder.study import Study
from lvae_core.storage.parallel import read_each
from sweeps.launching.progress.board import Board
from sweeps.planning.plan import PlannedRun

LOOK_SECONDS = 5.0
"""Seconds between two looks at the claims of other launches."""


@dataclass(frozen=True)
class _RunState:
    """A run as its folder shows it: its claim or, without one, its result file or failure file."""

    claim: ClaimState | None
    result: Mapping[str, Any] | None = None
    failure: Mapping[str, Any] | None = None


class OtherLaunches:
    """Keeps ``board.held`` up to date, and returns runs with a stale claim to ``board.waiting``."""

    def __init__(
        self,
        study: Study,
        board: Board,
        runs: Iterable[PlannedRun],
        say: Callable[[str], None],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._study, self._board, self._say, self._now = study, board, say, now
        # Without retries: while runs are under way, nothing may wait for a store that fails. The next
        # look asks again.
        self._impatient_study = Study(study.url, create=False)
        self._runs = {run.name: run for run in runs}
        self._staleness = StaleClaims(now)
        self._looked_at = -LOOK_SECONDS
        self.stale_claims: dict[str, ClaimState] = {}
        """Run name -> the claim of a holder that is gone: this launch may take the run over."""

    def begin(self) -> None:
        """Hold back the runs whose claims may be alive.

        Raises:
            InputError: the storage cannot be read.
        """
        try:
            begun = [name for name, run in self._runs.items() if run.begun]
            states = self._read_states(self._study, begun)
        except OSError as error:
            raise cannot_read(f"storage {self._study.url}", error) from None
        for name, state in states.items():
            if state.claim is not None and not self._is_stale(name, state.claim):
                self._board.hold(name)
                holder = state.claim.holder or "another process"
                self._say(f"{self._board.label(name)}: under way in {holder}")

    def look(self) -> None:
        """Look at the held runs, at most once in LOOK_SECONDS."""
        if not self._board.held or self._now() - self._looked_at < LOOK_SECONDS:
            return
        try:
            states = self._read_states(self._impatient_study, self._board.held)
        except OSError:
            return
        finally:
            self._looked_at = self._now()
        for name, state in states.items():
            label = self._board.label(name)
            if state.claim is not None:
                if self._is_stale(name, state.claim):
                    self._say(f"{label}: {state.claim.holder or 'its process'} is gone; taking over")
                    self._board.free(name)
            elif state.result is not None:
                self._board.done_by_other(name, state.result)
                self._say(f"{label}: done by another launch")
            elif state.failure is not None and state.failure != self._runs[name].failure:
                self._board.failed_in_other(name, state.failure)
                self._say(f"{label}: failed in another launch")
            else:
                self._board.free(name)

    def _is_stale(self, name: str, claim: ClaimState) -> bool:
        if self._staleness.is_stale(name, claim):
            self.stale_claims[name] = claim
            return True
        return False

    def _read_states(self, study: Study, names: Iterable[str]) -> dict[str, _RunState]:
        listed = list(names)
        states = read_each(study.url, lambda name: _read_state(study.run(name), self._runs[name]), listed)
        return dict(zip(listed, states, strict=True))


def _read_state(folder: RunFolder, run: PlannedRun) -> _RunState:
    claim = read_claim(folder)
    if claim is not None:
        return _RunState(claim)
    try:
        return _RunState(None, folder.read_json(run.result_file), folder.read_json(run.failure_file))
    except DamagedError:
        return _RunState(None)
