"""PTB, Yahoo and folders stop after three failures in a row; studies of the former rule keep it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from lvae_core.config import RunConfig
from lvae_core.data.corpus import load
from lvae_core.errors import InputError
from lvae_core.identity import fingerprint
from lvae_core.messages import NOTICE
from lvae_core.parents import parent_of
from lvae_core.run_folder.names import run_name
from lvae_core.run_folder.study import Study
from lvae_core.systems import recipe
from sweeps.planning.grid import Grid
from sweeps.planning.loading import load_corpora, look_up

from .test_plan import finish


@pytest.fixture
def folder(tmp_path) -> str:
    path = tmp_path / "mine"
    path.mkdir()
    for split in ("train", "valid", "test"):
        (path / f"{split}.txt").write_text("a b <unk>\nc a\nb\n")
    return str(path)


@pytest.fixture
def study(tmp_path) -> Study:
    return Study(str(tmp_path / "study"))


def grid_of(folder: str, *systems: str, original: bool = False) -> list[RunConfig]:
    grid = Grid(
        datasets=(folder,),
        systems=dict.fromkeys(systems, (1,)),
        settings=("standard",),
        seeds=2,
        protocol="original" if original else "matched",
    )
    return grid.configs()


def rules(configs: list[RunConfig]) -> list[str]:
    return [config.patience_rule for config in configs]


def finish_in(study: Study, config: RunConfig, **changes: str) -> None:
    finish(Path(study.url), replace(config, **changes), data=load(config.dataset).data_sha256)


def planned(configs: list[RunConfig], study: Study, *given: str) -> list[RunConfig]:
    return load_corpora(configs, None, study, given=given)[0]


@pytest.mark.parametrize("dataset", ["ptb", "yahoo", "/some/where/own"])
def test_the_rule_of_the_paper_s_corpora_and_of_folders(dataset):
    assert recipe("lstm-vae", dataset=dataset).patience_rule == "in_a_row"


@pytest.mark.parametrize("dataset", ["toy", "topics", "pydocs"])
def test_the_small_corpora_stop_sooner(dataset):
    assert recipe("lstm-vae", dataset=dataset).patience_rule == "in_all"


def test_a_study_with_runs_of_the_former_rule_keeps_it(folder, study, caplog):
    caplog.set_level(NOTICE, "lvae")
    configs = grid_of(folder, "lstm-lm", "lstm-vae")
    assert planned(configs, study) == configs
    assert "patience_rule" not in caplog.text
    finish_in(study, configs[0], patience_rule="in_all")
    kept, corpora = load_corpora(configs, None, study, given=())
    assert kept == [replace(config, patience_rule="in_all") for config in configs]
    assert "note: mine: the runs of this study have patience_rule=in_all, so further" in caplog.text
    plan = look_up(kept, corpora, study)
    assert [run.status for run in plan.runs] == ["done", "left", "left", "left"]
    # The fingerprint that earlier versions gave the run: the field's default is not part of it.
    assert plan.runs[0].name == run_name(kept[0], fingerprint(kept[0], corpora[folder].data_sha256))


def test_seeds_added_to_a_study_have_its_rule(folder, study):
    (_, second) = grid_of(folder, "lstm-vae")
    finish_in(study, replace(second, seed=0), patience_rule="in_all")
    assert rules(planned([second], study)) == ["in_all"]


def test_the_choice_of_the_user_counts(folder, study):
    configs = grid_of(folder, "lstm-lm")
    finish_in(study, configs[0], patience_rule="in_all")
    assert planned(configs, study, "patience_rule") == configs


def test_a_study_with_both_rules_asks_for_a_choice(folder, study):
    first, second = grid_of(folder, "lstm-lm")
    finish_in(study, first, patience_rule="in_all")
    finish_in(study, second)
    with pytest.raises(InputError, match=r"--set patience_rule=in_all or --set patience_rule=in_a_row$"):
        planned([first, second], study)


def test_authors_with_a_patience_of_their_own_decide_nothing_and_keep_theirs(folder, study):
    authors = grid_of(folder, "lstm-vmf-vae", original=True)
    language_models = grid_of(folder, "lstm-lm")
    finish_in(study, authors[0])
    assert planned(language_models, study) == language_models
    finish_in(study, language_models[0], patience_rule="in_all")
    assert rules(planned([*authors, *language_models], study)) == ["in_a_row"] * 2 + ["in_all"] * 2


@pytest.mark.parametrize("original", [False, True], ids=["matched", "original"])
def test_the_language_model_that_an_encoder_starts_from_has_the_rule_of_the_study(folder, study, original):
    child, _ = grid_of(folder, "cnn-vae-init", original=original)
    language_model = replace(grid_of(folder, "lstm-lm")[0], max_epochs=child.max_epochs)
    assert parent_of(child) == language_model
    finish_in(study, language_model, patience_rule="in_all")
    (kept,) = planned([child], study)
    assert parent_of(kept) == replace(language_model, patience_rule="in_all")
