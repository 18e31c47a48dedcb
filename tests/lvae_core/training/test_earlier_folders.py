"""A folder of version 6 keeps its name and fingerprint, and resumes to the numbers of an unbroken run.

Another machine computed its first steps, so the numbers agree but for the order of sums. On one machine
test_determinism.py holds them to the last bit.
"""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lvae_core.__main__ import main
from lvae_core.config import RunConfig, from_dict
from lvae_core.data.corpus import Corpus, load
from lvae_core.errors import InputError
from lvae_core.run_folder.folder import RunFolder, reproducible
from lvae_core.training.runtime import Runtime
from lvae_core.training.trainer import execute
from tests.logs import expect_log

from .. import tiny

FIXTURE = Path(__file__).parents[2] / "fixtures" / "study_of_version_6"
INTERRUPTED = "toy__lstm-vae-avg__inputless__L2__seed1__4b353037"
FINISHED = "toy__lstm-vae__standard__L2__seed0__05200eb8"
HASHES = {"metrics_sha256", "digest"}


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return load("toy")


def copy(name: str, place: Path) -> RunFolder:
    shutil.copytree(FIXTURE / name, place / name)
    return tiny.folder(place, name)


def config_of(name: str) -> RunConfig:
    return from_dict(json.loads((FIXTURE / name / "config.json").read_text())["config"])


def finish(config: RunConfig, corpus: Corpus, folder: RunFolder, runtime: Runtime | None = None) -> dict:
    for _ in execute(config, corpus, folder, runtime or Runtime()):
        pass
    return numbers(folder)


def numbers(folder: RunFolder) -> dict:
    """Everything that is promised to the last bit, except the folder's fingerprint."""
    result = reproducible(folder.read_json("result.json") or {})
    return {key: value for key, value in result.items() if key != "fingerprint"}


def agree(found: Any, expected: Any) -> bool:
    """Whether values are equal, floats but for the order of sums; a hash of such numbers says nothing."""
    if isinstance(expected, dict):
        keys = expected.keys() - HASHES
        return keys == found.keys() - HASHES and all(agree(found[k], expected[k]) for k in keys)
    if isinstance(expected, list):
        return len(found) == len(expected) and all(map(agree, found, expected))
    return bool(
        found == (pytest.approx(expected, rel=1e-5, abs=1e-7) if isinstance(expected, float) else expected)
    )


def test_an_interrupted_run_resumes_to_the_numbers_of_an_uninterrupted_one(tmp_path, corpus):
    config = config_of(INTERRUPTED)
    earlier, new = copy(INTERRUPTED, tmp_path), tiny.folder(tmp_path, "new")
    step = json.loads((tmp_path / INTERRUPTED / "provenance.json").read_text())["attempts"]
    assert agree(finish(config, corpus, earlier), finish(config, corpus, new))
    assert agree(earlier.read_metrics(), new.read_metrics())
    result = earlier.read_json("result.json") or {}
    assert result["fingerprint"].startswith("4b353037")
    attempts = (earlier.read_json("provenance.json") or {})["attempts"]
    assert len(attempts) == len(step) + 1
    assert attempts[-1]["from_step"] > 0


def test_other_fields_of_evaluation_apply_when_an_earlier_run_is_resumed(tmp_path, corpus):
    config = replace(config_of(INTERRUPTED), iw_samples=5)
    earlier, new = copy(INTERRUPTED, tmp_path), tiny.folder(tmp_path, "new")
    found = finish(config, corpus, earlier)
    assert agree(found, finish(config, corpus, new))
    assert not agree(found, finish(config_of(INTERRUPTED), corpus, tiny.folder(tmp_path, "as-begun")))


def test_an_evaluation_begun_with_other_fields_restarts(tmp_path, corpus):
    config = replace(config_of(FINISHED), eval_batch_size=7)
    folder, new = (tiny.folder(tmp_path, name) for name in ("run", "new"))
    run = execute(config, corpus, folder, Runtime(progress_seconds=0))
    next(progress for progress in run if progress.phase == "evaluate" and progress.fraction > 0.5)
    run.close()
    other = replace(config, iw_samples=5)
    assert finish(other, corpus, folder) == finish(other, corpus, new)


def test_a_finished_run_of_an_earlier_version_is_unchanged(tmp_path, corpus):
    folder = copy(FINISHED, tmp_path)
    before = folder.store.read(f"{FINISHED}/result.json")
    finish(config_of(FINISHED), corpus, folder)
    assert folder.store.read(f"{FINISHED}/result.json") == before


def test_a_damaged_config_of_a_finished_run_is_rewritten_from_its_result(tmp_path, corpus):
    folder = copy(FINISHED, tmp_path)
    before = folder.read_config()
    (tmp_path / FINISHED / "config.json").write_text("{")
    with expect_log("lvae.run_folder", "config.json: damaged"):
        finish(config_of(FINISHED), corpus, folder)
    assert folder.read_config() == before


def test_a_folder_of_other_training_is_refused(tmp_path, corpus):
    folder = copy(FINISHED, tmp_path)
    with pytest.raises(InputError, match="belongs to another run"):
        finish(replace(config_of(FINISHED), dropout=0.1), corpus, folder)


def test_the_run_command_resumes_in_a_folder_of_an_earlier_version(tmp_path, capsys):
    copy(INTERRUPTED, tmp_path)
    given = str(FIXTURE / INTERRUPTED / "config.json")
    assert main(["run", given, "--out", str(tmp_path / INTERRUPTED)]) == 0
    assert "next: python -m lvae_core generate" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == [INTERRUPTED]
