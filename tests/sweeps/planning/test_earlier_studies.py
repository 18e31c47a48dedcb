"""Studies of version 6, whose fingerprints cover unread fields, are read and resumed, not repeated."""

import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from lvae_core.config import RunConfig, from_dict
from lvae_core.data.corpus import Corpus, load
from lvae_core.identity import fingerprint
from lvae_core.run_folder.names import run_name
from lvae_core.run_folder.study import Study
from sweeps.planning.plan import Plan
from sweeps.planning.run_lookup import make_plan

FIXTURE = Path(__file__).parents[2] / "fixtures" / "study_of_version_6"
INTERRUPTED = "toy__lstm-vae-avg__inputless__L2__seed1__4b353037"
LM, LM_TWIN = (f"toy__lstm-lm__standard__L0__seed0__{digits}" for digits in ("57bdf510", "821897e8"))
VAE_8, VAE_12 = (f"toy__lstm-vae__standard__L2__seed0__{digits}" for digits in ("05200eb8", "9f49770f"))
AVG = "toy__lstm-vae-avg__standard__L2__seed0__4a30d478"
GRID = (LM, VAE_8, AVG, INTERRUPTED)


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return load("toy")


@pytest.fixture
def study(tmp_path) -> Path:
    return shutil.copytree(FIXTURE, tmp_path / "study")


def config_of(name: str, root: Path = FIXTURE) -> RunConfig:
    return from_dict(json.loads((root / name / "config.json").read_text())["config"])


def plan(study: Path, corpus: Corpus, *configs: RunConfig) -> Plan:
    return make_plan(configs, {"toy": corpus.data_sha256}, Study(str(study)), evaluate=True)


def write(file: Path, value: dict[str, object]) -> None:
    """An object with its digest, as anyone can compute it."""
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"))
    file.write_text(json.dumps(value | {"sha256": hashlib.sha256(canonical.encode()).hexdigest()}))


def test_finished_runs_of_an_earlier_study_are_done_and_none_is_trained_again(study, corpus):
    before = sorted(study.iterdir())
    found = plan(study, corpus, *map(config_of, GRID))
    assert [(run.name, run.status, run.begun) for run in found.runs] == [
        (LM, "done", True),
        (VAE_8, "done", True),
        (AVG, "done", True),
        (INTERRUPTED, "left", True),
    ]
    assert sorted(study.iterdir()) == before


def test_a_field_that_training_does_not_read_makes_no_other_run(study, corpus):
    shutil.rmtree(study / LM_TWIN)
    for other in (config_of(LM_TWIN), replace(config_of(LM), kl_weight=0.5, iw_samples=99)):
        assert [(run.name, run.status) for run in plan(study, corpus, other).runs] == [(LM, "done")]


def test_a_field_that_training_reads_makes_another_run(study, corpus):
    for changes in ({"dropout": 0.4}, {"seed": 5}, {"optimiser": "adam"}, {"valid_precision": "bfloat16"}):
        (run,) = plan(study, corpus, replace(config_of(VAE_8), **changes)).runs
        assert (run.status, run.begun) == ("left", False)


def test_other_data_or_later_numerics_make_other_runs(study, corpus, monkeypatch):
    other = make_plan([config_of(VAE_8)], {"toy": "0" * 64}, Study(str(study)), evaluate=True)
    assert [run.status for run in other.runs] == ["left"]
    monkeypatch.setattr("lvae_core.identity.NUMERICS_VERSION", 7)
    assert [run.status for run in plan(study, corpus, config_of(VAE_8)).runs] == ["left"]


def test_of_two_folders_of_a_run_the_finished_one_is_used_and_one_note_says_so(study, corpus):
    (study / LM / "result.json").unlink()
    found = plan(study, corpus, config_of(LM), config_of(VAE_8))
    assert [(run.name, run.status) for run in found.runs] == [(LM_TWIN, "done"), (VAE_8, "done")]
    assert found.notes == (f"2 runs have more than one folder in this study; used: {LM_TWIN}, {VAE_8}",)


def test_a_folder_named_by_todays_fingerprint_is_used_unless_an_earlier_one_is_finished(study, corpus):
    config = config_of(VAE_8)
    own = run_name(config, fingerprint(config, corpus.data_sha256))
    shutil.copytree(study / VAE_8, study / own)
    (study / own / "result.json").unlink()
    claim = json.loads((study / own / "config.json").read_text())
    write(
        study / own / "config.json",
        {"fingerprint": fingerprint(config, corpus.data_sha256), "config": claim["config"]},
    )
    assert [run.name for run in plan(study, corpus, config).runs] == [VAE_8]
    for earlier in (VAE_8, VAE_12):
        (study / earlier / "result.json").unlink()
    assert [run.name for run in plan(study, corpus, config).runs] == [own]


def test_an_edited_config_of_an_earlier_folder_matches_nothing(study, corpus):
    claim = json.loads((study / AVG / "config.json").read_text())
    edited = claim["config"] | {"dropout": 0.1}
    write(study / AVG / "config.json", {"fingerprint": claim["fingerprint"], "config": edited})
    for config in (config_of(AVG), from_dict(edited)):
        assert [run.begun for run in plan(study, corpus, config).runs] == [False]


def test_a_finished_folder_with_a_damaged_config_is_found_by_its_result(study, corpus):
    (study / AVG / "config.json").write_text("{")
    (run,) = plan(study, corpus, config_of(AVG)).runs
    assert (run.name, run.status) == (AVG, "left")
    assert "config.json: damaged" in run.damages[0]


def test_only_configs_of_a_planned_cell_and_seed_are_read(study, corpus, monkeypatch):
    read = []
    opened = Study(str(study))
    original = opened.store.read
    monkeypatch.setattr(opened.store, "read", lambda path: read.append(path) or original(path))
    make_plan([config_of(AVG)], {"toy": corpus.data_sha256}, opened, evaluate=True)
    assert {path for path in read if path.endswith("config.json")} == {f"{AVG}/config.json"}


def test_trained_runs_with_other_estimates_are_evaluated_again_from_their_checkpoints(study, corpus):
    shutil.rmtree(study / VAE_12)
    found = plan(study, corpus, replace(config_of(VAE_8), iw_samples=77))
    assert [(run.name, run.status) for run in found.runs] == [(VAE_8, "evaluate")]
    assert found.notes == ()
    assert plan(study, corpus, config_of(VAE_8)).notes == ()
    (study / VAE_8 / "checkpoint.pt").unlink()
    found = plan(study, corpus, replace(config_of(VAE_8), iw_samples=77))
    assert found.runs[0].status == "done"
    (note,) = found.notes
    assert note.startswith("1 run has other estimates than these settings ask for, and no checkpoint.pt")
    assert plan(study, corpus, config_of(VAE_8)).notes == ()
