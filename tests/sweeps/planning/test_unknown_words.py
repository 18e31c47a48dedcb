"""New studies over a folder train its unknown word; a study with finished runs keeps what they have."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from lvae_core.config import RunConfig
from lvae_core.data.corpus import load
from lvae_core.errors import InputError
from lvae_core.identity import fingerprint
from lvae_core.messages import NOTICE
from lvae_core.run_folder.names import run_name
from lvae_core.run_folder.study import Study
from lvae_core.systems import recipe
from sweeps.paper_grid import main
from sweeps.planning.loading import load_corpora, look_up

from ...logs import expect_log
from .test_plan import finish, write


@pytest.fixture(params=["never", "seldom"])
def folder(tmp_path, request):
    """Text of an unknown word that training never has, or has once in over 100 tokens."""
    path = tmp_path / "mine"
    path.mkdir()
    train = "a b a\nc a\nb\n" + ("" if request.param == "never" else "a b\n" * 40 + "c d e f g h <unk>\n")
    for split, text in {"train": train, "valid": "new b a\n", "test": "b newer\n"}.items():
        (path / f"{split}.txt").write_text(text)
    return path


@pytest.fixture
def study(tmp_path) -> Study:
    return Study(str(tmp_path / "study"))


def configs_of(folder) -> list[RunConfig]:
    return [
        recipe(name, dataset=str(folder), seed=seed) for name in ("lstm-lm", "lstm-vae") for seed in (0, 1)
    ]


def finish_in(study: Study, config: RunConfig) -> None:
    finish(Path(study.url), config, data=load(config.dataset).data_sha256)


def test_a_new_study_trains_the_unknown_word(folder, study, caplog):
    caplog.set_level(NOTICE, "lvae")
    configs, corpora = load_corpora(configs_of(folder), None, study, given=())
    assert {config.min_count for config in configs} == {2}
    assert [replace(config, min_count=1) for config in configs] == configs_of(folder)
    assert corpora[str(folder)].unseen is None
    assert "note: mine: min_count=2, so that" in caplog.text
    for config in configs[:2]:
        finish_in(study, config)
    again, _ = load_corpora(configs_of(folder), None, study, given=())
    assert again == configs


def test_finished_runs_of_the_former_default_stay_done_and_others_follow_them(folder, study, caplog):
    caplog.set_level(NOTICE, "lvae")
    former = configs_of(folder)
    finish_in(study, former[0])
    with expect_log("lvae.data", "; min_count=2 lets"):
        configs, corpora = load_corpora(former, None, study, given=())
    assert configs == former
    assert "the runs of this study have min_count=1, so further runs have it, too" in caplog.text
    plan = look_up(configs, corpora, study)
    assert [run.status for run in plan.runs] == ["done", "left", "left", "left"]
    # The fingerprint by which earlier versions named the folder.
    assert plan.runs[0].name == run_name(former[0], fingerprint(former[0], load(str(folder)).data_sha256))


def test_the_choice_of_the_user_counts(folder, study):
    with expect_log("lvae.data", "; min_count=2 lets"):
        configs, _ = load_corpora(configs_of(folder), None, study, given=("min_count",))
    assert configs == configs_of(folder)


def test_a_study_with_both_values_asks_for_a_choice(folder, study):
    finish_in(study, configs_of(folder)[0])
    finish_in(study, replace(configs_of(folder)[1], min_count=2))
    with pytest.raises(InputError, match=r"add --set min_count=1 or --set min_count=2$"):
        load_corpora(configs_of(folder), None, study, given=())


def test_the_commands_say_what_they_choose(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    command = ["--datasets", str(folder), "--seeds", "1", "--dry-run"]
    assert main(command) == 0
    assert "note: mine: min_count=2, so that training shows the unknown word" in capsys.readouterr().err
    with expect_log("lvae.data", "; min_count=2 lets"):
        assert main([*command, "--set", "min_count=1"]) == 0
    assert "warning: " in (err := capsys.readouterr().err)
    assert "25.0% of the tokens of valid and 33.3% of test" in err


def test_a_recipe_for_a_folder_trains_its_unknown_word(folder, tmp_path, capsys):
    from lvae_core.__main__ import main as core

    def min_count(*arguments: str) -> int:
        assert core(["recipe", "lstm-lm", "--dataset", *arguments]) == 0
        return int(json.loads(capsys.readouterr().out)["min_count"])

    assert min_count(str(folder)) == 2
    assert min_count(str(folder), "--set", "min_count=1") == 1
    assert min_count(str(tmp_path / "none-yet")) == 1
    assert min_count("ptb") == 1


def test_no_note_precedes_an_error(folder, study, capsys):
    config = replace(configs_of(folder)[0], min_count=2)
    run = finish(Path(study.url), config, data=load(str(folder)).data_sha256)
    write(run / "result.json", {"fingerprint": "0" * 64})
    command = ["--datasets", str(folder), "--systems", "lstm-lm", "lstm-vae-avg", "--num-samples", "1"]
    command += ["--settings", "standard", "--storage", str(Path(study.url).parent), "--study", "study"]
    with expect_log("lvae.data", optional=True):
        assert main([*command, "--dry-run"]) == 2
    out, err = capsys.readouterr()
    (line,) = (line for line in err.splitlines() if not line.startswith("warning: "))
    assert line.startswith("error: ")
    assert out == ""
