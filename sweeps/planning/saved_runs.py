"""Say what an interrupted launch has saved of the runs that it leaves."""

from __future__ import annotations

from collections.abc import Iterable

from lvae_core.messages import listed, numbered
from sweeps.planning.plan import PlannedRun

_MOST_LISTED = 4
"""The most runs whose epochs are listed; those of more are added up."""


def saved_text(runs: Iterable[PlannedRun]) -> str:
    """Say how far unfinished runs are: ``2 runs saved: 1 and 0 of 3 epochs``; empty if none has begun."""
    saved = [run for run in runs if run.status == "left" and run.begun]
    if not saved:
        return ""
    of = {run.config.max_epochs for run in saved}
    if len(of) == 1 and len(saved) <= _MOST_LISTED:
        epochs = f"{listed([str(run.epochs) for run in saved])} of {of.pop()} epochs"
    else:
        done, whole = sum(run.epochs for run in saved), sum(run.config.max_epochs for run in saved)
        epochs = f"{done} of {whole} epochs in all"
    return f"{numbered(len(saved), 'run')} saved: {epochs}"
