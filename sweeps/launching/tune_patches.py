"""Keeping Tune to the order of a plan, and to what the plan can use."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from typing import Any

from ray.air.execution._internal import RayActorManager
from ray.exceptions import OutOfMemoryError, RayActorError, RayError, RayTaskError
from ray.tune.execution import class_cache
from ray.tune.execution import tune_controller as controller
from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler

PENDING = 200
"""Requests for resources that Tune keeps open at most, as many as it does by itself."""


class PlanOrder(FIFOScheduler):
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


@contextlib.contextmanager
def without_aws_keys() -> Iterator[None]:
    """Have Tune send no keys to the processes that it starts inside the ``with`` block.

    It would send those of AWS in the description of each process's environment, which Ray's agent on the
    node writes to its log as it is. Nodes of a cluster have keys of their own (a role, or the environment
    that Ray was started in); a Ray of this launch's own inherits the environment.
    """
    before = class_cache.ENV_VARS_TO_PROPAGATE
    class_cache.ENV_VARS_TO_PROPAGATE = {name for name in before if not name.startswith("AWS_")}
    try:
        yield
    finally:
        class_cache.ENV_VARS_TO_PROPAGATE = before


class LowMemoryError(RayActorError):
    """Ray has ended an actor to free memory."""


@contextlib.contextmanager
def errors_as_lost_actors() -> Iterator[None]:
    """Have what Ray cannot do for one run be a loss of that run, in Tuners of the ``with`` block.

    Tune knows of actors that die and of calls that raise. Over any other error of Ray, such as the one
    after it has ended a process to free memory, Tune itself would stop, and every run with it.
    """
    before = vars(controller)["RayActorManager"]
    vars(controller)["RayActorManager"] = _ActorManager
    try:
        yield
    finally:
        vars(controller)["RayActorManager"] = before


class _ActorManager(RayActorManager):
    def _actor_task_failed(self, tracked_actor_task: Any, exception: Exception) -> None:
        super()._actor_task_failed(tracked_actor_task, _as_death(exception))

    def _actor_start_failed(self, tracked_actor: Any, exception: Exception) -> None:
        super()._actor_start_failed(tracked_actor, _as_death(exception))


def _as_death(error: Exception) -> Exception:
    if not isinstance(error, RayError) or isinstance(error, RayActorError | RayTaskError):
        return error
    kind = LowMemoryError if isinstance(error, OutOfMemoryError) else RayActorError
    return kind(error_msg=str(error))


TUNE_ENVIRONMENT = {
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_COLOR_PREFIX": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "1e9",
    "TUNE_MAX_PENDING_TRIALS_PG": str(PENDING),
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
}


@contextlib.contextmanager
def silent_tune() -> Iterator[None]:
    """Keep Tune's own messages out: errors of runs are told by the display and the run folders."""
    logger = logging.getLogger("ray.tune")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)
