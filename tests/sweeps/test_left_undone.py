"""A launch ends with status 0 only if its runs have the estimates that its command asks for."""

from __future__ import annotations

import contextlib
from dataclasses import replace

import pytest

import sweeps.paper_grid
import sweeps.sweep
from lvae_core.data.corpus import load
from lvae_core.run_folder.claims import acquire
from lvae_core.run_folder.declared_seeds import read_declared_seeds
from lvae_core.run_folder.planned_runs import read_planned_runs, write_planned_runs
from lvae_core.run_folder.study import Study
from lvae_core.training.evaluate_again import evaluate_again
from lvae_core.training.runtime import Runtime
from lvae_core.training.trainer import execute
from sweeps.paper_grid import main

TOY = load("toy")
SMALL = ["embedding_size=4", "hidden_size=8", "max_epochs=1", "kl_anneal_epochs=1", "mi_samples=2"]
GRID = ["--datasets", "toy", "--systems", "lstm-vae", "--num-samples", "1", "--settings", "standard"]
FIELDS = ["--set", *SMALL, "iw_exact_samples=0"]
COMMAND = [*GRID, "--seeds", "1", *FIELDS, "iw_samples=3"]

pytestmark = pytest.mark.usefixtures("elsewhere")


def in_this_process(work):
    @contextlib.contextmanager
    def on_ray(options, workload, say):
        def launch(runs, display, pause_after=None):
            for run in runs:
                display.board.start(run.name)
                report = work(run, workload.study.run(run.name))
                display.board.report(run.name, report)
            return True

        yield launch

    return on_ray


def trained(run, folder):
    for _ in execute(run.config, TOY, folder, Runtime()):
        pass
    return {"phase": "done", **(folder.read_json("result.json") or {})}


def test_what_another_launch_has_trained_with_fewer_samples_is_evaluated_again(
    monkeypatch, tmp_path, capsys
):
    asked = []

    def work(run, folder):
        asked.append(run.evaluation)
        if not run.evaluation:  # while this launch waits, the other one trains the run
            for _ in execute(replace(run.config, iw_samples=2), TOY, folder, Runtime()):
                pass
            return {"phase": "done", **(folder.read_json("result.json") or {})}
        with acquire(folder, "this launch") as claim:
            for _ in evaluate_again(run.config, TOY, folder, Runtime(), claim):
                pass
        return {"phase": "done", **(folder.read_json(run.result_file) or {})}

    mirrors = []

    @contextlib.contextmanager
    def on_wandb(*_):
        mirrors.append("begins")
        yield
        mirrors.append("ends")

    monkeypatch.setattr(sweeps.sweep, "on_ray", in_this_process(work))
    monkeypatch.setattr(sweeps.paper_grid, "on_wandb", on_wandb)
    assert main(COMMAND) == 0
    assert mirrors == ["begins", "ends"]
    out = capsys.readouterr().out
    assert [bool(evaluation) for evaluation in asked] == [False, True]
    assert "1 run to evaluate again (iw_samples=3)" in out
    assert "evaluated again: 1 of 1 run" in out
    assert len(list(tmp_path.rglob("evaluation-*.json"))) == 1
    assert main(COMMAND) == 0
    assert "nothing to start: 1 of 1 runs are done" in capsys.readouterr().out


def test_a_run_that_nobody_has_finished_is_no_success(monkeypatch, capsys):
    def work(run, folder):
        return {"phase": "stopped"}

    monkeypatch.setattr(sweeps.sweep, "on_ray", in_this_process(work))
    assert main(COMMAND) == 1
    assert "1 run left undone; the same command continues" in capsys.readouterr().out


def test_an_interrupted_launch_says_how_far_its_saved_runs_are(monkeypatch, capsys):
    @contextlib.contextmanager
    def interrupted(options, workload, say):
        def launch(runs, display, pause_after=None):
            attempt = execute(
                runs[0].config, TOY, workload.study.run(runs[0].name), Runtime(progress_seconds=0)
            )
            next(attempt)
            attempt.close()
            return False

        yield launch

    monkeypatch.setattr(sweeps.sweep, "on_ray", interrupted)
    assert main(COMMAND) == 130
    lines = capsys.readouterr().out.splitlines()
    assert lines[-2] == "1 run saved: 0 of 1 epochs"
    assert lines[-1].startswith("interrupted; resume with: ")


def test_the_plan_of_a_launch_that_was_killed_after_its_last_run_is_forgotten(monkeypatch, tmp_path):
    monkeypatch.setattr(sweeps.sweep, "on_ray", in_this_process(trained))
    with monkeypatch.context() as killed:
        killed.setattr(sweeps.sweep, "forget_planned_runs", lambda *_: None)
        assert main(COMMAND) == 0
    study = Study(str(tmp_path / "runs" / "paper"))
    assert read_planned_runs(study)
    assert main(COMMAND) == 0
    assert read_planned_runs(study) == ()


def test_the_plan_of_a_launch_that_trained_parents_itself_is_forgotten(monkeypatch, tmp_path):
    monkeypatch.setattr(sweeps.sweep, "on_ray", in_this_process(trained))
    grid = [*GRID[:3], "lstm-vae-ae-fb", *GRID[4:], "--seeds", "1", *FIELDS, "iw_samples=3"]
    assert main(grid) == 0
    study = Study(str(tmp_path / "runs" / "paper"))
    assert sorted(name.split("__")[1] for name in study.run_names()) == ["lstm-ae", "lstm-vae-ae-fb"]
    assert read_planned_runs(study) == ()


def test_the_plan_of_another_launch_is_forgotten_only_once_its_runs_have_ended(monkeypatch, tmp_path):
    def other_plans(run, folder):
        write_planned_runs(Study(folder.store.url), [run.name, other.name])
        return trained(run, folder)

    monkeypatch.setattr(sweeps.sweep, "on_ray", in_this_process(other_plans))
    study = Study(str(tmp_path / "runs" / "paper"))
    other = study.run("toy__lstm-lm__standard__L0__seed0__01234567")
    assert main(COMMAND) == 0
    assert len(read_planned_runs(study)) == 2
    other.write_failure("code", "an error", "Traceback")
    assert main(COMMAND) == 0
    assert read_planned_runs(study) == ()


def test_the_plan_of_a_launch_that_cannot_evaluate_a_run_again_is_forgotten(monkeypatch, tmp_path):
    monkeypatch.setattr(sweeps.sweep, "on_ray", in_this_process(trained))
    assert main(COMMAND) == 0
    for checkpoint in (tmp_path / "runs" / "paper").rglob("*.pt"):
        checkpoint.unlink()
    assert main([*GRID, "--seeds", "2", *FIELDS, "iw_samples=9"]) == 0
    assert read_planned_runs(Study(str(tmp_path / "runs" / "paper"))) == ()


def test_seeds_are_declared_also_if_all_runs_have_failed(monkeypatch, tmp_path):
    def work(run, folder):
        folder.write_failure("code", "an error", "Traceback")
        return {"phase": "failed", "failure": folder.read_json("failure.json")}

    monkeypatch.setattr(sweeps.sweep, "on_ray", in_this_process(work))
    assert main(COMMAND) == 1
    assert main([*COMMAND, "--declare-seeds", "1"]) == 1
    declared = read_declared_seeds(Study(str(tmp_path / "runs" / "paper")))
    assert declared is not None
    assert declared.seeds == 1
