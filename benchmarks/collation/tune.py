"""The same runs as an experiment folder of Ray Tune, written by Tune's own classes."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from collation.synthetic import configs, estimates_of, metrics_of

EXPERIMENT = "runs"


def write_trials(folder: Path, trials: int) -> None:
    """Write ``trials`` finished trials into ``folder / EXPERIMENT``.

    As in a real experiment, a Tune controller saves the trials and Tune's two loggers save their results.
    The last result of a trial also has its estimates.
    """
    # Without this, Tune asks for the size of a cluster to limit its pending trials.
    os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = "1"
    from ray.train._internal.storage import StorageContext
    from ray.tune.execution.tune_controller import TuneController
    from ray.tune.experiment import Trial
    from ray.tune.logger import CSVLoggerCallback, JsonLoggerCallback

    from sweeps.cluster.connect import cluster

    # One for all trials: each context makes a staging folder named by the current second.
    storage = StorageContext(storage_path=str(folder), experiment_dir_name=EXPERIMENT)
    rng = np.random.default_rng(0)
    with cluster(None):
        controller = TuneController(storage=storage)
        loggers = [JsonLoggerCallback(), CSVLoggerCallback()]
        for config in configs(trials):
            trial = Trial("lvae", config=config.to_dict(), storage=storage, stub=True)
            trial.create_placement_group_factory()
            trial.init_local_path()
            rows = metrics_of(config, rng)
            estimates = {
                f"{name}{end}": estimate[key]
                for name, estimate in estimates_of(config, rng).items()
                for key, end in (("value", ""), ("stderr", "_stderr"))
                if key in estimate
            }
            for number, row in enumerate(rows, start=1):
                done = number == len(rows)
                result = {
                    **row,
                    **(estimates if done else {}),
                    "training_iteration": number,
                    "trial_id": trial.trial_id,
                    "done": done,
                }
                trial.update_last_result(result)
                for logger in loggers:
                    logger.on_trial_result(number, [], trial, result)
            for logger in loggers:
                logger.on_trial_complete(len(rows), [], trial)
            trial.set_status(Trial.TERMINATED)
            controller._trials.append(trial)
            controller._mark_trial_to_checkpoint(trial)
        controller.checkpoint(force=True, wait=True)
