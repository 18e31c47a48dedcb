"""Another evaluation of a trained run: training's own numbers, resumable to the last bit."""

import dataclasses
import shutil
from pathlib import Path

import pytest

from lvae_core import rough_scoring
from lvae_core.__main__ import main
from lvae_core.data import corpus as corpus_module
from lvae_core.errors import InputError
from lvae_core.identity import evaluation_id, fingerprint
from lvae_core.model.layers import precision
from lvae_core.run_folder.evaluations import (
    evaluation_file,
    failure_file,
    find_evaluation,
    is_evaluation,
    progress_file,
)
from lvae_core.run_folder.folder import RunFolder
from lvae_core.run_folder.names import run_name
from lvae_core.run_folder.study import Study
from lvae_core.training.evaluate_again import evaluate_again
from lvae_core.training.failures import DivergedError
from lvae_core.training.runtime import Runtime
from lvae_core.training.state import load_checkpoint, save_checkpoint
from lvae_core.training.trainer import execute

from ...logs import expect_log
from .. import tiny

CORPUS = tiny.corpus(test=9, unknown=3)
SMALL = {"max_epochs": 2, "eval_batch_size": 2, "iw_samples": 6, "iw_exact_samples": 0, "mi_samples": 2}
FIXTURE = Path(__file__).parents[2] / "fixtures" / "study_of_version_6"


def trained(tmp_path: Path, name: str = "study", system: str = "lstm-vae-avg", **fields) -> tuple:
    config = tiny.config(system, **{**SMALL, **fields})
    folder = Study(str(tmp_path / name)).run(run_name(config, fingerprint(config, CORPUS.data_sha256)))
    for _ in execute(config, CORPUS, folder, Runtime()):
        pass
    return config, folder


def run(config, folder: RunFolder, stop_after: int | None = None) -> int:
    """Evaluate, stop after a number of reports, and return how many there were."""
    work = evaluate_again(config, CORPUS, folder, Runtime(progress_seconds=0))
    for count, progress in enumerate(work, start=1):
        if stop_after == count and progress.phase != "done":
            work.close()
            return count
    return count


def estimates(folder: RunFolder, config) -> dict:
    record = find_evaluation(folder, evaluation_id(config))
    assert record is not None
    return record["estimates"]


def further(folder: RunFolder) -> list[str]:
    return [name for name in folder.store.names(folder.name) if is_evaluation(name)]


@pytest.mark.parametrize("system", ["lstm-vae-avg", "sa-vae"])
def test_the_numbers_are_those_that_training_would_have_written(tmp_path, system):
    config, folder = trained(tmp_path, system=system)
    other = dataclasses.replace(config, iw_samples=11, mi_samples=5)
    run(other, folder)
    _, direct = trained(tmp_path, "direct", system, iw_samples=11, mi_samples=5)
    assert direct.name == folder.name, "fields of evaluation make no other run"
    assert estimates(folder, other) == direct.read_json("result.json")["estimates"]
    assert estimates(folder, config) == folder.read_json("result.json")["estimates"]
    assert estimates(folder, other)["unknown_words"]["value"] > 0
    assert len(further(folder)) == 1


@pytest.mark.parametrize("system", ["lstm-vae-avg", "sa-vae"])
@pytest.mark.parametrize("stops", [(1,), (2, 1), (3, 1)])
def test_a_stopped_evaluation_resumes_to_the_last_bit(tmp_path, stops, system):
    config, folder = trained(tmp_path, system=system)
    other = dataclasses.replace(config, iw_samples=11)
    copy = Study(str(tmp_path / "copy")).run(folder.name)
    shutil.copytree(tmp_path / "study", tmp_path / "copy", dirs_exist_ok=True)
    run(other, folder)
    for stop in stops:
        run(other, copy, stop_after=stop)
        assert copy.has(progress_file(evaluation_id(other)))
        assert not copy.has(evaluation_file(evaluation_id(other)))
    left = run(other, copy)
    assert left <= 6 - sum(stops), "it went on from where it had stopped"
    assert estimates(copy, other) == estimates(folder, other)
    assert not copy.has(progress_file(evaluation_id(other)))


def test_damaged_progress_is_set_aside_and_the_evaluation_restarts(tmp_path):
    config, folder = trained(tmp_path)
    other = dataclasses.replace(config, iw_samples=11)
    run(other, folder, stop_after=2)
    file = progress_file(evaluation_id(other))
    path = tmp_path / "study" / folder.name / file
    path.write_bytes(path.read_bytes()[:-3])
    with expect_log("lvae.run_folder", "cannot be used; set aside as"):
        run(other, folder)
    assert folder.has(f"{file}.damaged-1")
    _, direct = trained(tmp_path, "direct", iw_samples=11)
    assert estimates(folder, other) == direct.read_json("result.json")["estimates"]


def test_a_damaged_evaluation_is_set_aside_and_rewritten(tmp_path):
    config, folder = trained(tmp_path)
    other = dataclasses.replace(config, iw_samples=11)
    run(other, folder)
    wanted, file = estimates(folder, other), evaluation_file(evaluation_id(other))
    path = tmp_path / "study" / folder.name / file
    for content in (path.read_bytes()[:-9], b"{}", b""):
        path.write_bytes(content)
        with expect_log("lvae.run_folder", f"{file}: damaged"):
            run(other, folder)
        assert estimates(folder, other) == wanted
    assert folder.has(f"{file}.damaged-3")


def test_half_written_files_of_a_killed_evaluation_are_set_aside(tmp_path):
    config, folder = trained(tmp_path)
    (tmp_path / "study" / folder.name / ".evaluation-00000000.json.0123456789abcdef").write_bytes(
        b'{"finger'
    )
    with expect_log("lvae.run_folder", "left half-written"):
        run(dataclasses.replace(config, iw_samples=11), folder)
    assert folder.has("evaluation-00000000.json.partial-1")


def train_anew(config, folder: RunFolder) -> None:
    """Train a run again whose result was moved away because its checkpoints were lost."""
    for file in ("result.json", "checkpoint.pt", "checkpoint.previous.pt"):
        folder.store.delete(f"{folder.name}/{file}")
    for _ in execute(config, CORPUS, folder, Runtime()):
        pass


def on_a_machine(monkeypatch: pytest.MonkeyPatch, *, bfloat16: bool) -> None:
    """Let ``precision=auto`` come to what it does on another type of machine."""
    monkeypatch.setattr(precision, "_has_bfloat16", lambda kind, index: bfloat16)


def test_an_evaluation_of_a_lost_model_is_not_taken_for_one_of_its_successor(tmp_path, monkeypatch):
    on_a_machine(monkeypatch, bfloat16=True)
    config, folder = trained(tmp_path, precision="auto")
    other = dataclasses.replace(config, iw_samples=11)
    run(other, folder)
    lost, (file,) = estimates(folder, other), further(folder)
    model = folder.read_json("result.json")["metrics_sha256"]
    assert folder.read_json(file)["metrics_sha256"] == model
    on_a_machine(monkeypatch, bfloat16=False)
    train_anew(config, folder)
    assert find_evaluation(folder, evaluation_id(other)) is None
    run(other, folder)
    _, direct = trained(tmp_path, "direct", precision="auto", iw_samples=11)
    assert estimates(folder, other) == direct.read_json("result.json")["estimates"] != lost
    assert further(folder) == [file]


def test_an_evaluation_that_does_not_say_of_which_model_it_is_counts(tmp_path):
    config, folder = trained(tmp_path)
    other = dataclasses.replace(config, iw_samples=11)
    run(other, folder)
    (file,) = further(folder)
    record = folder.read_json(file)
    del record["metrics_sha256"]
    folder.write_json(file, record)
    assert find_evaluation(folder, evaluation_id(other)) == record
    assert run(other, folder) == 1


def test_the_checkpoint_must_hold_the_parameters_that_the_result_is_of(tmp_path):
    config, folder = trained(tmp_path, max_epochs=1)
    place = tmp_path / "study" / folder.name
    state = load_checkpoint(folder)
    state.rate = dataclasses.replace(state.rate, best_epoch=2)
    (place / "checkpoint.pt").unlink()
    save_checkpoint(folder, state)
    with pytest.raises(InputError, match="best parameters of epoch 2, not those of epoch 1; restore"):
        run(dataclasses.replace(config, iw_samples=11), folder)


def test_a_failure_is_recorded_next_to_the_result_and_cleared_by_success(tmp_path, monkeypatch, capsys):
    name = "toy__lstm-vae__standard__L2__seed0__05200eb8"
    place = Path(shutil.copytree(FIXTURE / name, tmp_path / name))
    command = ["evaluate", str(place), "--set", "iw_samples=12"]
    with monkeypatch.context() as broken:
        broken.setattr(
            "lvae_core.training.evaluate_again.latent_estimates",
            lambda *_: {"mi": {"value": float("nan")}},
        )
        assert main(command) == 1
    assert "diverged" in capsys.readouterr().err
    (file,) = place.glob("*failure.json")
    assert file.name.startswith("evaluation-")
    assert main(command) == 0
    assert not list(place.glob("*failure.json"))


@pytest.mark.parametrize("exact", [0, 6], ids=["all draws in full", "two phases"])
def test_inference_that_diverges_is_reported_as_such(tmp_path, monkeypatch, exact):
    monkeypatch.setattr(rough_scoring, "SHORTLIST", 2)  # of six words
    config, folder = trained(tmp_path, system="sa-vae")
    fields = {"svi_step_size": 1e6, "svi_steps": 4, "iw_samples": 10, "iw_exact_samples": exact}
    with pytest.raises(DivergedError, match="an estimate on the test split is not finite"):
        run(dataclasses.replace(config, **fields), folder)


def test_an_existing_evaluation_is_not_repeated(tmp_path):
    config, folder = trained(tmp_path)
    assert run(config, folder) == 1
    assert further(folder) == []


@pytest.mark.parametrize(
    ("prepare", "says"),
    [
        (lambda folder: (folder / "result.json").unlink(), "not finished"),
        (
            lambda folder: (folder / "checkpoint.pt").unlink(),
            "missing or damaged; restore",
        ),
    ],
)
def test_what_cannot_be_evaluated_is_refused(tmp_path, prepare, says):
    config, folder = trained(tmp_path)
    place = tmp_path / "study" / folder.name
    (place / "checkpoint.previous.pt").unlink(missing_ok=True)
    prepare(place)
    with pytest.raises(InputError, match=says):
        run(dataclasses.replace(config, iw_samples=11), folder)


def test_other_data_are_refused(tmp_path):
    config, folder = trained(tmp_path)
    other = dataclasses.replace(config, iw_samples=11)
    changed = dataclasses.replace(CORPUS, data_sha256="another")
    with pytest.raises(InputError, match="trained on other data"):
        list(evaluate_again(other, changed, folder, Runtime()))


def test_the_command_evaluates_a_run_of_an_earlier_version(tmp_path, capsys):
    name = "toy__lstm-vae__standard__L2__seed0__05200eb8"
    shutil.copytree(FIXTURE / name, tmp_path / name)
    assert main(["evaluate", str(tmp_path / name), "--set", "iw_samples=12"]) == 0
    out = capsys.readouterr().out
    # The fixture's study has a run of the same training that was evaluated so by its own code.
    twin = Study(str(FIXTURE), create=False).run("toy__lstm-vae__standard__L2__seed0__9f49770f")
    wanted = twin.read_json("result.json")["estimates"]
    folder = Study(str(tmp_path)).run(name)
    (file,) = further(folder)
    found = (folder.read_json(file) or {})["estimates"]
    # Newer code may know more estimates, and diagnostics of them. Another processor sums a product in
    # another order, which costs some 1e-9 here; another draw of noise costs about a standard error, 1e-4.
    for key, parts in wanted.items():
        assert {part: found[key][part] for part in parts} == pytest.approx(parts, rel=1e-5), key
    assert f"nll_iw        {wanted['nll_iw']['value']:.4f}" in out
    assert corpus_module.load("toy").data_sha256 == folder.read_json("result.json")["data_sha256"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (
            ["--set", "learning_rate=1"],
            "--set learning_rate: not a field that the estimates",
        ),
        (["--set", "iw_samples=1"], "iw_samples = 1: must be at least 2"),
        (["--threads", "0"], "--threads 0: must be at least 1"),
    ],
)
def test_bad_arguments_get_one_line(tmp_path, capsys, arguments, says):
    name = "toy__lstm-vae__standard__L2__seed0__05200eb8"
    shutil.copytree(FIXTURE / name, tmp_path / name)
    assert main(["evaluate", str(tmp_path / name), *arguments]) == 2
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1


def test_the_last_epoch_is_not_evaluated_if_an_earlier_version_kept_the_best_parameters_only(tmp_path):
    fields = {"learning_rate": 1.0, "optimiser": "adam", "max_epochs": 9, "num_samples": 1}
    schedule = {"lr_schedule": "reload_best", "lr_decay_from": 1, "reload_after": 1, "lr_max_decays": 1}
    config, folder = trained(tmp_path, system="lstm-vae", **fields, **schedule)
    last = dataclasses.replace(config, tested_epoch="last")
    state = load_checkpoint(folder)
    assert state.rate.reload
    run(last, folder)
    state.parameters = state.best_parameters
    save_checkpoint(folder, state)
    with pytest.raises(InputError, match=f"in place of those of the last epoch, {state.epoch}; leave"):
        run(dataclasses.replace(last, iw_samples=11), folder)
    run(dataclasses.replace(config, iw_samples=11), folder)
    assert run(last, folder) == 1, "what was evaluated keeps its numbers"


def test_the_failure_beside_an_evaluation_is_cleared(tmp_path):
    config, folder = trained(tmp_path)
    other = dataclasses.replace(config, iw_samples=11)
    run(other, folder)
    folder.write_failure("code", "m", "t", file=failure_file(evaluation_id(other)))
    run(other, folder)
    assert not folder.has(failure_file(evaluation_id(other)))
