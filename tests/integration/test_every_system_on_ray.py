"""Every system has the same numbers with Ray and without.

This test is slow. The fast tests of the same are tests/integration/test_sweep_run.py for LSTM-LM and
LSTM-VAE-AVG on a real Ray, tests/lvae_core/training/test_every_system.py for every system stopped and
resumed to the same bits, as Ray may do, and tests/sweeps/launching for parents before children.
"""

from __future__ import annotations

import pytest

from lvae_core.run_folder.study import Study
from lvae_core.systems import SYSTEMS
from lvae_core.training.runtime import Runtime
from lvae_core.training.trainer import execute
from sweeps.paper_grid import main
from sweeps.planning.grid import Grid
from sweeps.planning.loading import look_up

from .test_parents import numbers

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_ray_for_all")]

SETTINGS = ("standard", "inputless")
SMALL = (
    *("max_epochs=2", "max_steps=20", "kl_anneal_epochs=1", "iw_samples=6", "svi_steps=3"),
    *("aggressive_max_epochs=1", "cnn_channels=4"),
)


def test_every_system_has_the_numbers_of_a_run_without_ray(tmp_path, toy, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    command = ["--datasets", "toy", "--systems", *SYSTEMS, "--num-samples", "2", "--settings", *SETTINGS]
    assert main([*command, "--seeds", "1", "--study", "try", "--set", *SMALL]) == 0
    capsys.readouterr()

    systems = dict.fromkeys(SYSTEMS, (2,))
    grid = Grid(datasets=("toy",), systems=systems, settings=SETTINGS, seeds=1, changes=SMALL)
    alone = Study(str(tmp_path / "alone"))
    plan = look_up(grid.configs(), {"toy": toy}, alone)
    assert {(run.config.system, run.config.setting) for run in plan.runs} == {
        (system, setting) for system in SYSTEMS for setting in SETTINGS
    }
    for run in plan.all_runs:  # parents first
        for _ in execute(run.config, toy, alone.run(run.name), Runtime(threads=1)):
            pass
        assert numbers(tmp_path / "runs" / "try" / run.name) == numbers(tmp_path / "alone" / run.name)
