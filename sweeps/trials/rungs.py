"""Rungs: the epochs at which trials are compared, and the better ones continue."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sweeps.trials.proposals import Trial


def promoted(trials: Sequence[Trial], epoch: int, keep: int) -> list[Trial]:
    """The better trials at a rung: one in ``keep``, rounded up.

    Args:
        trials: the trials to compare.
        epoch: the epoch of the rung; a trial whose training ended earlier counts with its last score.
        keep: see above.
    """
    scored = [trial for trial in trials if trial.scores]
    ranked = sorted(scored, key=lambda trial: (trial.scores[:epoch][-1], trial.number))
    return ranked[: -(-len(ranked) // keep)]


def select(trials: Sequence[Trial], epoch: int | None, keep: int) -> list[Trial]:
    """Mark the trials that a rung drops; at the end (epoch None), mark those still open as failed."""
    if epoch is None:
        return [replace(t, state="failed", scores=()) if t.state == "open" else t for t in trials]
    kept = {t.number for t in promoted([t for t in trials if t.state in ("open", "done")], epoch, keep)}
    return [
        replace(t, state="dropped", scores=t.scores[:epoch])
        if t.state == "open" and t.number not in kept
        else t
        for t in trials
    ]
