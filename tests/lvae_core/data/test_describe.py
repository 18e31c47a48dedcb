"""Statistics of complete and incomplete datasets, against counts made by hand."""

import json
import shlex
from pathlib import Path

import pytest

from lvae_core.__main__ import main
from lvae_core.data.corpus import load
from lvae_core.data.describe import describe
from lvae_core.errors import InputError


def test_a_small_folder_is_described_as_counted_by_hand(tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_text("a b a\nc a\nb\n")
    (tmp_path / "valid.txt").write_text("c\n\n")
    (tmp_path / "test.txt").write_text("b new a new\n")
    result = describe(str(tmp_path))
    assert json.loads(json.dumps(result)) == result
    assert result["dataset"] == tmp_path.name
    assert result["vocabulary"] == 5
    assert result["data_sha256"] == load(str(tmp_path)).data_sha256
    blank, unseen = result["warnings"]
    assert blank == f"{tmp_path}/valid.txt:2: 1 blank line skipped, this is the first"
    assert "40.0% of the tokens of test are words that training never has" in unseen
    train, test = result["splits"]["train"], result["splits"]["test"]
    sha256 = train.pop("sha256")
    assert len(sha256) == 64
    assert train == {"sentences": 3, "predicted_tokens": 9, "types": 3, "longest": 4, "unknown_rate": 0.0}
    assert (test["types"], test["longest"], test["unknown_rate"]) == (3, 5, 2 / 5)


def test_the_unknown_symbol_itself_counts_as_unknown(tmp_path: Path) -> None:
    for split in ("train", "valid", "test"):
        (tmp_path / f"{split}.txt").write_text("a <unk> b\n")
    (tmp_path / "test.txt").write_text("<unk> new a\n")
    splits = describe(str(tmp_path))["splits"]
    assert (splits["train"]["unknown_rate"], splits["test"]["unknown_rate"]) == (1 / 4, 2 / 4)


def test_rates_are_rounded_to_six_digits(tmp_path: Path) -> None:
    for split in ("train", "valid", "test"):
        (tmp_path / f"{split}.txt").write_text("a <unk>\n")
    assert describe(str(tmp_path))["splits"]["test"]["unknown_rate"] == 0.333333


def test_a_missing_training_split_leaves_the_other_splits_described(tmp_path: Path) -> None:
    (tmp_path / "yahoo").mkdir()
    (tmp_path / "yahoo" / "test.txt").write_text("a _UNK b\n")
    result = describe("yahoo", tmp_path)
    assert "vocabulary" not in result
    assert "data_sha256" not in result
    assert f"looked for {tmp_path}/yahoo/train.txt" in result["splits"]["train"]["missing"]
    assert result["splits"]["test"]["unknown_rate"] == 1 / 4


def test_a_dataset_without_any_split_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="download ptb"):
        describe("ptb", tmp_path)
    with pytest.raises(InputError, match="did you mean 'pydocs'"):
        describe("pydoc")


@pytest.mark.parametrize(
    "record",
    [
        "[1]",
        "[" * 100_000,
        '{"name": "x", "sha256": {"train": "abc"}}',
        '{"sources": {"a": 1}, "rules": {}, "counts": {}, "sha256": {}}',
        '{"sources": {}, "rules": {}, "counts": {"train": {"lines": 3, "words": 4}}, "sha256": {}}',
        '{"sources": {}, "rules": {}, "counts": {"train": 3}, "sha256": {}}',
    ],
)
def test_the_record_of_another_program_is_passed_over(
    tmp_path: Path, record: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for split in ("train", "valid", "test"):
        (tmp_path / f"{split}.txt").write_text("a b\n")
    before = describe(str(tmp_path))
    (tmp_path / "dataset.json").write_text(record)
    assert describe(str(tmp_path)) == before
    assert main(["describe", str(tmp_path)]) == 0
    assert "imported" not in capsys.readouterr().out


def test_a_sentence_that_every_later_command_refuses_is_reported_with_the_command_that_cuts_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    for split in ("train", "valid", "test"):
        (tmp_path / "in" / f"{split}.txt").write_text(f"a {split}\n" + " ".join(["a"] * 511) + "\n")
    fits = describe("in")["warnings"]
    assert not any("predicted tokens" in line for line in fits)
    (tmp_path / "in" / "valid.txt").write_text("a\n" + " ".join(["b"] * 600) + "\n")
    (line,) = (line for line in describe("in")["warnings"] if "predicted tokens" in line)
    assert line.startswith("in/valid.txt: a sentence of 601 predicted tokens, more than max_length = 512; ")
    with pytest.raises(InputError, match="a sentence of 601 predicted tokens"):
        load("in")
    assert main(shlex.split(line.split("`")[1])[3:]) == 0
    assert load("in-new").valid.lengths.max() == 512


def test_an_empty_name_is_said_to_be_empty() -> None:
    with pytest.raises(InputError, match=r"^dataset '': an empty name; give a dataset's name or a folder"):
        describe("")


def test_the_error_for_a_corpus_of_one_word_names_its_file(tmp_path: Path) -> None:
    for split in ("train", "valid", "test"):
        (tmp_path / f"{split}.txt").write_text("a\na\n")
    with pytest.raises(
        InputError, match=f"^{tmp_path}/train.txt: the text has fewer than two different words"
    ):
        describe(str(tmp_path))
