"""List the runs of a plan: the folder and the status of each, a line each, as in a pipe."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from rich.console import Console

from lvae_core.messages import numbered
from sweeps.planning.grids.fitting import print_line
from sweeps.planning.grids.overview import variant_names
from sweeps.planning.plan import Plan, PlannedRun, Status

_STATUSES: dict[Status, str] = {
    "done": "done",
    "evaluate": "to evaluate",
    "failed": "failed",
    "left": "left",
}


def run_lines(plan: Plan) -> Iterator[str]:
    """A line for each run of a plan, parents first: its folder's name, its status, and what else to know.

    That is the epochs that an unfinished run has, and its values of the fields that vary, of which the name
    has only a hash.
    """
    names, parents = variant_names(plan.all_runs), {run.name for run in plan.parents}
    for run in plan.all_runs:
        words = [run.name, _status(run), names[run.variant].values]
        words += ["parent of other runs"] if run.name in parents else []
        yield "  ".join(filter(None, words))


def print_runs(out: Console, notes: Console, plan: Plan) -> None:
    """Print the lines of a plan to ``out``, and the numbers of runs to ``notes``."""
    for line in run_lines(plan):
        print_line(out, line)
    counts = Counter(run.status for run in plan.all_runs)
    texts = ", ".join(f"{counts[status]} {text}" for status, text in _STATUSES.items() if counts[status])
    notes.print(f"{numbered(len(plan.all_runs), 'run')}: {texts}; nothing was started")


def _status(run: PlannedRun) -> str:
    if not run.epochs:
        return _STATUSES[run.status]
    epochs, most = run.epochs, run.config.max_epochs
    done = "trained and not yet evaluated" if epochs >= most else f"{epochs} of {most} epochs"
    return f"{_STATUSES[run.status]} ({done})"
