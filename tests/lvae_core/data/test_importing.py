"""Importing text: columns, markers, unknown words, long sentences, division; and one-line errors."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lvae_core.__main__ import main
from lvae_core.data import datasets
from lvae_core.data.corpus import load
from lvae_core.data.describe import describe
from lvae_core.data.importing import Rules, import_text, warnings
from lvae_core.data.tables import read_cells
from lvae_core.data.text_files import SPLITS
from lvae_core.errors import InputError


def write(folder: Path, suffix: str = ".txt", **texts: str) -> Path:
    folder.mkdir(exist_ok=True)
    for split, text in texts.items():
        (folder / f"{split}{suffix}").write_bytes(text.encode())
    return folder


def same(text: str) -> dict[str, str]:
    return dict.fromkeys(SPLITS, text)


def lines(folder: Path, split: str = "train") -> list[str]:
    return (folder / f"{split}.txt").read_text(encoding="utf-8").split("\n")[:-1]


def imported(source: Path, **rules: object) -> Path:
    out = source.parent / "out"
    import_text([source], out, Rules(**rules))  # type: ignore[arg-type]
    return out


def test_a_column_is_read_by_number_and_by_name(tmp_path: Path) -> None:
    table = 'label\ttext\r\n1\ta  b\n0\tc\u00a0d "e\n'
    source = write(tmp_path / "in", ".tsv", **same(table))
    import_text([source], tmp_path / "named", Rules(column="text"))
    import_text([source], tmp_path / "second", Rules(column="2", header=True))
    assert lines(tmp_path / "named") == lines(tmp_path / "second") == ["a b", 'c\u00a0d "e']
    import_text([source], tmp_path / "whole", Rules(column="2"))
    assert lines(tmp_path / "whole") == ["text", "a b", 'c\u00a0d "e']


@pytest.mark.parametrize("option", ["--column", "--columns"])
def test_the_option_of_the_column_has_two_spellings(tmp_path: Path, option: str) -> None:
    source = write(tmp_path / "in", ".tsv", **same("1\ta\n"))
    assert main(["import", str(source), option, "2", "--out", str(tmp_path / "out")]) == 0
    assert lines(tmp_path / "out") == ["a"]


def test_quotes_commas_and_line_breaks_of_csv_belong_to_the_text(tmp_path: Path) -> None:
    source = write(tmp_path / "in", ".csv", **same('id,text\n1,"a, ""b""\nc"\n2,d\n'))
    assert lines(imported(source, column="text")) == ['a, "b" c', "d"]


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), min_size=1), min_size=1, max_size=5
    )
)
def test_a_column_written_by_the_csv_module_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, texts: Sequence[str]
) -> None:
    path = tmp_path_factory.getbasetemp() / "written.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["id", "text"], *([str(i), text] for i, text in enumerate(texts))])
    if any(text.strip() for text in texts):
        assert [cell.text for cell in read_cells(path, "text")] == list(texts)
    else:
        with pytest.raises(InputError, match="column text is empty"):
            read_cells(path, "text")


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


def test_long_sentences_are_refused_cut_or_dropped(tmp_path: Path) -> None:
    source = write(tmp_path / "in", **same("a b c\na b c d\na b c d e\n"))
    with pytest.raises(
        InputError, match=r"in/train.txt:2: a sentence of 5 predicted tokens.* cut or drop$"
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
        (b"a\tb\n", [], "train.tsv: a table; give --column with a number or one of a, b"),
        (b"a\t<s> b <s> c\n", ["--column", "2"], "train.tsv:1: contains <s> or </s> within a sentence"),
        (b"a\tb </s>\n", ["--column", "2"], "train.tsv:1: </s> at an end of the line, which the model adds "
         "itself; give --remove '</s>'"),
        (b"a\t<s> b </s>\n", ["--column", "2"], "give --remove '<s>' --remove '</s>'"),
        (b"a\tb\n", ["--column", "2", "--remove", "b"], "train.tsv: no sentence is left"),
        (b"a\tb\n", ["--column", "2", "--unknown-word", "b c"], "--unknown-word 'b c': must be one token"),
        (b"a\tb\n", ["--column", "2", "--max-length", "1"], "--max-length 1: must be at least 2"),
        (b"a\tb\n", ["--column", "2", "--split", "1", "1", "1"], "--split: divides one file"),
        (b"a\tb\n", ["--column", "2", "--split", "1", "0", "1"], "--split 1 0 1: give three shares"),
        (b"a\tb\n", ["--split", "0.8", "0.1", "0.2"], "--split 0.8 0.1 0.2: the shares sum to 1.1; "
         "give shares that sum to 1, or whole numbers such as 8 1 1"),
        (b"a\tb\n", ["--column", "2", "--out", "toy"], "--out toy: toy is a dataset of the package"),
        (b"a\tb\n", ["--column", "2", "--out", "in"], "--out in: exists"),
        (b"a\tb\n", ["--column", "2", "--out", "a b"], "rename the folder"),
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


def test_text_that_is_not_csv_and_missing_files_are_named(tmp_path: Path) -> None:
    source = write(tmp_path / "in", ".csv", **same('id,text\n1,a\n2,"b" c\n'))
    with pytest.raises(InputError, match=r"in/train.csv:3: not CSV \("):
        imported(source, column="text")
    (source / "valid.csv").unlink()
    with pytest.raises(InputError, match=r"in: valid.txt or valid.tsv or valid.csv is missing"):
        imported(source, column="text")
    with pytest.raises(InputError, match="no such file or folder"):
        imported(tmp_path / "none")
    with pytest.raises(InputError, match=r"give --split 0\.8 0\.1 0\.1 to divide it"):
        imported(source / "test.csv")
    few = write(tmp_path / "few", all="a\nb\n") / "all.txt"
    with pytest.raises(InputError, match=r"2 different sentences are too few for valid with this --split"):
        imported(few, split=(8, 1, 1))


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
