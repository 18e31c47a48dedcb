"""One Tuner of Ray Tune: it does runs in a given order, prints nothing, and keeps no records."""

from __future__ import annotations

from collections.abc import Sequence

from ray import tune

from sweeps.cluster.scratch_folder import own_folder
from sweeps.launching.callback import LaunchCallback
from sweeps.launching.trainable import Job, RunTrainable
from sweeps.launching.tune_patches import (
    Names,
    PlanOrder,
    errors_as_lost_actors,
    few_records,
    shared_folder,
    trainable_looked_up_once,
)


def run_tuner(
    names: Sequence[str], job: Job, at_once: int, max_losses: int, callback: LaunchCallback
) -> None:
    """Do runs and parts with one Tuner.

    Args:
        names: the runs and parts to do, in this order.
        job: what their processes share.
        at_once: the limit on runs at once; 0: none.
        max_losses: how often Tune restarts a run whose process is lost.
        callback: receives what Tune reports.
    """
    resources = job.resources  # alone: Tune sends what the lambda refers to to every process
    trainable = tune.with_resources(
        tune.with_parameters(RunTrainable, job=job), lambda config: resources[config["run"]].placement()
    )
    # Nothing reads what Tune writes about trials: the run folders are the record.
    with (
        own_folder("tune") as scratch,
        errors_as_lost_actors(),
        few_records(),
        trainable_looked_up_once(),
    ):
        tune.Tuner(
            trainable,
            tune_config=tune.TuneConfig(
                search_alg=Names(names),
                num_samples=len(names),
                reuse_actors=True,
                max_concurrent_trials=at_once or None,
                scheduler=PlanOrder(),
                trial_dirname_creator=shared_folder,
            ),
            run_config=tune.RunConfig(
                name="sweep",
                storage_path=str(scratch),
                failure_config=tune.FailureConfig(max_failures=max_losses),
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
                callbacks=[callback],
                stop=callback.stopper,
                verbose=0,
            ),
        ).fit()
