"""Move or delete runs of a study, except those that a living process works on."""

from __future__ import annotations

import contextlib
import os
import time
import uuid
from collections.abc import Sequence
from pathlib import Path

from lvae_core.errors import reason
from lvae_core.messages import first_of, notice, numbered
from lvae_core.run_folder import claims
from lvae_core.run_folder.relocation import move, remove
from sweeps.planning.stored_runs import Run


def apply_to_all(runs: Sequence[Run], target: Path | None) -> dict[str, str]:
    """Move or delete runs; returns the names of those that were left alone, each with the reason.

    A claim that does not change in STALE_SECONDS is of a process that has ended, perhaps with its machine.
    """
    left: dict[str, str] = {}
    held: list[tuple[Run, claims.ClaimState]] = []
    for run in runs:
        try:
            left[run.folder.name] = _apply(run, target)
        except claims.HeldError as error:
            left[run.folder.name] = str(error).removeprefix(f"{run.folder}: ")
            held.append((run, error.state))
    if held:
        holders = sorted({str(state.holder or "an unknown process") for _, state in held})
        notice(
            f"{numbered(len(held), 'run')} under way in {first_of(holders)}; waiting "
            f"{claims.STALE_SECONDS:g} s to see which processes are alive"
        )
        time.sleep(claims.STALE_SECONDS)
    for run, state in held:
        with contextlib.suppress(claims.HeldError, OSError):
            # Without a claim by now, it has just been finished or stopped: it is not what was selected.
            if claims.read_claim(run.folder) == state:
                left[run.folder.name] = _apply(run, target, stale=state)
    return {name: why for name, why in left.items() if why}


def _apply(run: Run, target: Path | None, *, stale: claims.ClaimState | None = None) -> str:
    """Move or delete one run; returns the reason if it was left alone.

    Args:
        run: the run.
        target: the study that it is moved to; None deletes it.
        stale: a claim whose holder is known to have ended.

    Raises:
        HeldError: another process holds the claim, and may be alive.
    """
    if target and os.path.lexists(target / run.place.name):
        return f"{target} has a run of this name"
    try:
        # Nobody else works on it meanwhile; a claim of a process that has ended is taken over.
        with claims.acquire(run.folder, f"runs-{uuid.uuid4().hex}", stale=stale):
            if target is None:
                return remove(run.place)
            if not (trouble := move(run.place, target)):
                _remove_claims(target / run.place.name)
            return trouble
    except OSError as error:
        return reason(error)


def _remove_claims(place: Path) -> None:
    """Remove the claims that a run folder was moved with."""
    for file in place.iterdir():
        if claims.is_claim(file.name):
            file.unlink()
