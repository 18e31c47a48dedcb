"""Every use of Ray Tune's internals, as read in Ray 2.60, and the settings that keep Tune quiet.

Nothing else in ``launching/`` touches a name that Ray does not publish. If a new version of Ray moves one,
tests/sweeps/cluster/test_ray_internals.py fails and names it.
"""

from __future__ import annotations

import contextlib
import functools
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ray import cloudpickle
from ray.air.execution._internal import RayActorManager
from ray.exceptions import OutOfMemoryError, RayActorError, RayError, RayTaskError
from ray.tune import tune
from ray.tune.execution import class_cache
from ray.tune.execution import tune_controller as controller
from ray.tune.experiment import Trial
from ray.tune.experiment import trial as trial_module
from ray.tune.schedulers import FIFOScheduler
from ray.tune.search import Searcher
from ray.tune.trainable.metadata import _TrainingRunMetadata

from sweeps.cluster.replaced import replaced

PENDING = 200
"""The largest number of resource requests that Tune keeps open; the same as its default."""

_FOLDER = "trials"

TUNE_ENVIRONMENT = {
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_COLOR_PREFIX": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "1e9",
    "TUNE_MAX_PENDING_TRIALS_PG": str(PENDING),
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
}


class Names(Searcher):
    """Gives Tune the names of runs, one after another.

    ``tune.grid_search`` would copy the whole list for every run before the first one begins.
    """

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__()
        self._names = iter(names)

    def suggest(self, trial_id: str) -> dict[str, Any] | None:
        """See :class:`ray.tune.search.Searcher`."""
        name = next(self._names, None)
        return None if name is None else {"run": name}

    def on_trial_complete(self, *args: Any, **kwargs: Any) -> None:
        """See :class:`ray.tune.search.Searcher`."""


class PlanOrder(FIFOScheduler):
    """Gives a free actor to the first waiting run that fits it.

    Tune alone gives it to any of them as soon as the first one waits for something else: for another share
    of a device, or for an actor that is being reset.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._places: dict[str, int] = {}

    def on_trial_add(self, tune_controller: Any, trial: Trial) -> None:
        """See :class:`ray.tune.schedulers.TrialScheduler`."""
        self._places[trial.trial_id] = len(self._places)

    def choose_trial_to_run(self, tune_controller: Any) -> Trial | None:
        """See :class:`ray.tune.schedulers.TrialScheduler`."""
        # Nothing public says which actors are free. The public list of trials holds thousands, most of
        # them ended.
        controller = tune_controller._tune_controller
        free, resetting = controller._actor_cache, controller._resetting_trials
        waiting: list[Trial] = sorted(
            controller._pending_trials, key=lambda trial: self._places[trial.trial_id]
        )
        for trial in waiting if free.num_cached_objects else ():
            if trial not in resetting and free.has_cached_object(trial.placement_group_factory):
                return trial
        return waiting[0] if waiting else None


def shared_folder(trial: Trial) -> str:
    """Give all trials one folder of one name; Tune alone makes three new folders for each trial.

    They hold nothing but the last error, which is read at once, and deleting thousands of folders takes
    minutes at the end of a sweep.
    """
    # Without this, Tune would give every trial but the first another name.
    trial.relative_logdir = _FOLDER  # type: ignore[assignment]
    assert trial.storage is not None
    trial.storage.trial_dir_name = _FOLDER
    return _FOLDER


def actor_of(trial: Trial) -> Any:
    """The handle of a running trial's actor."""
    return trial.temporary_state.ray_actor


def latest_error(trial: Trial) -> Exception | None:
    """The last error of a trial, if Tune has recorded one."""
    # Trial.get_pickled_error looks for the file in the storage, where Tune copies it much later.
    file = trial.pickled_error_file
    if file is None:
        return None
    try:
        error = cloudpickle.loads(Path(file).read_bytes())
    except Exception:  # unpickling runs the code of any class in there
        return None
    return error if isinstance(error, Exception) else None


@contextlib.contextmanager
def without_aws_keys() -> Iterator[None]:
    """Keep Tune from sending AWS keys to the processes that it starts inside the ``with`` block.

    It would send them in the description of each process's environment, which Ray's agent on the node
    writes to its log. Nodes of a cluster have their own keys (a role, or the environment in which Ray
    was started); a Ray that this launch starts inherits the environment.
    """
    kept = {name for name in class_cache.ENV_VARS_TO_PROPAGATE if not name.startswith("AWS_")}
    with replaced(class_cache, ENV_VARS_TO_PROPAGATE=kept):
        yield


@contextlib.contextmanager
def few_records() -> Iterator[None]:
    """Let Tuners of the ``with`` block forget ended trials, and keep no statistics of the others.

    Tune alone keeps statistics of every number that a trial has reported, writes all of them to disk at the
    end, and looks there for log files of each trial. Nothing reads that, and it grows with the runs; see
    "The overhead of Ray" in benchmarks/README.md.
    """
    with (
        replaced(tune, TuneController=_Controller),
        replaced(_TrainingRunMetadata, update_metric=lambda *args, **kwargs: None),
    ):
        yield


@contextlib.contextmanager
def trainable_looked_up_once() -> Iterator[None]:
    """Let Tuners of the ``with`` block ask for each trainable once.

    Tune alone asks the cluster's key-value store for it several times for each trial, and waits for the
    answers: a fifth of the driver's time for one-step runs.
    """
    names = ("get_trainable_cls", "validate_trainable")
    with replaced(trial_module, **{name: functools.cache(getattr(trial_module, name)) for name in names}):
        yield


class _Controller(controller.TuneController):
    def stop_trial(self, trial: Trial) -> None:
        super().stop_trial(trial)  # type: ignore[no-untyped-call]
        if trial.status == Trial.TERMINATED and trial in self._stopped_trials:
            self._trials.remove(trial)
            self._stopped_trials.remove(trial)
            self._trials_to_cache.discard(trial)
            self._trial_metadata.pop(trial.trial_id, None)


class LowMemoryError(RayActorError):
    """Ray has ended an actor to free memory."""


@contextlib.contextmanager
def errors_as_lost_actors() -> Iterator[None]:
    """Turn every error of Ray into a lost actor of one run, for Tuners of the ``with`` block.

    Tune handles actors that die and calls that raise. On any other error of Ray, such as the one after it
    has ended a process to free memory, Tune itself would stop, and every run with it.
    """
    with replaced(controller, RayActorManager=_ActorManager):
        yield


class _ActorManager(RayActorManager):
    def _actor_task_failed(self, tracked_actor_task: Any, exception: Exception) -> None:
        super()._actor_task_failed(tracked_actor_task, _as_actor_error(exception))

    def _actor_start_failed(self, tracked_actor: Any, exception: Exception) -> None:
        super()._actor_start_failed(tracked_actor, _as_actor_error(exception))


def _as_actor_error(error: Exception) -> Exception:
    if not isinstance(error, RayError) or isinstance(error, RayActorError | RayTaskError):
        return error
    kind = LowMemoryError if isinstance(error, OutOfMemoryError) else RayActorError
    return kind(error_msg=str(error))


@contextlib.contextmanager
def silent_tune() -> Iterator[None]:
    """Silence Tune's log: the display and the run folders report the errors of runs."""
    logger = logging.getLogger("ray.tune")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)
