"""Say what a declared number of seeds means for p-values."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from analysis.reading.collect import Runs
from lvae_core.messages import numbered
from lvae_core.run_folder.declared_seeds import DeclaredSeeds

UNDECLARED = (
    "the number of seeds was not declared before there were results (--declare-seeds): these p-values hold "
    "only if it was not chosen by looking at some"
)
"""What follows for a verdict without a declaration."""


def declared_for(runs: Runs) -> DeclaredSeeds | None:
    """The declaration that covers all of the runs.

    Returns:
        None unless all their studies have declared the same number. Of several declarations, the one that
        was made after the most finished runs.
    """
    numbers = {declared.seeds for _, declared in runs.declared}
    if len(numbers) != 1 or len(runs.declared) < len(runs.studies):
        return None
    return max((declared for _, declared in runs.declared), key=lambda d: (d.finished_runs, d.started_runs))


def declared_beforehand(runs: Runs) -> int | None:
    """The number of seeds of all the runs that was declared before there were results; None if none was."""
    declared = declared_for(runs)
    return declared.seeds if declared is not None and declared.beforehand else None


def seeds_caveat(declared: int | None, seeds: int) -> str:
    """Say in a few words that a verdict is not over the declared number of seeds; "" if it is.

    Args:
        declared: the number that was declared before there were results; None if none was.
        seeds: the number of seeds of the verdict.
    """
    if declared is None:
        return "their number was not declared beforehand"
    if seeds < declared:
        return f"interim: {seeds} of {declared} declared seeds"
    if seeds > declared:
        return f"{seeds} seeds, of which {declared} {'was' if declared == 1 else 'were'} declared"
    return ""


def declaration_note(declared: DeclaredSeeds, seeds: Iterable[int]) -> str:
    """Say what was declared, and what follows for p-values.

    Args:
        declared: the declaration.
        seeds: the number of seeds of each cell, or of each comparison. Those without any have no p-value.
    """
    return f"{declared.words}: {_consequence(declared, sorted(set(seeds) - {0}))}"


def _consequence(declared: DeclaredSeeds, seeds: Sequence[int]) -> str:
    if not declared.beforehand:
        return "not fixed beforehand, so p-values may be as wrong as if seeds had been added"
    fewer = [n for n in seeds if n < declared.seeds]
    more = [n for n in seeds if n > declared.seeds]
    parts = []
    if fewer:
        numbers = f"{fewer[0]} to {fewer[-1]}" if fewer[0] < fewer[-1] else str(fewer[0])
        parts.append(f"p-values over fewer (here {numbers}) are interim")
    if more:
        added = more[-1] - declared.seeds
        were = "was" if added == 1 else "were"
        parts.append(f"{numbered(added, 'seed')} more {were} added: {_ADDED}")
    return "; ".join(parts) or "p-values are of a test whose number of seeds was fixed beforehand"


_ADDED = "if that followed a look at results, p-values over them give false calls too often"
