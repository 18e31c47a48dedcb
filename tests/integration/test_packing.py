"""Probes, resources and start order of runs on a real Ray, and no more slots than a plan can use."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
import ray
from rich.console import Console

from lvae_core.data.corpus import Corpus
from lvae_core.run_folder.names import CellName
from lvae_core.run_folder.study import Study
from lvae_core.training.runtime import Runtime
from lvae_core.training.trainer import execute
from sweeps.launching.launch import launch
from sweeps.launching.progress.board import Board
from sweeps.launching.progress.display import Display
from sweeps.packing import devices as probing
from sweeps.packing.auto import pack
from sweeps.paper_grid import main
from sweeps.planning.grid import Grid
from sweeps.planning.probe_results import FILE
from sweeps.planning.resources import Resources
from sweeps.planning.run_lookup import make_plan
from sweeps.planning.workload import Workload

from .nodes import wait_until

pytestmark = pytest.mark.usefixtures("one_ray_for_all")

FOUR = Grid(
    datasets=("toy",),
    systems={"lstm-vae": (1, 2)},
    settings=("standard", "inputless"),
    seeds=1,
    changes=("max_epochs=1", "iw_samples=4", "iw_exact_samples=0"),
)
TWELVE = replace(FOUR, systems={"lstm-vae": (1, 2, 3)}, seeds=2)


SMALL = ("max_epochs=2", "iw_samples=4", "iw_exact_samples=0")
GRID = Grid(datasets=("toy",), systems={"lstm-vae": (1, 2)}, settings=("standard",), seeds=2, changes=SMALL)
COMMAND = [
    *("--datasets", "toy", "--systems", "lstm-vae", "--num-samples", "1", "2", "--settings", "standard"),
    *("--seeds", "2", "--set", *SMALL, "--cpus-per-run", "auto"),
]


@pytest.fixture(autouse=True)
def short_probes(monkeypatch):
    monkeypatch.setattr(probing, "SECONDS", 0.05)


class StartRecorder(Board):
    """Record the order of starts and the largest number of simultaneous runs."""

    def start(self, name: str) -> None:
        super().start(name)
        self.__dict__.setdefault("order", []).append(name)
        self.__dict__["most"] = max(self.__dict__.get("most", 0), len(self.running))


def sweep(
    grid: Grid, root: Path, toy: Corpus, seconds: dict[str, float], **given: Resources
) -> StartRecorder:
    """Launch a grid with expected seconds and resources by cell, and return the board."""
    study = Study(str(root))
    plan = make_plan(grid.configs(), {"toy": toy.data_sha256}, study, evaluate=True)
    for variant, (run, *_) in plan.variants().items():
        plan.speed.add_probe(variant, seconds[run.cell], 0.0)
    board = StartRecorder.of(plan, plan.runs)
    per_run = {run.name: given[run.cell] for run in plan.runs if run.cell in given}
    workload = Workload(plan=plan, corpora={"toy": toy}, study=study, per_run=per_run)
    with open(os.devnull, "w") as nowhere, Display(board, Console(file=nowhere)) as display:
        assert launch(workload, display)
    assert board.done == len(plan.runs)
    return board


def cell_of(name: str) -> str:
    return name.partition("__seed")[0]


def cells(grid: Grid) -> list[str]:
    return sorted({str(CellName.of(config)) for config in grid.configs()})


@pytest.mark.slow
def test_the_longest_runs_start_first_on_actors_of_either_size(tmp_path, toy):
    names = cells(TWELVE)
    # The grid's order is not the order of lengths, and the two sizes alternate.
    seconds = {name: 100.0 + 7 * (5 * k % 6) for k, name in enumerate(names)}
    wide = {name: Resources(cpus=2) for name in names[::2]}
    board = sweep(TWELVE, tmp_path, toy, seconds, **wide)
    for chosen in (names[::2], names[1::2]):
        times = [seconds[cell_of(name)] for name in board.order if cell_of(name) in chosen]
        assert len(times) == 6
        # Two actors that start at the same time may report in either order.
        assert all(later <= earlier for earlier, later in zip(times, times[2:], strict=False))
        assert times[0] == max(times)


@pytest.mark.slow
def test_no_more_runs_at_once_than_shorten_the_plan(tmp_path, toy):
    first, *others = cells(FOUR)
    # The long run takes 100 s, all four in sequence take 103 s: a second slot gains almost nothing.
    board = sweep(FOUR, tmp_path, toy, {first: 100.0, **dict.fromkeys(others, 1.0)})
    assert board.most == 1
    assert cell_of(board.order[0]) == first


def workload(root: Path, toy: Corpus) -> Workload:
    study = Study(str(root))
    plan = make_plan(GRID.configs(), {"toy": toy.data_sha256}, study, evaluate=True)
    return Workload(plan=plan, corpora={"toy": toy}, study=study)


@pytest.mark.slow
def test_each_cell_is_probed_once_and_a_run_that_has_begun_keeps_its_threads(tmp_path, toy):
    cores = int(ray.cluster_resources()["CPU"])
    study, messages = Study(str(tmp_path)), []
    runs = workload(tmp_path, toy).runs
    given = pack(workload(tmp_path, toy), messages.append)
    assert given.keys() == {run.name for run in runs}
    assert all(1 <= has.cpus <= cores and has.gpus == 0 for has in given.values())
    assert len({given[run.name].cpus for run in runs if run.config.num_samples == 1}) == 1
    probes = [line for line in messages if line.startswith("probe ")]
    assert [line.split(":")[0] for line in probes] == ["probe 1 of 2", "probe 2 of 2"]
    assert all(f"{cores} cores" in line for line in probes)
    # The probes have released their resources.
    assert wait_until(lambda: ray.available_resources().get("CPU") == cores)

    begun, other = runs[:2]
    threads = cores if given[begun.name].cpus == 1 else 1  # other than by the probes
    runtime = Runtime(threads=threads, progress_seconds=0.0)
    iterator = execute(begun.config, toy, study.run(begun.name), runtime)
    next(iterator)
    iterator.close()
    before, again = (tmp_path / FILE).read_bytes(), []
    repeated = pack(workload(tmp_path, toy), again.append)
    assert (again, (tmp_path / FILE).read_bytes()) == ([], before)
    assert repeated[begun.name].cpus == threads
    assert repeated[other.name] == given[other.name]


@pytest.mark.slow
def test_a_dry_run_probes_and_prints_the_cost_and_the_next_launch_reuses_the_probes(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    assert main([*COMMAND, "--dry-run", "--devices", "2", "--price-per-hour", "0.1"]) == 0
    out = capsys.readouterr().out
    assert ": no run was started" in out
    assert "unknown" not in out
    assert out.count("probe, to the last epoch") == 2
    assert "$0." in out
    assert [path.name for path in (tmp_path / "runs" / "paper").iterdir()] == [FILE]
    assert main(COMMAND) == 0
    out = capsys.readouterr().out
    assert "4 of 4 runs to do" in out
    assert "probe 1" not in out
    assert len(list(tmp_path.rglob("result.json"))) == 4
