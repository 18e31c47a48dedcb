"""Importing text: markers, unknown words, long sentences, division; and one-line errors."""

import hashlib
import json
import os
import shlex
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lvae_core.__main__ import main
from lvae_core.config import dataset_label
from lvae_core.data import datasets
from lvae_core.data.corpus import load
from lvae_core.data.describe import describe
from lvae_core.data.importing import Rules, import_text, warnings
from lvae_core.data.text_files import SPLITS, import_command
from lvae_core.errors import InputError

from .importing import imported, lines, same, write


@pytest.mark.parametrize("option", ["--column", "--columns"])
def test_the_option_of_the_column_has_two_spellings(tmp_path: Path, option: str) -> None:
    source = write(tmp_path / "in", ".tsv", **same("1\ta\n"))
    assert main(["import", str(source), option, "2", "--out", str(tmp_path / "out")]) == 0
    assert lines(tmp_path / "out") == ["a"]


def test_markers_and_spellings_of_the_unknown_word_are_replaced_and_counted(tmp_path: Path) -> None:
    text = "<bos> a UNK <eos>\n<bos> [UNK] UNKs <eos> b <eos> <eos>\n\n<eos>\n"
    source = write(tmp_path / "in", **same(text))
    out = imported(source, remove=("<bos>", "<eos>"), unknown_words=("UNK", "[UNK]"))
    assert lines(out) == ["a <unk>", "<unk> UNKs <eos> b"]
    counts = describe(str(out))["imported"]["counts"]["train"]
    assert counts == {
        **{"sentences": 2, "blank": 2, "cut": 0, "dropped": 0},
        **{"unknown_words": 2, "removed": 6},
    }


def test_a_marker_within_a_sentence_can_become_the_unknown_word(tmp_path: Path) -> None:
    source = write(tmp_path / "in", **same("<s> a <s> b </s>\nc </s> d\n"))
    out = imported(source, remove=("<s>", "</s>"), unknown_words=("<s>", "</s>"))
    assert lines(out) == ["a <unk> b", "c <unk> d"]


def test_tokens_that_begin_with_a_dash_can_be_removed_and_replaced(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write(tmp_path / "in", **same("a -unk- b -lrb-\n"))
    words = ["import", str(source), "--out", str(tmp_path / "out")]
    for option in ("--remove", "--unknown-word"):
        assert main([*words, option, "-lrb-"]) == 2
        needs = "expected one argument; a value that begins with - needs OPTION=VALUE; see "
        assert f"argument {option}: {needs}" in capsys.readouterr().err
    assert main([*words, "--remove=-lrb-", "--unknown-word=-unk-"]) == 0
    assert lines(tmp_path / "out") == ["a <unk> b"]


def test_long_sentences_are_refused_cut_or_dropped(tmp_path: Path) -> None:
    source = write(tmp_path / "in", **same("a b c\na b c d\na b c d e\n"))
    with pytest.raises(
        InputError,
        match=r"in/train.txt:2: a sentence of 5 predicted tokens.* cut or drop, or raise --max-length$",
    ):
        imported(source, max_length=4)
    assert not (tmp_path / "out").exists()
    cut = imported(source, max_length=4, max_length_policy="cut")
    assert lines(cut) == ["a b c"] * 3
    assert describe(str(cut))["imported"]["counts"]["test"]["cut"] == 2
    assert list(warnings(describe(str(cut))["imported"])) == [
        f"{split}: 2 long sentences cut; numbers on this text are not comparable with those on the whole "
        "text"
        for split in ("valid", "test")
    ]
    cut.rename(tmp_path / "cut")
    dropped = imported(source, max_length=4, max_length_policy="drop")
    assert lines(dropped) == ["a b c"]
    assert describe(str(dropped))["imported"]["counts"]["valid"]["dropped"] == 2
    for out in (tmp_path / "cut", dropped):
        assert load(str(out), max_length=4).train.lengths.max() == 4


def test_one_file_is_divided_by_the_seed_and_equal_sentences_stay_together(tmp_path: Path) -> None:
    sentences = [f"word{i % 80} end" for i in range(100)]
    (tmp_path / "all.txt").write_text("".join(f"{s}\n" for s in sentences))
    found = []
    for name, seed in (("one", 0), ("again", 0), ("other", 1)):
        import_text([tmp_path / "all.txt"], tmp_path / name, Rules(split=(8, 1, 1), seed=seed))
        found.append({split: lines(tmp_path / name, split) for split in SPLITS})
    assert found[0] == found[1] != found[2]
    for divided in found:
        assert sorted(s for split in SPLITS for s in divided[split]) == sorted(sentences)
        sets = [set(divided[split]) for split in SPLITS]
        assert [len(s) for s in sets] == [64, 8, 8]
        assert len(set.union(*sets)) == 80
        for split in SPLITS:  # in the order of the file
            assert [s for s in sentences if s in divided[split]] == divided[split]


def test_an_imported_folder_is_an_ordinary_dataset_with_a_record(tmp_path: Path) -> None:
    source = write(tmp_path / "in", train="b a\nb\n", valid="a\n", test="b a b\n")
    out = imported(source)
    assert load(str(out)).data_sha256 == load(str(source)).data_sha256
    assert describe(str(out))["warnings"] == []
    record = json.loads((out / "dataset.json").read_text())
    assert record["sources"]["test"]["path"] == f"{source}/test.txt"
    (out / "test.txt").write_text("b a a\n")
    assert describe(str(out))["warnings"] == [
        f"{out}/test.txt: changed since the import that dataset.json records"
    ]
    three = [source / f"{split}.txt" for split in SPLITS]
    import_text(three, tmp_path / "three", Rules())
    assert lines(tmp_path / "three", "test") == ["b a b"]


@pytest.mark.parametrize(
    ("content", "arguments", "message"),
    [
        (b"a\tb\nc\td\n", ["--column", "3"], "train.tsv:1: --column 3: the file has 2 columns, from 1"),
        (b"a\tb\nc\td\n", ["--column", "-1"], "--column -1: the file has 2 columns, from 1; give a number"),
        (b"a\tb\nc\td\n", ["--column", "0"], "train.tsv:1: --column 0: the file has 2 columns"),
        (b"a\tb\nc\td\n", ["--column", "text"], "--column text: no such column; choose from a, b"),
        (b"a\tb\nc\n", ["--column", "2"], "train.tsv:2: 1 column, but the first line has 2"),
        (b"a\tb\nc\td\te\n", ["--column", "2"], "train.tsv:2: 3 columns, but the first line has 2"),
        (b"a\t\nc\t\n", ["--column", "2"], "train.tsv: column 2 is empty"),
        (b"a\tb\n\xff\td\n", ["--column", "2"], "train.tsv:2: byte 0xff is not UTF-8"),
        (b"text\t1\na\tb\n", ["--column", "1"], "1, or column 2, whose name is 1? Rename that column"),
        (b"x\t1\na\tb\n", ["--column", "1", "--header"], "column 1, or column 2, whose name is 1? Rename"),
        (b"0\t1\na\tb\n", ["--column", "1"], "column 1, or column 2, whose name is 1? Rename"),
        (b"text;label\na, b;1\nc;0\n", ["--column", "text"], "train.tsv: seems to be separated by ';', not "
         "by tabs; give --delimiter ';', or else --delimiter tab"),
        (b"text;label\na;1\n", ["--column", "1"], "seems to be separated by ';'"),
        (b"text,label\n\"a, b\",1\n", [], "seems to be separated by ',', not by tabs; give"),
        (b"a\tb\n", ["--column", "2", "--delimiter", "ab"], "--delimiter 'ab': give tab, or one character"),
        (b"a\tb\n", ["--column", "2", "--delimiter", '"'], "give tab, or one character such as ';'"),
        (b'{"text": "a"}\n', [], "train.tsv: JSON lines; give --column with one of text"),
        (b'{"text": "a"}\n', ["--column", "1"], "JSON lines have no such name; choose from text"),
        (b'{"text": "a"}\n', ["--column", "text", "--header"], "leave --header and --delimiter out"),
        (b'{"text": "a"}\n{"text": 1}\n', ["--column", "text"], "2: --column text: its value is not text"),
        (b'{"text": null}\n', ["--column", "text"], "train.tsv:1: --column text: its value is not text; "),
        (b'{"text": "a"}\n\n{"b": "a"}\n', ["--column", "text"], "train.tsv:3: --column text: has no text"),
        (b'{"text": "a"}\n{"b\n', ["--column", "text"], "train.tsv:2: not a JSON object"),
        (b'{"text": "a\\u0000"}\n', ["--column", "text"], "tsv:1: --column text: has a NUL character"),
        (b'{"text": "a"}\n{"text": "b \\ud800 c"}\n', ["--column", "text"],
         "train.tsv:2: --column text: has \\ud800, half of a pair, which is no character; correct the"),
        (b'{"text": " "}\n', ["--column", "text"], "train.tsv: column text is empty"),
        (b'[\n  {"text": "a"}\n]\n', ["--column", "text"], "tsv: one JSON document; write one object"),
        (b"a\tb\n", [], "train.tsv: a table; give --column with a number or one of a, b"),
        (b"a\t<s> b <s> c\n", ["--column", "2"], "train.tsv:1: contains <s> within a sentence, which "
         "the model adds itself; edit the line, or give --remove '<s>' --unknown-word '<s>'"),
        (b"a\tb <s> c\n", ["--column", "2"], "edit the line, or give --unknown-word '<s>'"),
        (b"a\tb </s>\n", ["--column", "2"], "train.tsv:1: </s> at an end of the line, which the model adds "
         "itself; give --remove '</s>'"),
        (b"a\t<s> b </s>\n", ["--column", "2"], "give --remove '<s>' --remove '</s>'"),
        (b"a\tb\n", ["--column", "2", "--remove", "b"], "train.tsv: no sentence is left"),
        (b"a\tb\n", ["--column", "2", "--unknown-word", "b c"], "--unknown-word 'b c': must be one token"),
        (b"a\tb\n", ["--column", "2", "--max-length", "1"], "--max-length 1: must be at least 2"),
        (b"text\ttext\na\tb\n", ["--column", "text"], "train.tsv:1: --column text: 2 columns of that name; "
         "give the number of one (1 or 2) and --header"),
        (b"a\tb\n", ["--column", "2", "--seed", "0"], "--seed 0: is of --split; give --split, or leave"),
        (b"a\tb\n", ["--column", "2", "--split", "1", "1", "1"], "--split: divides one file"),
        (b"a\tb\n", ["--column", "2", "--split", "1", "0", "1"], "--split 1 0 1: give three shares"),
        (b"a\tb\n", ["--split", "0.8", "0.1", "0.2"], "--split 0.8 0.1 0.2: the shares sum to 1.1; "
         "give shares that sum to 1, or whole numbers such as 8 1 1"),
        (b"a\tb\n", ["--column", "2", "--out", "toy"], "--out toy: toy is a dataset of the package"),
        (b"a\tb\n", ["--column", "2", "--out", "in"], "--out in: exists"),
        (b"a\tb\n", ["--column", "2", "--out", "a b"], "error: --out a b: choose a name of letters, "
         "digits, '.', '-' and single '_' only"),
    ],
)  # fmt: skip
def test_bad_input_is_one_line_and_leaves_nothing(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    content: bytes,
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    for split in SPLITS:
        (tmp_path / "in" / f"{split}.tsv").write_bytes(content)
    out = [] if "--out" in arguments else ["--out", "out"]
    assert main(["import", "in", *arguments, *out]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert message in line
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_a_folder_of_tables_is_told_how_to_import_it(tmp_path: Path) -> None:
    source = write(tmp_path / "in", ".csv", **same("id,text\n1,a\n"))
    with pytest.raises(datasets.MissingError, match=r"is missing; .* for train.csv: `python") as e:
        datasets.read(str(source), "train")
    assert str(e.value).endswith(f"import {source} --column NAME --out in-new`")


@pytest.mark.parametrize("shares", [(0.8, 0.1, 0.1), (0.333, 0.333, 0.333), (8, 1, 1), (80, 10, 10)])
def test_shares_sum_to_1_or_are_a_ratio_of_whole_numbers(shares: tuple[float, float, float]) -> None:
    assert Rules(split=shares).split == shares


def test_an_import_warns_of_markers_and_of_attached_punctuation(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, out = tmp_path / "in", str(tmp_path / "out")
    write(source, train="a house. <eos>\nb <eos>\n", valid="a\n", test="b\n")
    assert main(["import", str(source), "--out", out]) == 0
    warning, following = capsys.readouterr().err.splitlines()
    assert warning.startswith(f"warning: {out}/train.txt: <eos> ends every line")
    assert following.startswith("next: ")
    clean = str(tmp_path / "clean")
    write(tmp_path / "more", train="a house.\nb house!\nc\n", valid="a\n", test="b\n")
    assert main(["import", str(tmp_path / "more"), "--out", clean]) == 0
    warning, _ = capsys.readouterr().err.splitlines()
    assert warning.startswith(f"warning: {clean}/train.txt: 67% of its lines end with punctuation that is")
    assert "'house.' and 'house' two words" in warning


def test_an_import_that_cuts_test_sentences_warns(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write(tmp_path / "in", train="a b c\n", valid="a\n", test="a b c\n")
    options = ["--max-length", "3", "--max-length-policy", "cut", "--out", str(tmp_path / "out")]
    assert main(["import", str(source), *options]) == 0
    warning, following = capsys.readouterr().err.splitlines()
    assert warning.startswith("warning: test: 1 long sentence cut; ")
    assert following.startswith("next: ")


@pytest.mark.parametrize("suffix", [".txt", ".csv"])
@pytest.mark.parametrize("name", ["dev", "val", "validation"])
def test_a_held_out_split_of_another_name_is_to_be_renamed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, suffix: str
) -> None:
    source = write(tmp_path / "in", suffix, **{"train": "a\n", name: "a\n", "test": "a\n"})
    assert main(["import", str(source), "--column", "1", "--out", str(tmp_path / "out")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f" is missing; rename {name}{suffix} to valid{suffix}, or give the three files" in line
    with pytest.raises(datasets.MissingError, match=f"; rename {name}{suffix} to valid{suffix}$"):
        datasets.read(str(source), "valid")


def test_a_source_that_can_be_read_only_once_is_recorded_with_its_hash(tmp_path: Path) -> None:
    content = "".join(f"word{i} end\n" for i in range(30)).encode()
    end, begin = os.pipe()
    try:
        os.write(begin, content)
        os.close(begin)
        pipe = f"/dev/fd/{end}"
        record = import_text([pipe], tmp_path / "out", Rules(split=(2, 1, 1)))
    finally:
        os.close(end)
    assert record["sources"] == {"all": {"path": pipe, "sha256": hashlib.sha256(content).hexdigest()}}
    assert record["counts"]["all"]["sentences"] == 30


@pytest.mark.parametrize(
    ("source", "out"),
    [
        ("my corpus", "my-corpus-new"),
        ("my_corpus", "my_corpus-new"),
        ("my__corpus_", "my-corpus-new"),
        (".hidden", "hidden-new"),
        ("größe v1.2", "gr-e-v1.2-new"),
        ("a dir/all.txt", "all-new"),
        ("x.JSONL", "x-new"),
        ("語", "text-new"),
        ("..", "text-new"),
    ],
)
def test_the_command_that_is_advised_makes_a_folder_that_import_accepts(source: str, out: str) -> None:
    words = shlex.split(import_command(Path(source), "--column", "1").strip("`"))
    assert words == ["python", "-m", "lvae_core", "import", source, "--column", "1", "--out", out]
    assert dataset_label(out) == out


@settings(max_examples=50, deadline=None)
@given(st.text(st.characters(exclude_characters="/\0", codec="utf-8")))
def test_the_advised_folder_has_a_usable_name_whatever_the_source_is_called(name: str) -> None:
    *_, out = shlex.split(import_command(Path("in", name)).strip("`"))
    assert dataset_label(out) == out


def test_a_folder_whose_name_has_a_blank_is_imported_by_the_command_that_describe_advises(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "my corpus", ".csv", **same("id,NAME\n1,a b\n"))
    assert main(["describe", "my corpus"]) == 2
    command = capsys.readouterr().err.split("`")[1]
    assert main(shlex.split(command)[3:]) == 0
    assert lines(tmp_path / "my-corpus-new") == ["a b"]
