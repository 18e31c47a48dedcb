"""A finished run without its checkpoint: the command says what to do, and what it says works."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from lvae_core.__main__ import main
from lvae_core.run_folder.folder import RunFolder
from lvae_core.storage.store import open_store

from ...logs import expect_log

SUMMARIZE = Path(__file__).parents[3] / "analysis" / "summarize.py"

SMALL = [
    *("--set", "max_epochs=1", "--set", "embedding_size=4", "--set", "hidden_size=6"),
    *("--set", "iw_samples=2", "--set", "mi_samples=2"),
]


@pytest.fixture
def finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Path:
    """A finished run in a folder with a blank in its path."""
    monkeypatch.chdir(tmp_path)
    assert main(["recipe", "lstm-vae", "--dataset", "toy", *SMALL]) == 0
    Path("c.json").write_text(capsys.readouterr().out)
    assert main(["run", "c.json", "--out", "my study/run"]) == 0
    return tmp_path / "my study" / "run"


def test_the_next_command_can_be_pasted_if_the_path_has_blanks(
    finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = capsys.readouterr().err.splitlines()[-1]
    words = shlex.split(line.removeprefix("next: "))
    assert words == ["python", "-m", "lvae_core", "generate", "my study/run"]
    assert main(["evaluate", "my study/run", "--set", "iw_samples=3"]) == 0
    assert capsys.readouterr().err.splitlines()[-1] == line, "my study need not be a study"
    named = finished.rename(finished.parent / "toy__lstm-vae__standard__L1__seed0__01234567")
    assert main(["evaluate", f"my study/{named.name}", "--set", "iw_samples=3"]) == 0
    line = capsys.readouterr().err.splitlines()[-1]
    words = shlex.split(line.removeprefix("next: "))
    assert words[:3] == ["python", str(SUMMARIZE), str(finished.parent)]
    assert words[3:] == ["--evaluation", "iw_samples=3"]


def test_without_its_checkpoint_a_finished_run_is_not_sent_in_a_circle(
    finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = json.loads((finished / "result.json").read_text())["estimates"]
    for path in finished.glob("checkpoint*"):
        path.unlink()
    for command in (["generate", "my study/run"], ["evaluate", "my study/run", "--set", "iw_samples=3"]):
        assert main(command) == 2
        (line,) = capsys.readouterr().err.splitlines()[-1:]
        assert "move result.json away and run" in line
    (finished / "result.json").rename(finished.parent / "away.json")
    assert main(["run", "c.json", "--out", "my study/run"]) == 0
    assert json.loads((finished / "result.json").read_text())["estimates"] == before
    assert main(["generate", "my study/run", "--count", "1"]) == 0


@pytest.mark.parametrize("change", [Path.unlink, lambda path: path.write_bytes(b"damaged")])
def test_a_finished_run_without_its_config_is_evaluated_and_generates_alike(
    finished: Path, change: Callable[[Path], object], capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert main(["generate", "my study/run"]) == 0
    before = capsys.readouterr().out
    change(finished / "config.json")
    assert main(["evaluate", "my study/run"]) == 0
    assert "python -m lvae_core generate 'my study/run'" in capsys.readouterr().err
    assert main(["generate", "my study/run"]) == 0
    assert capsys.readouterr().out == before


def test_a_checkpoint_that_torch_refuses_is_damaged_and_no_advice_of_torch_is_quoted(
    finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = RunFolder(open_store(finished.parent), "run")
    for path in finished.glob("checkpoint*"):
        path.unlink()
    folder.write_payload("checkpoint.pt", b"cos\nsystem\n(S'true'\ntR.")
    with expect_log("lvae.run_folder", r"checkpoint.pt: not a training state \(\w+\); set aside"):
        assert main(["generate", "my study/run"]) == 2
    assert "weights_only" not in capsys.readouterr().err


def test_a_file_given_as_a_run_folder_is_one_line(
    finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    for out, problem in {
        "c.json": "a file",
        "./c.json": "a file",
        "c.json/run": "c.json is a file",
    }.items():
        assert main(["run", "c.json", "--out", out]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.endswith(f" {out}: {problem}; give the run folder")


def test_no_sentence_comes_from_an_earlier_epoch_than_the_result(
    finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("c.json").write_text(Path("c.json").read_text().replace('"max_epochs": 1', '"max_epochs": 3'))
    assert main(["run", "c.json", "--out", "longer"]) == 0
    assert json.loads(Path("longer/result.json").read_text())["best_epoch"] == 3
    folder = RunFolder(open_store("longer/.."), "longer")
    folder.store.write("longer/checkpoint.pt", b"damaged")
    capsys.readouterr()
    with expect_log("lvae.run_folder", "set aside as checkpoint.pt.damaged-1"):
        assert main(["generate", "longer"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "epoch 2, not those of epoch 3; restore checkpoint.pt" in err.splitlines()[-1]
