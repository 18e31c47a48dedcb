"""The table of `describe`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lvae_core.__main__ import main


def test_a_folder_is_shown_as_a_table_after_its_warnings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "train.txt").write_text("a b a\nc a\n" + "b\n" * 1000)
    (folder / "valid.txt").write_text("new b a\n")
    assert main(["describe", "mine"]) == 0
    out, err = capsys.readouterr()
    lines = [line.split() for line in out.splitlines()]
    assert lines[0][:6] == ["mine,", "vocabulary", "of", "5", "with", "</s>"]
    assert lines[1][:-1] == ["sentences", "tokens", "words", "longest", "unknown"]
    assert lines[2][:-1] == ["train", "1,002", "2,007", "3", "4", "0.0%"]
    assert lines[3][:-1] == ["valid", "1", "4", "3", "4", "25.0%"]
    assert lines[4] == ["test", "missing"]
    assert err.startswith("warning: dataset mine: mine/test.txt is missing; the folder needs train.txt")
    assert "25.0% of the tokens of valid are words that training never has" in err

    assert main(["describe", "mine", "--json"]) == 0
    out, again = capsys.readouterr()
    assert json.loads(out)["splits"]["valid"]["unknown_rate"] == 0.25
    assert again == err


def test_an_imported_folder_names_its_sources(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "all.csv").write_text("text\n" + "\n".join(f"a {w} b" for w in "cdefghijkl") + "\n\n")
    out = str(tmp_path / "made")
    words = ["import", str(tmp_path / "all.csv"), "--column", "text", "--split", "8", "1", "1"]
    assert main([*words, "--out", out]) == 0
    capsys.readouterr()
    assert main(["describe", out]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-2] == f"imported from {tmp_path}/all.csv:"
    assert lines[-1].startswith("  all: sentences: 10")
