"""The progress of a search: the states of its trials, and the number of those that have not ended."""

from __future__ import annotations

from collections import Counter

from sweeps.planning.plan import PlannedRun
from sweeps.trials.proposals import State
from sweeps.trials.search import Search


def states(search: Search) -> Counter[State]:
    """State -> the number of trials that have begun. In a round under way each counts as its run does."""
    ended = {trial.number: trial.state for trial in search.known if trial.state != "open"}
    others = [values for number, values in enumerate(search.points()) if number not in ended]
    runs = {run.name: run for run in search.runs.find(others).runs}
    found = [_state(runs.get(search.runs.name(values))) for values in others]
    return Counter([*ended.values(), *(state for state in found if state)])


def left(search: Search) -> int:
    """The number of trials that have not ended, those to come included."""
    found = states(search)
    return _in_all(search) - found.total() + found["open"]


def coming(search: Search) -> int:
    """The number of trials that may still be among the best: those of a round under way count, too."""
    return _in_all(search) - sum(trial.state != "open" for trial in search.known)


def _in_all(search: Search) -> int:
    return max(search.rules.trials, len(search.points()))


def _state(run: PlannedRun | None) -> State | None:
    """The state of a trial by its run, None if the point gives no config; None if it has not begun."""
    if run is None or run.status == "failed":
        failure = (run and run.failure) or {}
        return "diverged" if failure.get("class") == "diverged" else "failed"
    if run.status == "done":
        return "done"
    return "open" if run.begun else None
