"""A grid of four short runs, and its results without faults."""

from pathlib import Path

import pytest

from lvae_core.data.corpus import load
from lvae_core.training.runtime import Runtime
from lvae_core.training.trainer import execute
from sweeps.planning.grid import Grid
from sweeps.planning.run_lookup import make_plan

from .sweep_command import Runs

CHANGES = ("max_epochs=15", "patience=15", "kl_anneal_epochs=2", "iw_samples=6")
SHORT = Grid(
    datasets=("toy",),
    systems={"lstm-lm": (1,), "lstm-vae-avg": (2,)},
    settings=("standard",),
    seeds=2,
    changes=CHANGES,
)
ARGUMENTS = [
    *("--datasets", "toy", "--systems", "lstm-lm", "lstm-vae-avg", "--num-samples", "2"),
    *("--settings", "standard", "--seeds", "2", "--set", *CHANGES),
]
"""Arguments of the command for the same grid."""


@pytest.fixture(scope="session")
def undisturbed_storage(tmp_path_factory) -> Path:
    """The storage with the finished runs of the grid, run in sequence without Ray."""
    storage = tmp_path_factory.mktemp("undisturbed")
    toy, study = load("toy"), Runs(storage).study
    for run in make_plan(SHORT.configs(), {"toy": toy.data_sha256}, study, evaluate=True).runs:
        for _ in execute(run.config, toy, study.run(run.name), Runtime(threads=1)):
            pass
    return storage
