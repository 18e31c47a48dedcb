"""An evaluation divided into parts: the numbers of the whole, whoever scores which part, and when."""

import dataclasses
import io
import shutil
import subprocess
from pathlib import Path

import pytest
import torch

from lvae_core.__main__ import main
from lvae_core.errors import InputError
from lvae_core.evaluation.evaluate import Part
from lvae_core.identity import evaluation_id
from lvae_core.run_folder.evaluations import part_count, progress_file
from lvae_core.run_folder.folder import RunFolder
from lvae_core.run_folder.study import Study
from lvae_core.training.evaluate_again import evaluate_part
from lvae_core.training.runtime import Runtime

from ...commands import python
from ...logs import expect_log
from .test_evaluate_again import CORPUS, estimates, on_a_machine, run, train_anew, trained

BATCHES = 5  # of two sentences, of nine


def score(config, folder: RunFolder, part: str, stop_after: int | None = None) -> None:
    work = evaluate_part(config, CORPUS, folder, Runtime(progress_seconds=0), Part.parse(part))
    for count, progress in enumerate(work, start=1):
        if stop_after == count and progress.phase != "done":
            work.close()


def progress_files(folder: RunFolder) -> list[str]:
    return [name for name in folder.store.names(folder.name) if name.startswith("evaluation-")]


@pytest.fixture(scope="module", params=["lstm-vae-avg", "sa-vae"])
def direct(request, tmp_path_factory) -> tuple:
    """A run whose training computed the estimates that the tests ask for."""
    return trained(tmp_path_factory.mktemp("direct"), system=request.param, iw_samples=11)


@pytest.mark.parametrize("count", [2, 3, BATCHES])
def test_parts_scored_in_any_order_have_the_numbers_of_the_whole(tmp_path, direct, count):
    wanted, of_training = direct
    _, folder = trained(tmp_path, system=wanted.system)
    for number in reversed(range(1, count + 1)):
        score(wanted, folder, f"{number}/{count}")
    assert len(progress_files(folder)) == count
    assert run(wanted, folder) == 1, "nothing is left to score"
    assert estimates(folder, wanted) == of_training.read_json("result.json")["estimates"]
    assert len(progress_files(folder)) == 1, "the parts are replaced by the evaluation"


def test_missing_and_unfinished_parts_are_scored_when_the_parts_are_joined(tmp_path, direct):
    wanted, of_training = direct
    _, folder = trained(tmp_path, system=wanted.system)
    score(wanted, folder, "1/2", stop_after=1)
    run(wanted, folder, stop_after=1)
    run(wanted, folder)
    assert estimates(folder, wanted) == of_training.read_json("result.json")["estimates"]


def test_a_stopped_part_resumes_to_the_last_bit(tmp_path, direct):
    wanted, of_training = direct
    _, folder = trained(tmp_path, system=wanted.system)
    score(wanted, folder, "1/2", stop_after=1)
    score(wanted, folder, "1/2", stop_after=1)
    score(wanted, folder, "1/2")
    score(wanted, folder, "2/2")
    assert run(wanted, folder) == 1
    assert estimates(folder, wanted) == of_training.read_json("result.json")["estimates"]


def test_a_damaged_part_is_set_aside_and_scored_again(tmp_path, direct):
    wanted, of_training = direct
    _, folder = trained(tmp_path, system=wanted.system)
    for part in ("1/2", "2/2"):
        score(wanted, folder, part)
    path = tmp_path / "study" / folder.name / progress_file(evaluation_id(wanted), 2, 2)
    path.write_bytes(path.read_bytes()[:-1])
    with expect_log("lvae.run_folder", "part-2-of-2.checkpoint.pt: cannot be used; set aside as"):
        run(wanted, folder)
    assert estimates(folder, wanted) == of_training.read_json("result.json")["estimates"]


def test_more_parts_than_batches_are_refused(tmp_path):
    config, folder = trained(tmp_path)
    other = dataclasses.replace(config, iw_samples=11)
    score(other, folder, f"{BATCHES}/{BATCHES}")
    for number in (1, BATCHES + 1):
        with pytest.raises(InputError, match=rf"--part {number}/{BATCHES + 1}: more parts than the test"):
            score(other, folder, f"{number}/{BATCHES + 1}")


def test_a_division_into_more_parts_than_batches_does_not_count(tmp_path, direct):
    """Earlier versions scored its first parts, and could then never join them."""
    wanted, of_training = direct
    _, folder = trained(tmp_path, system=wanted.system)
    name = evaluation_id(wanted)
    for number in range(1, BATCHES + 1):
        folder.write_payload(progress_file(name, number, BATCHES + 1), b"")
    assert part_count(folder, name, BATCHES) == 0
    assert part_count(folder, name, BATCHES + 1) == BATCHES + 1
    run(wanted, folder)
    assert estimates(folder, wanted) == of_training.read_json("result.json")["estimates"]
    assert len(progress_files(folder)) == 1, "they are removed"


def test_a_part_of_a_lost_model_is_scored_anew(tmp_path, monkeypatch):
    on_a_machine(monkeypatch, bfloat16=True)
    config, folder = trained(tmp_path, precision="auto")
    wanted = dataclasses.replace(config, iw_samples=11)
    score(wanted, folder, "1/2")
    on_a_machine(monkeypatch, bfloat16=False)
    train_anew(config, folder)
    score(wanted, folder, "2/2")
    assert run(wanted, folder) > 1, "part 1 is scored"
    _, of_training = trained(tmp_path, "direct", precision="auto", iw_samples=11)
    assert estimates(folder, wanted) == of_training.read_json("result.json")["estimates"]


def test_a_part_that_does_not_say_of_which_model_it_is_counts(tmp_path, direct):
    wanted, of_training = direct
    _, folder = trained(tmp_path, system=wanted.system)
    for part in ("1/2", "2/2"):
        score(wanted, folder, part)
    for number in (1, 2):
        file = progress_file(evaluation_id(wanted), number, 2)
        state = torch.load(io.BytesIO(folder.read_checkpoint(file)), weights_only=True)
        del state["metrics_sha256"]
        buffer = io.BytesIO()
        torch.save(state, buffer)
        folder.write_payload(file, buffer.getvalue())
    assert run(wanted, folder) == 1, "nothing is left to score"
    assert estimates(folder, wanted) == of_training.read_json("result.json")["estimates"]


@pytest.mark.parametrize("begin", [1, 3])
def test_a_run_that_is_deleted_while_a_part_is_scored_stays_deleted(tmp_path, begin):
    config, folder = trained(tmp_path)
    other = dataclasses.replace(config, iw_samples=11)
    work = evaluate_part(other, CORPUS, folder, Runtime(progress_seconds=0), Part(1, 2))
    for _ in range(begin):
        next(work)
    shutil.rmtree(tmp_path / "study" / folder.name)
    with pytest.raises(InputError, match="the run is gone"):
        work.close() if begin == 1 else list(work)
    assert not (tmp_path / "study" / folder.name).exists()


@pytest.mark.parametrize(
    "text", ["0/2", "3/2", "1", "a/b", "1/0", "-1/2", "1/2/3", "1.5/2", "١/٢", "9" * 9]
)
def test_a_part_that_is_none_is_refused(text):
    with pytest.raises(InputError, match="give K/N"):
        Part.parse(text)


def command(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [*python(), "-m", "lvae_core", *arguments], capture_output=True, text=True, timeout=240
    )


def test_two_processes_score_parts_at_once_and_a_third_joins_them(tmp_path, capsys):
    recipe = tmp_path / "run.json"
    small = "hidden_size=4 embedding_size=4 latent_size=2 max_epochs=1 iw_samples=4 eval_batch_size=40"
    settings = [word for field in small.split() for word in ("--set", field)]
    assert main(["recipe", "lstm-vae", "--dataset", "toy", *settings]) == 0
    recipe.write_text(capsys.readouterr().out)
    assert main(["run", str(recipe), "--out", str(tmp_path / "runs" / "one")]) == 0
    again = ["evaluate", str(tmp_path / "runs" / "one"), "--set", "iw_samples=9"]
    parts = [
        subprocess.Popen([*python(), "-m", "lvae_core", *again, "--part", f"{n}/2"], stderr=subprocess.PIPE)
        for n in (1, 2)
    ]
    ends = [part.communicate(timeout=240)[1].decode() for part in parts]
    assert [part.returncode for part in parts] == [0, 0], ends
    assert all(f"next, once all 2 parts are: python -m lvae_core {' '.join(again)}" in end for end in ends)
    joined = command(*again)
    assert joined.returncode == 0, joined.stderr
    whole = Study(str(tmp_path / "runs")).run("one")
    (file,) = progress_files(whole)
    of_parts = whole.read_json(file)["estimates"]
    Path(tmp_path / "runs" / "one" / file).unlink()
    assert main(again) == 0
    assert whole.read_json(file)["estimates"] == of_parts


def test_a_bad_part_is_one_line(tmp_path, capsys):
    _, folder = trained(tmp_path)
    assert main(["evaluate", str(tmp_path / "study" / folder.name), "--part", "3/2"]) == 2
    assert capsys.readouterr().err == "error: --part 3/2: give K/N with K from 1 to N, such as 2/8\n"
