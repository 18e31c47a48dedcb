"""Schedules of the paper's grid from times in a file, compared with bounds in closed form."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from schedule import main, times_of_study

from lvae_core.errors import InputError
from lvae_core.run_folder.names import CellName, run_name
from lvae_core.run_folder.study import Study
from sweeps.planning.grids.files import PRESETS

from ..commands import python

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "schedule.py"


def schedule(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [*python(), str(SCRIPT), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)


def ratios_to_bound(out: str, devices: str) -> list[float]:
    rows = [line.replace("│", " ").split() for line in out.splitlines() if line.startswith("│")]
    (row,) = [row for row in rows if row[0] == devices and row[1] == "30"]
    return [float(value) for value in row[-4:]]


def test_longest_first_meets_the_bound_when_other_orders_end_with_a_straggler(tmp_path):
    cells = sorted({str(CellName.of(config)) for config in PRESETS["paper"].grid.configs()})
    # 115 short runs and five of 23 hours: 230 hours in all. Ten devices can finish
    # in the time of the longest.
    times = dict.fromkeys(cells, (3000.0, 600.0)) | {cells[0]: (23 * 3600.0, 0.0)}
    (tmp_path / "times.json").write_text(json.dumps(times))
    done = schedule(
        "--times",
        str(tmp_path / "times.json"),
        "--devices",
        "1",
        "10",
        "--json",
        str(tmp_path / "again.json"),
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert ratios_to_bound(done.stdout, "1") == [1.0] * 4
    longest, grid, mean, worst = ratios_to_bound(done.stdout, "10")
    assert longest == 1.0
    assert 1.0 < mean <= worst
    assert grid > 1.0
    assert json.loads((tmp_path / "again.json").read_text()) == {
        cell: list(pair) for cell, pair in times.items()
    }


def test_missing_times_are_reported_in_one_line(tmp_path):
    (tmp_path / "times.json").write_text("{}")
    for arguments, message in (
        (["--times", str(tmp_path / "times.json")], "no time for 24 cells"),
        (["--times", str(tmp_path / "none.json")], "cannot be read"),
        (["--study", str(tmp_path)], "no time for 24 cells"),
        (["--devices", "0"], "--devices"),
    ):
        done = schedule(*arguments)
        assert (done.returncode, done.stdout) == (2, "")
        (line,) = done.stderr.splitlines()
        assert line.startswith("error: ")
        assert message in line


def test_the_training_of_runs_that_stopped_early_is_scaled_to_all_epochs(tmp_path):
    configs = PRESETS["paper"].grid.configs()
    study, cell = Study(str(tmp_path)), CellName.of(configs[0])
    of_cell = [config for config in configs if CellName.of(config) == cell]
    # Of 30 epochs: 300 s for 10 are 900 s, 800 s for 20 are 1,200 s.
    for config, epochs, train, score in zip(of_cell, (10, 20), (300.0, 800.0), (40.0, 60.0), strict=False):
        times = {"epochs": epochs, "train_seconds": train, "evaluate_seconds": score}
        study.run(run_name(config, "0" * 64)).write_json("result.json", times)
    assert times_of_study(study, configs) == {str(cell): (1050.0, 50.0)}


@pytest.mark.parametrize("content", ['{"a": 3}', '{"a": [1, null]}', '{"a": "xy"}', "[1, 2]", "3", "{"])
def test_a_file_that_holds_no_times_is_refused(content, tmp_path):
    (tmp_path / "times.json").write_text(content)
    with pytest.raises(InputError, match=r"--times .*times\.json: cannot be read"):
        main(times=tmp_path / "times.json")
