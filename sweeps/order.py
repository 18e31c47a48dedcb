"""Keeping Tune to the order of a plan, and to what the plan can use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler

from sweeps.estimate import Speed
from sweeps.schedule import Work, useful

PENDING = 200
"""Requests for resources that Tune keeps open at most, as many as it does by itself."""


class InOrder(FIFOScheduler):
    """Gives an actor that has become free to the first waiting run that it suits.

    Left to itself, Tune gives it to any of them as soon as the first one waits for something else: for
    another share of a device, or for an actor that is being reset.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._places: dict[str, int] = {}

    def on_trial_add(self, tune_controller: Any, trial: Trial) -> None:
        """See :class:`ray.tune.schedulers.TrialScheduler`."""
        self._places[trial.trial_id] = len(self._places)

    def choose_trial_to_run(self, tune_controller: Any) -> Trial | None:
        """See :class:`ray.tune.schedulers.TrialScheduler`."""
        # What is free is known to nothing that is public. All trials are thousands, most of them over.
        controller = tune_controller._tune_controller
        free, resetting = controller._actor_cache, controller._resetting_trials
        waiting: list[Trial] = sorted(
            controller._pending_trials, key=lambda trial: self._places[trial.trial_id]
        )
        for trial in waiting if free.num_cached_objects else ():
            if trial not in resetting and free.has_cached_object(trial.placement_group_factory):
                return trial
        return waiting[0] if waiting else None


def concurrency(names: Sequence[str], cells: Mapping[str, str], speed: Speed, limit: int) -> int:
    """How many runs to have under way or asked for at once; 0: all.

    An autoscaler starts a node for each run that waits. Where few long runs decide when the last one ends,
    many nodes would end it no sooner than a few.

    Args:
        names: of the runs, longest first.
        cells: theirs.
        speed: what is known of them; only what runs and probes of the same cell tell is relied on.
        limit: what the user allows; 0: no limit.
    """
    seconds = [
        speed.expect(cell) if speed.basis(cell) in ("runs", "probe") else None
        for cell in (cells[name] for name in names)
    ]
    works = [Work(value) for value in seconds if value is not None]
    if len(works) < len(names) or (wanted := useful(works)) >= len(names):
        return limit
    return min(wanted, limit) if limit else wanted
