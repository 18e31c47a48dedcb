"""The grid on a real Ray: what comes out, what is reused, and what a failure or a loss does."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from lvae_core.corpus import Corpus, load
from lvae_core.record import Study, reproducible
from lvae_core.trainer import Runtime, execute
from sweeps.cluster import cluster
from sweeps.grid import Grid
from sweeps.launch import Resources, launch
from sweeps.paper_grid import main
from sweeps.plan import Plan, make_plan
from sweeps.progress import Board, Display

SMALL = ("max_epochs=3", "kl_anneal_epochs=2", "iw_samples=6")
GRID = Grid(
    datasets=("toy",),
    systems={"lstm-lm": (1,), "lstm-vae-avg": (2,)},
    settings=("standard",),
    seeds=2,
    changes=SMALL,
)
COMMAND = [
    *("--datasets", "toy", "--systems", "lstm-lm", "lstm-vae-avg", "--num-samples", "2"),
    *("--settings", "standard", "--seeds", "2", "--set", *SMALL),
]


@pytest.fixture(scope="module")
def toy() -> Corpus:
    return load("toy")


@pytest.fixture(scope="module", autouse=True)
def one_ray_for_all() -> Iterator[None]:
    with cluster(None):
        yield


class Watching(Board):
    """Keeps the process of every report, and kills the first ``kills`` that report training."""

    kills = 0

    def report(self, name: str, report: Mapping[str, Any]) -> None:
        super().report(name, report)
        self.__dict__.setdefault("pids", []).append(report["pid"])
        if report["phase"] == "train" and self.kills:
            self.kills -= 1
            os.kill(report["pid"], signal.SIGKILL)

    @property
    def pids(self) -> set[int]:
        return set(self.__dict__.get("pids", ()))


def sweep(
    grid: Grid, root: Path, toy: Corpus, *, kills: int = 0, losses: int = 5, **fields: Any
) -> tuple[Plan, Watching]:
    """Launch a grid; the plan afterwards, and the board that watched it."""
    study, configs = Study(str(root)), grid.configs()
    if fields:
        configs[0] = dataclasses.replace(configs[0], **fields)
    plan = make_plan(configs, {"toy": toy.data_sha256}, study)
    board = Watching.of(plan, plan.with_status("left"))
    board.kills = kills
    with open(os.devnull, "w") as nowhere, Display(board, Console(file=nowhere)) as display:
        todo = plan.with_status("left")
        assert launch(todo, {"toy": toy}, study, Resources(max_concurrent=2), display, losses=losses)
    return make_plan(configs, {"toy": toy.data_sha256}, study), board


def numbers(folder: Path) -> tuple[dict[str, Any], bytes]:
    """What is promised to be the same to the last bit."""
    result = json.loads((folder / "result.json").read_text())
    return reproducible(result), (folder / "metrics.jsonl").read_bytes()


def alone(grid: Grid, root: Path, toy: Corpus) -> Plan:
    """The same runs one after the other in this process, without Ray."""
    study = Study(str(root))
    plan = make_plan(grid.configs(), {"toy": toy.data_sha256}, study)
    for run in plan.runs:
        for _ in execute(run.config, toy, study.run(run.name), Runtime(threads=1)):
            pass
    return plan


def test_under_ray_and_without_it_the_numbers_are_bit_identical(tmp_path, toy):
    plan, board = sweep(GRID, tmp_path / "ray", toy)
    assert [run.status for run in plan.runs] == ["done"] * 4
    for run in alone(GRID, tmp_path / "alone", toy).runs:
        assert numbers(tmp_path / "ray" / run.name) == numbers(tmp_path / "alone" / run.name)
    # Four runs, two at once: every actor did more than one.
    assert 1 <= len(board.pids) <= 2


def test_a_second_launch_starts_nothing_and_more_seeds_start_theirs(tmp_path, toy, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(COMMAND) == 0
    assert "next: python analysis/summarize.py runs/paper" in capsys.readouterr().out
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    assert main(COMMAND) == 0
    assert "nothing to start: 4 of 4 runs are done" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
    assert main([*COMMAND, "--seeds", "3"]) == 0
    assert "2 of 6 runs to do" in capsys.readouterr().out
    after = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("result.json")}
    assert {p: t for p, t in after.items() if p in before} == {
        p: t for p, t in before.items() if p.name == "result.json"
    }
    assert len(after) == 6


def test_a_run_that_fails_is_recorded_and_stops_no_other(tmp_path, toy):
    plan, board = sweep(GRID, tmp_path, toy, learning_rate=1e30)
    assert [run.status for run in plan.runs] == ["failed", "done", "done", "done"]
    failure = plan.runs[0].failure
    assert failure is not None
    assert (failure["class"], failure["attempt"]) == ("diverged", 1)
    assert "DivergedError" in failure["traceback"]
    assert len(failure["traceback"].splitlines()) <= 40
    assert list(board.failures) == [plan.runs[0].name]


def test_failed_runs_are_listed_skipped_and_taken_up_on_demand(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    command = [*COMMAND, "--systems", "lstm-lm", "--seeds", "1"]
    bad = [*command, "--set", "learning_rate=1e30"]
    assert main(bad) == 1
    (file,) = tmp_path.rglob("failure.json")
    assert "diverged" in capsys.readouterr().out
    assert main(bad) == 1
    out = capsys.readouterr().out
    assert "nothing to start: 0 of 1 runs are done" in out
    assert "diverged" in out
    assert json.loads(file.read_text())["attempt"] == 1
    assert main([*bad, "--retry-failed"]) == 1
    assert json.loads(file.read_text())["attempt"] == 2
    capsys.readouterr()

    # One that failed for a passing reason is done on the second try, and its failure is forgotten.
    assert main([*command, "--dry-run"]) == 0
    plan = make_plan(
        dataclasses.replace(GRID, systems={"lstm-lm": (1,)}, seeds=1).configs(),
        {"toy": load("toy").data_sha256},
        Study("runs/paper"),
    )
    Study("runs/paper").run(plan.runs[0].name).write_failure("infrastructure", "lost", "")
    assert main(command) == 1
    assert main([*command, "--retry-failed"]) == 0
    assert not (tmp_path / "runs" / "paper" / plan.runs[0].name / "failure.json").exists()


LONG = dataclasses.replace(
    GRID, systems={"lstm-vae-avg": (2,)}, seeds=1, changes=(*SMALL, "max_epochs=60", "patience=60")
)


def test_a_run_whose_process_is_killed_goes_on_to_the_same_numbers(tmp_path, toy):
    plan, board = sweep(LONG, tmp_path / "killed", toy, kills=1)
    assert [run.status for run in plan.runs] == ["done"]
    assert len(board.pids) == 2
    (name,) = (run.name for run in alone(LONG, tmp_path / "alone", toy).runs)
    assert numbers(tmp_path / "killed" / name) == numbers(tmp_path / "alone" / name)


def test_a_run_that_is_lost_too_often_counts_as_failed(tmp_path, toy):
    plan, board = sweep(LONG, tmp_path, toy, kills=2, losses=1)
    assert [run.status for run in plan.runs] == ["failed"]
    failure = plan.runs[0].failure
    assert failure is not None
    assert failure["class"] == "infrastructure"
    assert "lost 2 times" in failure["message"]
    assert board.failed == 1
