"""Trained runs without the estimates that the grid asks for are planned, costed and named."""

from __future__ import annotations

import dataclasses
import io
import json
import shutil
from pathlib import Path

import pytest
from rich.console import Console

from lvae_core.config import RunConfig
from lvae_core.data.corpus import load
from lvae_core.identity import evaluation_id, fingerprint
from lvae_core.run_folder.claims import acquire
from lvae_core.run_folder.names import run_name
from lvae_core.run_folder.study import Study
from sweeps.options import LaunchOptions
from sweeps.outcome import closing_table, print_next
from sweeps.planning.loading import look_up
from sweeps.planning.plan import Plan
from sweeps.planning.run_lookup import make_plan
from sweeps.planning.times.cost import variant_costs
from sweeps.planning.times.plan_table import plan_table
from sweeps.sweep import runs_to_start, work_text

from .test_plan import DATA, GRID, finish, write

MORE = dataclasses.replace(GRID, changes=("iw_samples=5000",))


@pytest.fixture
def study(tmp_path) -> Path:
    """A study whose four runs are trained, two of LSTM-LM and two of LSTM-VAE, with checkpoints."""
    for config in GRID.configs():
        (finish(tmp_path, config) / "checkpoint.pt").write_bytes(b"of a trained run")
    return tmp_path


def plan_of(study: Path, grid=MORE, evaluate: bool = True) -> Plan:
    return make_plan(grid.configs(), DATA, Study(str(study)), evaluate=evaluate)


def vaes(study: Path) -> list[tuple[RunConfig, Path]]:
    """The runs that read iw_samples, as the larger grid has them, and their folders."""
    configs = [config for config in MORE.configs() if config.encoder != "none"]
    return [(config, study / run_name(config, fingerprint(config, DATA["toy"]))) for config in configs]


def evaluate(config: RunConfig, folder: Path, seconds: float = 20.0, **content: object) -> Path:
    """Write a further evaluation as the core leaves it, by hand."""
    name = evaluation_id(config)
    file = folder / f"evaluation-{name[:8]}.json"
    record = {
        "fingerprint": fingerprint(config, DATA["toy"]),
        "evaluation": name,
        "version": 1,
        "config": {"iw_samples": config.iw_samples},
        "estimates": {"nll_iw": {"value": 9.0}},
        "evaluate_seconds": seconds,
    }
    write(file, record | content)
    return file


def text(printed: object) -> str:
    out = io.StringIO()
    Console(file=out, width=200).print(printed)
    return out.getvalue().replace("│", " ")


def test_trained_runs_with_other_estimates_are_to_be_evaluated_again(study):
    before = sorted(study.rglob("*"))
    plan = plan_of(study)
    # LSTM-LM draws nothing, so the field changes none of its estimates.
    assert [run.status for run in plan.runs] == ["done", "evaluate", "done", "evaluate"]
    assert [run.evaluation for run in plan.with_status("evaluate")] == [
        evaluation_id(config) for config, _ in vaes(study)
    ]
    assert plan.notes == ()
    assert runs_to_start(plan, LaunchOptions()) == plan.with_status("evaluate")
    assert work_text(plan, plan.with_status("evaluate")) == "2 runs to evaluate again (iw_samples=5000)"
    assert {run.status for run in plan_of(study, GRID).runs} == {"done"}
    assert sorted(study.rglob("*")) == before, "planning changes nothing"


def test_a_field_that_came_later_than_the_results_is_named(study):
    for path in study.glob("*/result.json"):
        result = json.loads(path.read_text())
        del result["sha256"], result["config"]["tested_epoch"]
        write(path, result)
    plan = plan_of(study, dataclasses.replace(GRID, changes=("tested_epoch=last",)))
    todo = plan.with_status("evaluate")
    assert work_text(plan, todo) == "4 runs to evaluate again (tested_epoch=last)"
    assert {run.status for run in plan_of(study, GRID).runs} == {"done"}


def test_an_evaluation_of_a_lost_model_is_made_again(study):
    (config, folder), _ = vaes(study)
    present = json.loads((folder / "result.json").read_text())["metrics_sha256"]
    for model, status in ((present, "done"), ("cd" * 32, "evaluate")):
        evaluate(config, folder, metrics_sha256=model)
        assert plan_of(study).runs[1].status == status
        assert plan_of(study).runs[1].damages == ()
    failure = folder / f"evaluation-{evaluation_id(config)[:8]}.failure.json"
    write(failure, {"class": "out_of_memory", "attempt": 1, "message": "no"})
    assert plan_of(study).runs[1].status == "failed"


def test_new_seeds_are_trained_and_old_ones_evaluated(study):
    plan = plan_of(study, dataclasses.replace(MORE, seeds=3))
    todo = runs_to_start(plan, LaunchOptions())
    assert work_text(plan, todo) == "2 of 6 runs to do, 2 runs to evaluate again (iw_samples=5000)"
    assert [run.evaluation for run in plan.with_status("left")] == ["", ""]


def test_a_run_that_has_the_evaluation_is_done_with_its_estimates(study):
    (first, folder), (second, other) = vaes(study)
    evaluate(first, folder)
    evaluate(dataclasses.replace(second, iw_samples=7), other)
    plan = plan_of(study)
    assert [run.status for run in plan.runs] == ["done", "done", "done", "evaluate"]
    result = plan.runs[1].result
    assert result is not None
    assert (result["estimates"], result["evaluate_seconds"]) == ({"nll_iw": {"value": 9.0}}, 20.0)
    assert result["train_seconds"] == 2.0


def test_a_run_without_a_checkpoint_stays_done_and_one_note_names_it(study):
    (_, folder), (second, other) = vaes(study)
    for place in (folder, other):
        (place / "checkpoint.pt").unlink()
    plan = plan_of(study)
    assert {run.status for run in plan.runs} == {"done"}
    (note,) = plan.notes
    assert note.startswith("2 runs have other estimates than these settings ask for, and no checkpoint.pt")
    assert folder.name in note
    assert other.name in note
    (other / "checkpoint.previous.pt").write_bytes(b"of the same run")
    assert [run.name for run in plan_of(study).with_status("evaluate")] == [other.name]
    evaluate(second, other)
    assert plan_of(study).notes[0].startswith("1 run has other estimates")
    assert plan_of(study, GRID).notes == ()


def test_a_failed_evaluation_has_failed_until_a_retry_is_requested(study):
    (config, folder), _ = vaes(study)
    failure = {"class": "out_of_memory", "attempt": 1, "message": "no"}
    write(folder / f"evaluation-{evaluation_id(config)[:8]}.failure.json", failure)
    plan = plan_of(study)
    assert [run.status for run in plan.runs] == ["done", "failed", "done", "evaluate"]
    assert (plan.runs[1].failure or {})["class"] == "out_of_memory"
    (other,) = runs_to_start(plan, LaunchOptions())
    assert other.status == "evaluate"
    with acquire(Study(str(study)).run(folder.name), "a launch that retries it"):
        assert plan_of(study).runs[1].status == "evaluate"  # it waits, as for training
    retried = runs_to_start(plan, LaunchOptions(retry_failed=True))
    assert [run.name for run in retried] == [run.name for run in plan.runs if run.evaluation]
    # Neither another evaluation nor the run itself has failed.
    assert {run.status for run in plan_of(study, GRID).runs} == {"done"}
    other_s = dataclasses.replace(GRID, changes=("iw_samples=7",))
    assert len(plan_of(study, other_s).with_status("evaluate")) == 2
    evaluate(config, folder)
    assert plan_of(study).runs[1].status == "done"


@pytest.mark.parametrize("damage", ["cut", "foreign"])
def test_a_damaged_evaluation_is_named_and_made_again(study, damage):
    (config, folder), _ = vaes(study)
    file = evaluate(config, folder)
    if damage == "cut":
        file.write_bytes(file.read_bytes()[:-5])
    else:
        evaluate(config, folder, fingerprint="ab" * 32)
    run = plan_of(study).runs[1]
    assert run.status == "evaluate"
    (line,) = run.damages
    assert line.startswith(str(file))


def test_estimates_of_older_code_are_made_again(study, monkeypatch):
    (config, folder), _ = vaes(study)
    evaluate(config, folder)
    assert plan_of(study).runs[1].status == "done"
    monkeypatch.setattr("lvae_core.identity.EVALUATION_VERSION", 2)
    plan = plan_of(study)
    assert {run.status for run in plan.runs} == {"evaluate"}
    todo = plan_of(study, GRID).with_status("evaluate")
    assert work_text(plan, todo) == "4 runs to evaluate again (by newer code)"
    evaluate(config, folder, version=2)
    assert plan_of(study).runs[1].status == "done"
    # A result of the newer code has its estimates, too.
    result = json.loads((folder / "result.json").read_text())
    del result["sha256"]
    write(folder / "result.json", result | {"evaluation_version": 2})
    assert plan_of(study, GRID).runs[1].status == "done"


def test_a_search_asks_for_no_other_estimates(study):
    plan = plan_of(study, evaluate=False)
    assert {(run.status, run.evaluation) for run in plan.runs} == {("done", "")}
    assert plan.notes == ()


def test_of_two_folders_of_a_run_the_one_with_the_estimates_is_used(tmp_path):
    fixture = Path(__file__).parents[2] / "fixtures" / "study_of_version_6"
    trained, twin = (f"toy__lstm-vae__standard__L2__seed0__{digits}" for digits in ("05200eb8", "9f49770f"))
    shutil.copytree(fixture, tmp_path / "study")
    corpus = load("toy")
    (config, _) = Study(str(fixture)).run(trained).read_config() or (None, "")
    assert config is not None

    def found(iw_samples: int) -> tuple[str, str, str]:
        wanted = dataclasses.replace(config, iw_samples=iw_samples)
        plan = make_plan(
            [wanted], {"toy": corpus.data_sha256}, Study(str(tmp_path / "study")), evaluate=True
        )
        (run,) = plan.runs
        return run.name, run.status, run.evaluation

    # They were evaluated with 8 and 12 samples; only the first has a checkpoint.
    assert found(8) == (trained, "done", "")
    assert found(12) == (twin, "done", "")
    name, status, _ = found(77)
    assert (name, status) == (trained, "evaluate")


def test_the_cost_of_evaluating_again_is_that_of_earlier_evaluations_by_operations(study):
    corpus = dataclasses.replace(load("toy"), data_sha256=DATA["toy"])
    configs = [dataclasses.replace(config, iw_exact_samples=0) for config in MORE.configs()]
    for path in study.glob("*__lstm-vae__*/*.json"):
        value = json.loads(path.read_text())
        del value["sha256"]
        value["config"]["iw_exact_samples"] = 0
        write(path, value)
    vae = configs[1]
    # Measured: 500 samples in one second. Everything except the encoder grows with S.
    V, D, H, Z = len(corpus.vocabulary), vae.embedding_size, vae.hidden_size, vae.latent_size
    encoder, draw = 8 * H * (D + H), 8 * H * (D + Z + H) + 2 * H * V
    expected = (encoder + 5000 * draw) / (encoder + 500 * draw)
    plan = look_up(configs, {"toy": corpus}, Study(str(study)))
    variant = plan.runs[1].variant
    assert plan.speed.evaluation_seconds(variant) == pytest.approx(expected)
    lm, whole, again = variant_costs(plan, lambda _: 0.25)
    assert (lm.todo, whole.todo, again.todo, again.again) == (0, 0, 2, True)
    assert again.hours == pytest.approx(2 * expected * 0.25 / 3600)
    printed = text(plan_table(plan, [lm, whole, again], None, 200))
    (row,) = [line.split() for line in printed.splitlines() if "evaluate again" in line]
    assert row[:3] == ["evaluate", "again", "2"]
    assert " ".join(row).endswith("earlier evaluations, by operations")
    (total,) = [line.split() for line in printed.splitlines() if line.split()[:1] == ["all"]]
    assert total[:4] == ["all", "2", "2", "0"]
    # All runs of the variant are in the row below its name.
    (named,) = [line.split() for line in printed.splitlines() if line.split()[:1] == ["lstm-vae"]]
    assert named == ["lstm-vae", "1"]
    # A measured evaluation of the cell takes precedence.
    plan.speed.add_evaluation(variant, 33.0)
    assert plan.speed.evaluation_seconds(variant) == 33.0
    assert plan.speed.evaluation_basis(variant) == "evaluations"


def test_the_closing_table_counts_what_is_still_to_evaluate(study):
    assert "to evaluate" in text(closing_table(plan_of(study), 200))
    assert "to evaluate" not in text(closing_table(plan_of(study, GRID), 200))


def test_the_next_command_chooses_the_new_estimates_once_there_are_any(study):
    def printed(grid=MORE) -> str:
        out = io.StringIO()
        print_next(Console(file=out, width=200), plan_of(study, grid), Study(str(study)))
        return out.getvalue().strip()

    plain = f"next: python analysis/summarize.py {study}"
    assert printed() == plain
    for config, folder in vaes(study):
        evaluate(config, folder)
    assert printed() == f"{plain} --evaluation iw_samples=5000"
    assert printed(GRID) == plain
