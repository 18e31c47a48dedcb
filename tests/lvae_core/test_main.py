"""The command line of the core: output and exit status, mostly of real processes."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import time
from pathlib import Path

import pytest

from lvae_core.__main__ import main
from lvae_core.config import from_dict
from lvae_core.run_folder.folder import RunFolder, reproducible
from lvae_core.storage.store import open_store

from ..commands import python

TINY = ("--set", "max_epochs=2", "--set", "embedding_size=4", "--set", "hidden_size=6")
TINY_LATENT = ("--set", "iw_samples=4", "--set", "mi_samples=2", "--set", "kl_anneal_epochs=1")


def command(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*python(), "-m", "lvae_core", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=cwd,
        timeout=240,
    )


def write_recipe(path: Path, capsys: pytest.CaptureFixture[str], *arguments: str) -> Path:
    given = {setting.partition("=")[0] for setting in arguments}
    small = (*TINY, *(() if "lstm-lm" in arguments else TINY_LATENT))
    settings = [setting for setting in small[1::2] if setting.partition("=")[0] not in given]
    assert main(["recipe", "--dataset", "toy", "--set", *settings, *arguments]) == 0
    path.write_text(capsys.readouterr().out)
    return path


def test_recipe_prints_a_complete_config(capsys: pytest.CaptureFixture[str]) -> None:
    status = main(
        ["recipe", "lstm-vae-avg", "--dataset", "ptb", "--num-samples", "5", "--setting", "inputless",
         "--seed", "3"]
    )  # fmt: skip
    config = from_dict(json.loads(capsys.readouterr().out))
    assert status == 0
    assert (config.system, config.averaging, config.num_samples) == ("lstm-vae-avg", "hidden", 5)
    assert (config.setting, config.seed, config.hidden_size) == ("inputless", 3, 400)


def test_one_option_changes_several_fields(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recipe", "lstm-vae", "--set", "dropout=0.25", "min_count=4", "--set", "patience=9"]) == 0
    config = from_dict(json.loads(capsys.readouterr().out))
    assert (config.dropout, config.min_count, config.patience) == (0.25, 4, 9)


def test_the_run_that_an_encoder_starts_from_is_trained_in_a_folder_next_to_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = write_recipe(tmp_path / "run.json", capsys, "cnn-vae-init", "--set", "cnn_external=9")
    plain = write_recipe(tmp_path / "plain.json", capsys, "cnn-vae", "--set", "cnn_external=9")
    out = str(tmp_path / "study" / "child")
    assert main(["run", str(config), "--out", out]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"train it first with `python -m lvae_core run CONFIG --parent --out {out}`" in line
    assert not Path(out).exists()
    changes = ["--set", "seed=1", "max_epochs=1"]
    assert main(["run", str(config), *changes, "--parent", "--out", out]) == 0
    words = ["run", str(config), *changes, "--out", out]
    assert capsys.readouterr().err.splitlines()[-1] == f"next: python -m lvae_core {' '.join(words)}"
    assert main(words) == 0
    parent = json.loads((Path(out) / "provenance.json").read_text())["parent"]["run"]
    assert sorted(path.name for path in (tmp_path / "study").iterdir()) == ["child", parent]
    assert parent.startswith("toy__lstm-lm__standard__L0__seed1__")
    assert main(["run", str(plain), "--parent", "--out", out]) == 2
    assert "--parent: cnn-vae trains no other run first" in capsys.readouterr().err


def test_a_run_can_be_repeated_and_then_generates_sentences(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = write_recipe(tmp_path / "run.json", capsys, "lstm-vae-avg", "--num-samples", "2")
    done = command("run", config, "--out", "my-run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "nll_iw_joint" in done.stdout
    assert "epoch 2 of 2: valid PPL" in done.stderr
    assert done.stderr.strip().endswith("next: python -m lvae_core generate my-run")
    folder = RunFolder(open_store(tmp_path), "my-run")
    result = folder.read_json("result.json")
    assert result is not None
    assert result["config"] == json.loads(config.read_text())

    assert "finished before" not in done.stderr

    again = command("run", tmp_path / "my-run" / "config.json", "--out", "my-run", cwd=tmp_path)
    assert (again.returncode, again.stdout) == (0, done.stdout)
    assert "note: finished before; these are its numbers, and nothing was trained" in again.stderr
    assert folder.read_json("result.json") == result

    quiet = command("run", config, "--out", "quiet-run", "--quiet", cwd=tmp_path)
    assert (quiet.returncode, quiet.stdout, quiet.stderr) == (0, done.stdout, "")
    verbose = command("run", config, "--out", "my-run", "--verbose", cwd=tmp_path)
    assert verbose.stdout == done.stdout
    for line in ("info: lvae.run_folder: .*/my-run: claim 1 by ", "debug: lvae.run_folder: .*: read "):
        assert re.search(f"^{line}", verbose.stderr, re.MULTILINE)

    made = command("generate", "my-run", "--json", "--count", 3, cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    found = json.loads(made.stdout)
    assert [len(found[key]) for key in ("prior", "reconstructions", "interpolation")] == [3, 3, 3]
    made = command("generate", "my-run", "--decode", "beam", "--sentence", "ash bay", cwd=tmp_path)
    assert made.stdout.splitlines()[-2].strip() == "ash bay"
    assert "Interpolation" not in made.stdout
    made = command("generate", "my-run", "--sentence", " ", cwd=tmp_path)
    assert (made.returncode, made.stdout) == (2, "")
    assert made.stderr == "error: sentence ' ': has no word; give at least one\n"


def test_an_interrupted_run_resumes_to_the_same_result(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = write_recipe(
        tmp_path / "run.json", capsys, "lstm-vae", "--set", "max_epochs=9", "--set", "patience=9"
    )
    arguments = [*python(), "-m", "lvae_core", "run", str(config), "--out"]
    metrics = tmp_path / "a" / "metrics.jsonl"
    with subprocess.Popen([*arguments, str(tmp_path / "a")], stderr=subprocess.PIPE, text=True) as process:
        while not (metrics.exists() and metrics.read_bytes().count(b"\n") >= 3):
            assert process.poll() is None, "it ended before it was interrupted"
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=240)
    assert process.returncode == 130
    assert "run the same command again to resume it" in errors
    assert not (tmp_path / "a" / "result.json").exists()

    for out in ("a", "b"):
        done = subprocess.run([*arguments, str(tmp_path / out)], capture_output=True, timeout=240)
        assert done.returncode == 0
    a, b = (RunFolder(open_store(tmp_path), out) for out in ("a", "b"))
    assert a.read_metrics() == b.read_metrics()
    assert reproducible(a.read_json("result.json") or {}) == reproducible(b.read_json("result.json") or {})
    attempts = (a.read_json("provenance.json") or {})["attempts"]
    assert len(attempts) == 2


def test_a_diverged_run_is_reported_and_recorded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = write_recipe(
        tmp_path / "run.json", capsys, "lstm-lm", "--set", "learning_rate=1e30", "--set", "max_grad_norm=0"
    )
    done = command("run", config, "--out", tmp_path / "bad")
    assert done.returncode == 1
    assert "diverged" in done.stderr
    assert "Traceback" not in done.stderr
    failure = RunFolder(open_store(tmp_path), "bad").read_json("failure.json")
    assert failure is not None
    assert (failure["class"], failure["attempt"]) == ("diverged", 1)


def test_the_help_of_evaluate_lists_the_fields_that_it_takes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "--help"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "such as --set iw_samples=5000; repeatable" in shown
    assert "iw_samples: S, importance samples" in shown
    assert "eval_batch_size: " in shown
    for field in ("seed", "dropout", "learning_rate", "max_epochs"):
        assert f"{field}=" not in shown
        assert f" {field}: " not in shown
    assert main(["recipe", "--help"]) == 0
    assert " learning_rate: " in " ".join(capsys.readouterr().out.split())


def test_a_field_that_came_later_than_a_result_mislabels_no_number(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = write_recipe(tmp_path / "run.json", capsys, "lstm-lm", "--set", "max_epochs=1")
    words = ["run", str(config), "--out", str(tmp_path / "a")]
    assert main(words) == 0
    shown = capsys.readouterr().out
    folder = RunFolder(open_store(tmp_path), "a")
    result = folder.read_json("result.json")
    assert result is not None
    del result["config"]["tested_epoch"]
    folder.write_json("result.json", result)
    assert main([*words, "--set", "tested_epoch=last"]) == 0
    again, err = capsys.readouterr()
    assert again == shown
    assert "last epoch" not in again
    assert "note: the run was finished with other values than tested_epoch=last; to compute" in err


def test_a_finished_run_names_the_evaluation_that_it_does_not_have(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = write_recipe(tmp_path / "run.json", capsys, "lstm-vae", "--set", "max_epochs=1")
    words = ["run", str(config), "--out", str(tmp_path / "a")]
    assert main(words) == 0
    shown, err = capsys.readouterr()
    assert "other values" not in err
    assert main([*words, "--set", "iw_samples=5"]) == 0
    again, err = capsys.readouterr()
    assert again == shown
    assert err.splitlines()[-2:] == [
        "note: the run was finished with other values than iw_samples=5; to compute these:",
        f"next: python -m lvae_core evaluate {tmp_path}/a --set iw_samples=5",
    ]
    assert main(["evaluate", str(tmp_path / "a"), "--set", "iw_samples=5"]) == 0
    err = capsys.readouterr().err
    (file,) = (path.name for path in (tmp_path / "a").glob("evaluation-*.json"))
    assert f"note: evaluated with iw_samples=5; stored as {file}, result.json is unchanged" in err
    assert "before" not in err
    assert main(["evaluate", str(tmp_path / "a"), "--set", "iw_samples=5"]) == 0
    assert "note: evaluated before; these are its numbers" in capsys.readouterr().err


def test_describe_prints_statistics_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["describe", "toy", "--json"]) == 0
    described = json.loads(capsys.readouterr().out)
    assert described["splits"]["test"]["sentences"] == 100


def test_describe_also_prints_its_warnings_as_lines(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for split in ("train", "valid", "test"):
        (tmp_path / f"{split}.txt").write_text("a b\n\n")
    assert main(["describe", str(tmp_path), "--json"]) == 0
    out, err = capsys.readouterr()
    assert err.splitlines() == [f"warning: {line}" for line in json.loads(out)["warnings"]]
    assert "1 blank line skipped" in err


def test_the_sentences_of_a_language_model_have_no_prior(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for system, heading in (("lstm-lm", "Samples"), ("lstm-vae", "From the prior")):
        config = write_recipe(tmp_path / "run.json", capsys, system, "--set", "max_epochs=1")
        assert main(["run", str(config), "--out", str(tmp_path / system)]) == 0
        capsys.readouterr()
        words = ["generate", str(tmp_path / system), "--count", "1"]
        assert main(words) == 0
        assert capsys.readouterr().out.splitlines()[0] == heading
        assert main([*words, "--temperature", "2"]) == (0 if system == "lstm-lm" else 2)
        err = capsys.readouterr().err
    assert err.startswith("error: --temperature 2: --decode greedy does not read it;")
    assert main([*words, "--decode", "sample", "--beam-width", "3"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: --beam-width 3: --decode sample does not read it; give --decode beam")

    notes = {}
    for method in ("greedy", "beam", "sample"):
        assert main([*words, "--decode", method]) == 0
        *_, notes[method] = capsys.readouterr().err.splitlines()
    said = notes["sample"]
    assert said.endswith(" nats about a sentence, so reconstructions hardly depend on it")
    assert notes["greedy"] == notes["beam"] == said  # one sentence cannot vary
    assert main(["generate", str(tmp_path / system), "--count", "4"]) == 0
    *_, note = capsys.readouterr().err.splitlines()
    assert note == f"{said}; all sentences decoded from the prior are the same"
    assert main([*words, "--sentence", "ash", "--max-length", "1"]) == 0
    first, *_ = capsys.readouterr().err.splitlines()
    assert first == "note: 2 sentences stop at --max-length 1, maybe before the model's own end"


def test_a_run_is_not_put_into_the_folder_of_a_study(tmp_path, capsys):
    assert main(["recipe", "lstm-lm", "--dataset", "toy"]) == 0
    (tmp_path / "run.json").write_text(capsys.readouterr().out)
    run = tmp_path / "study" / "toy__lstm-lm__standard__L0__seed0__00000000"
    run.mkdir(parents=True)
    assert main(["run", str(tmp_path / "run.json"), "--out", str(tmp_path / "study")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith(
        "study: a study, with run folders in it; give "
        + str(tmp_path / "study/my-run or another new folder")
    )
    assert os.listdir(tmp_path / "study") == [run.name]


def test_a_run_is_not_put_into_the_folder_of_a_dataset(tmp_path, capsys):
    assert main(["recipe", "lstm-lm", "--dataset", "toy"]) == 0
    (tmp_path / "run.json").write_text(capsys.readouterr().out)
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    (corpus / "train.txt").write_text("a b\n")
    assert main(["run", str(tmp_path / "run.json"), "--out", str(corpus)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith(f"{corpus}: a dataset, with train.txt in it; give a new folder for the run")
    assert os.listdir(corpus) == ["train.txt"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["describe", "ptbb"], "did you mean 'ptb'?"),
        (["describe", "no/such/folder"], "no such folder"),
        (
            ["describe", __file__],
            "a file; make a folder of it with `python -m lvae_core import",
        ),
        (["recipe", "LSTM-VAE"], "did you mean 'lstm-vae'?"),
        (["recipe", "lstm-vae", "--dataset", "nix"], "unknown dataset 'nix'"),
        (["recipe", "lstm-lm", "--dataset", "tyo", "--set", "latent_size=4"], "did you mean 'toy'?"),
        (["recipe", "lstm-va"], "did you mean 'lstm-vae'?"),
        (["recipe", "lstm-vae", "--setting", "inputles"], "did you mean 'inputless'?"),
        (["recipe", "lstm-vae", "--num-samples", "0"], "at least 1"),
        (["recipe", "lstm-lm", "--num-samples", "3"], "--num-samples 3: lstm-lm has no latent variable"),
        (["recipe", "lstm-vae", "--seed", "-1"], "0 or more"),
        (["recipe", "lstm-vae", "--set", "dropot=0.1"], "did you mean 'dropout'?"),
        (["recipe", "lstm-vae", "--set", "lr=0.1"], "did you mean 'learning_rate'?"),
        (["recipe", "lstm-vae", "--seeds", "3"], "unknown option --seeds: did you mean '--seed'?"),
        (["describe", "a", "b"], "superfluous argument b; see python -m lvae_core describe --help"),
        (["generate", "no-run", "--method", "beam"], "see python -m lvae_core generate --help"),
        (["recipe", "lstm-vae", "--set", "dropout=much"], "must be a number"),
        (["recipe", "lstm-vae", "--set", "dropout"], "write FIELD=VALUE"),
        (
            ["recipe", "lstm-vae", "--num-samples", "5", "--set", "averaging=hidden"],
            "turns lstm-vae into lstm-vae-avg, which tables would then call lstm-vae; use the recipe of ls",
        ),
        (
            ["recipe", "lstm-vae", "--set", "system=lstm-vae-avg"],
            "system=lstm-vae-avg: only renames lstm-va",
        ),
        (["recipe", "lstm-vae", "--set", "dropout=0", "dropot=0"], "did you mean 'dropout'?"),
        (
            ["recipe", "lstm-vae", "--set", "setting=inputless"],
            "=inputless: the recipe depends on it; use --setting",
        ),
        (
            ["recipe", "lstm-vae", "--set", "dataset=toy"],
            "dataset=toy: the recipe depends on it; use --dataset",
        ),
        (
            ["recipe", "lstm-vae", "--set", "num_samples=2"],
            "=2: the recipe depends on it; use --num-samples",
        ),
        (
            ["recipe", "lstm-vae", "--seed", "1", "--set", "seed=2"],
            "=2: the recipe depends on it; use --seed",
        ),
        (["recipe", "lstm-vae", "--seed", "1", "--seed", "2"], "error: --seed: given twice; give it once"),
        (["generate", "no-run", "--sentence", "a", "--count", "1", "--count", "2"], "--count: given twice"),
        (
            ["recipe", "lstm-vae", "--set", "dropout=0.3", "dropout=0.1"],
            "--set dropout=0.1: dropout is given twice; give it once",
        ),
        (["download", "toy"], "error: toy: comes with the package; there is nothing to download"),
        (["run", "nofile.json", "--out", "x"], "recipe lstm-vae > nofile.json"),
        (["generate", "no-run"], "no run folder with a finished epoch"),
        (["generate", "/no-run"], "error: /no-run: no run folder with a finished epoch"),
        (["generate", "no-run", "--count", "0"], "--count 0: must be from 1 to 100000"),
        (["download", "foo"], "unknown dataset to download 'foo': choose from ptb, yahoo"),
    ],
)
def test_bad_input_gives_one_line_and_status_2(
    arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert message in err
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not JSON"),
        ("", "run.json: empty; make a config with"),
        ("[1]", "one JSON object"),
        ("[" * 100_000, "not JSON (maximum recursion depth exceeded"),
        (
            '{"colour": 1}',
            "not a config (unknown config field 'colour'); make one with `python -m lvae_core",
        ),
        ('{"seed": 1, "colour": 1}', "run.json: unknown config field 'colour': the most similar of"),
        ('{"config": {"seed": 1, "seed": 2}}', "run.json: seed is given twice; give it once"),
        ('{"num_samples": 2.5}', "num_samples = 2.5: must be a whole number"),
        ('{"encoder": "none"}', "both are 'none'"),
    ],
)
def test_a_bad_config_file_is_refused(
    text: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "run.json").write_text(text)
    assert main(["run", str(tmp_path / "run.json"), "--out", str(tmp_path / "out")]) == 2
    err = capsys.readouterr().err
    assert message in err
    assert f"{tmp_path}/run.json: " in err
    assert len(err) < 300 + len(str(tmp_path))
    assert not (tmp_path / "out").exists()


def test_a_folder_instead_of_a_config_names_the_command_that_fits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    assert main(["run", "empty", "--out", "out"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: empty: a folder; give a file with a config; `python")
    assert "> empty" not in line
    write_recipe(Path("run.json"), capsys, "lstm-vae")
    assert main(["run", "run.json", "--out", "a run", "--quiet"]) == 0
    capsys.readouterr()
    assert main(["run", "a run", "--out", "out"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: a run: the folder of a run, not a config; ")
    commands = [shlex.split(text) for text in re.findall("`python -m lvae_core (.*?)`", line)]
    assert [words[0] for words in commands] == ["run", "evaluate"]
    for words in commands:
        assert main(words) == 0
    assert not Path("out").exists()


def test_a_new_run_that_is_another_system_than_its_config_says_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "run.json").write_text('{"system": "lstm-vae", "num_samples": 5, "averaging": "hidden"}')
    assert main(["run", str(tmp_path / "run.json"), "--out", str(tmp_path / "out")]) == 2
    assert "averaging=hidden: turns lstm-vae into lstm-vae-avg" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "c.json", "--out", "a", "--device", "meta"], "device 'meta': not usable here"),
        (["run", "c.json", "--out", "a", "--device", "mkldnn"], "device 'mkldnn': not usable here"),
        (["run", "c.json", "--out", "a", "--threads", "100000"], "--threads 100000: must be at most"),
        (["run", "c.json", "--out", "http://a"], "http://a: names no run folder"),
        (["rn"], "unknown command 'rn': did you mean 'run'?"),
        (["run", "c.json"], "required: --out; see python -m lvae_core run --help"),
        (["generate", "http://a"], "http://a: names no run folder"),
    ],
)
def test_bad_options_are_one_line_and_leave_nothing(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    write_recipe(tmp_path / "c.json", capsys, "lstm-lm")
    assert main(arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert message in line
    assert [path.name for path in tmp_path.iterdir()] == ["c.json"]


@pytest.mark.parametrize(
    ("system", "setting", "message"),
    [
        (
            "lstm-vmf-vae",
            "setting=inputless",
            "make a config with `python -m lvae_core recipe lstm-vmf-vae --setting i",
        ),
        ("lstm-lm", "dataset=ptb", "make a config with `python -m lvae_core recipe lstm-lm --dataset ptb`"),
        ("lstm-lm", "setting=inputles", "unknown setting 'inputles': did you mean 'inputless'?"),
        # These give just what the recipe gives.
        ("lstm-vae", "setting=inputless", "--threads 0: must be at least 1"),
        ("lstm-vmf-vae", "setting=standard", "--threads 0: must be at least 1"),
        ("lstm-lm", "dataset=toy", "--threads 0: must be at least 1"),
    ],
)
def test_a_setting_of_run_that_its_recipe_depends_on_is_refused(
    system: str, setting: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = write_recipe(tmp_path / "c.json", capsys, system)
    out = ["--out", str(tmp_path / "out"), "--threads", "0"]
    assert main(["run", str(config), "--set", setting, *out]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line


def test_another_dataset_whose_text_would_choose_min_count_needs_it_to_be_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, train in (("a", "a b a\nc a\nb\n"), ("b", "a <unk> a\nc a\nb\n")):
        Path(name).mkdir()
        for split, text in (("train", train), ("valid", "new a\n"), ("test", "b a\n")):
            Path(name, f"{split}.txt").write_text(text)
    for name, min_count in (("a", 2), ("b", 1)):
        assert main(["recipe", "lstm-lm", "--dataset", name]) == 0
        Path(f"{name}.json").write_text(capsys.readouterr().out)
        assert json.loads(Path(f"{name}.json").read_text())["min_count"] == min_count
    words = ["run", "a.json", "--out", "out", "--threads", "0", "--set"]
    for other in ("b", "./a", "ptb"):
        assert main([*words, f"dataset={other}"]) == 2
        assert capsys.readouterr().err == (
            f"error: --set dataset={other}: its text may need another min_count; make a config with "
            f"`python -m lvae_core recipe lstm-lm --dataset {other}`, or give --set min_count=2, too, to "
            "keep that of the config\n"
        )
    for settings in (["dataset=b", "min_count=1"], ["dataset=a"]):
        assert main([*words, *settings]) == 2
        assert capsys.readouterr().err.startswith("error: --threads 0: must be at least 1")


def test_the_folder_of_another_run_is_refused_and_unchanged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = write_recipe(tmp_path / "run.json", capsys, "lstm-lm")
    assert command("run", config, "--out", tmp_path / "a").returncode == 0
    before = {path.name: path.read_bytes() for path in (tmp_path / "a").iterdir()}
    other = command("run", config, "--out", tmp_path / "a", "--set", "seed=4")
    assert other.returncode == 2
    assert "belongs to another run" in other.stderr
    assert {path.name: path.read_bytes() for path in (tmp_path / "a").iterdir()} == before


def test_the_error_for_an_unwritable_folder_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = write_recipe(tmp_path / "run.json", capsys, "lstm-lm")
    (tmp_path / "file").write_text("")
    done = command("run", config, "--out", tmp_path / "file" / "run")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
