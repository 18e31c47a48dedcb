"""Runs whose encoders start from other runs, in one sweep on a real Ray."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lvae_core.run_folder.folder import reproducible
from lvae_core.run_folder.study import Study
from lvae_core.training.runtime import Runtime
from lvae_core.training.trainer import execute
from sweeps.paper_grid import main
from sweeps.planning.grid import Grid
from sweeps.planning.loading import look_up

pytestmark = pytest.mark.usefixtures("one_ray_for_all")

SMALL = ("max_epochs=2", "kl_anneal_epochs=1", "iw_samples=6")
COMMAND = [
    *("--datasets", "toy", "--num-samples", "1", "--settings", "standard", "--seeds", "1"),
    *("--study", "try", "--set", *SMALL),
]
CHILDREN = ("cnn-vae-init", "lstm-vae-ae-fb")


def numbers(folder: Path) -> tuple[dict[str, object], bytes]:
    """Return the numbers of a run that must be equal to the last bit."""
    result = json.loads((folder / "result.json").read_text())
    del result["sha256"]  # it also covers the times
    return reproducible(result), (folder / "metrics.jsonl").read_bytes()


@pytest.mark.slow  # tests/sweeps/planning/test_parents.py and tests/sweeps/launching have fast tests
def test_parents_are_trained_first_and_children_have_the_numbers_of_runs_without_ray(
    tmp_path, toy, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    command = [*COMMAND, "--systems", *CHILDREN]
    assert main([*command, "--dry-run"]) == 0
    assert "2 parents are trained first" in capsys.readouterr().out
    assert main(command) == 0
    out = capsys.readouterr().out
    assert "2 of 2 runs to do" in out
    assert out.index("lstm-lm__standard__L0__seed0: done") < out.index(
        "cnn-vae-init__standard__L1__seed0: done"
    )

    systems = dict.fromkeys(CHILDREN, (1,))
    grid = Grid(datasets=("toy",), systems=systems, settings=("standard",), seeds=1, changes=SMALL)
    alone = Study(str(tmp_path / "alone"))
    plan = look_up(grid.configs(), {"toy": toy}, alone)
    assert len(plan.all_runs) == 4
    for run in plan.all_runs:
        for _ in execute(run.config, toy, alone.run(run.name), Runtime(threads=1)):
            pass
        assert numbers(tmp_path / "runs" / "try" / run.name) == numbers(tmp_path / "alone" / run.name)

    assert main(command) == 0
    assert "nothing to start: 2 of 2 runs are done" in capsys.readouterr().out


@pytest.mark.slow  # tests/sweeps/launching has a fast test of this
def test_a_parent_that_fails_keeps_its_children_from_starting(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    command = [*COMMAND, "learning_rate=1e30", "--systems", "lstm-vae-ae-fb"]
    assert main(command) == 1
    out = capsys.readouterr().out
    assert "not started, because toy__lstm-ae__standard__L1__seed0, from which its encoder starts" in out
    assert "diverged" in out
    (folder,) = (path for path in (tmp_path / "runs" / "try").iterdir() if path.is_dir())
    assert folder.name.startswith("toy__lstm-ae__")
    assert main(command) == 1
    out = capsys.readouterr().out
    assert "1 run is not started, because the run that the encoder starts from has failed" in out
    assert "nothing to start: 0 of 1 runs are done" in out
