"""Warnings about tables read as text, markers at the ends of lines, and spellings of the unknown word."""

import shlex
from pathlib import Path

import pytest

from lvae_core.__main__ import main
from lvae_core.data.corpus import load
from lvae_core.data.describe import describe
from lvae_core.data.text_files import SPLITS
from lvae_core.errors import InputError


def folder(path: Path, text: str, **others: str) -> Path:
    path.mkdir()
    for split in SPLITS:
        (path / f"{split}.txt").write_text(others.get(split, text))
    return path


def warnings(path: Path, word: str) -> list[str]:
    return [line for line in load(str(path)).warnings if word in line]


def follow(line: str, base: Path) -> Path:
    """Carry out the command that a warning advises; return the new folder."""
    words = shlex.split(line.split("`")[1])
    assert words[:3] == ["python", "-m", "lvae_core"]
    out = base / "new"
    assert main([*words[3:-1], str(out)]) == 0
    return out


def test_lines_with_one_number_of_tabs_are_reported_as_a_table(tmp_path: Path) -> None:
    path = folder(tmp_path / "in", "1\ta b\n0\tb a\n")
    lines = warnings(path, "a table?")
    assert [line.partition(":")[0] for line in lines] == [f"{path}/{split}.txt" for split in SPLITS]
    assert "Every line has 1 tab, " in lines[0]
    new = follow(lines[0], tmp_path)
    assert (new / "train.txt").read_text() == "a b\nb a\n"
    assert warnings(new, "a table?") == []


@pytest.mark.parametrize("text", ["a\tb\nc\n", "a\tb\n", "a b\nb a\n"])
def test_unequal_tabs_single_lines_and_plain_text_are_no_table(tmp_path: Path, text: str) -> None:
    assert warnings(folder(tmp_path / "in", text), "a table?") == []


@pytest.mark.parametrize(
    "token",
    ["<eos>", "[EOS]", "<EOS>", "<end>", "</S>", "[SEP]", "<|endoftext|>", "EOS", "eos", "_EOS", "__eou__",
     "#end#", "{stop}", "STOP", "■", "|||", "@@end@@"],
)  # fmt: skip
def test_a_marker_that_ends_every_line_is_reported_with_its_remedy(tmp_path: Path, token: str) -> None:
    path = folder(tmp_path / "in", f"a b {token}\nb a {token}\n")
    (line,) = warnings(path, "every line")
    assert line.startswith(f"{path}/train.txt: {token} ends every line and is counted as a word")
    new = follow(line, tmp_path)
    assert (new / "test.txt").read_text() == "a b\nb a\n"
    assert warnings(new, "every line") == []


@pytest.mark.parametrize("token", ["<bos>", "[CLS]", "BOS"])
def test_a_marker_that_begins_every_line_is_reported(tmp_path: Path, token: str) -> None:
    (line,) = warnings(folder(tmp_path / "in", f"{token} a b\n{token} b\n"), "every line")
    assert f"{token} begins every line" in line


@pytest.mark.parametrize(
    "text",
    [
        *("a .\nb .\n", "the a\nthe b\n", "<unk> a\n<unk> b\n", "a <eos>\nb\n", "A STOP\nB STOP\n"),
        *("a \u3002\nb \u3002\n", "a ?!\nb ?!\n", "a ''\nb ''\n", "a USA\nb US\n", "a #rare\nb #rare\n"),
    ],
)
def test_ordinary_words_and_markers_on_some_lines_are_not_reported(tmp_path: Path, text: str) -> None:
    assert warnings(folder(tmp_path / "in", text), "counted as a word") == []


def test_a_marker_on_nearly_all_lines_is_reported_with_its_count(tmp_path: Path) -> None:
    text = "a\n" + "a b <eos>\n" * 59
    path = folder(tmp_path / "in", text)
    (line,) = warnings(path, "counted as a word")
    assert f"{path}/train.txt: <eos> ends 59 of 60 lines and is counted as a word" in line
    new = follow(line, tmp_path)
    assert (new / "train.txt").read_text() == "a\n" + "a b\n" * 59
    assert warnings(folder(tmp_path / "half", "a\n" * 7 + "a b <eos>\n" * 53), "counted as a word") == []


@pytest.mark.parametrize(
    "text", ["a house .\nb house .\n", "a acme inc.\nb\n", "a house.\n", "a 3.\nb 4.\n"]
)
def test_tokenised_text_and_abbreviations_are_not_attached_punctuation(tmp_path: Path, text: str) -> None:
    assert warnings(folder(tmp_path / "in", text), "attached") == []


@pytest.mark.parametrize("token", ["<s>", "</s>"])
def test_the_refusal_of_a_reserved_token_names_the_command_that_removes_it(
    tmp_path: Path, token: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = folder(tmp_path / "in", f"{token} a {token}\n{token} b a\n")
    assert main(["describe", str(path)]) == 2
    new = follow(capsys.readouterr().err, tmp_path)
    assert (new / "train.txt").read_text() == "a\nb a\n"


_SPELLINGS = ("<Unk>", "<unknown>", "unk", "UNKNOWN", "OOV", "@unk@", "__UNK__", "<rare>", "{unk}")


@pytest.mark.parametrize(
    ("text", "listed", "others"),
    [
        ("a <unk> b\na UNK\n", "<unk> (3 times), UNK (3 times)", "UNK"),
        ("a [UNK] b\nUNKs a [UNK]\n", "[UNK] (6 times)", "[UNK]"),
        ("a <UNK> b\n_UNK a\n", "_UNK (3 times), <UNK> (3 times)", "<UNK>"),
        *(
            (f"a <unk> b\na {token}\n", f"<unk> (3 times), {token} (3 times)", token)
            for token in _SPELLINGS
        ),
    ],
)
def test_spellings_that_would_be_ordinary_words_are_reported(
    tmp_path: Path, text: str, listed: str, others: str
) -> None:
    path = folder(tmp_path / "in", text)
    (line,) = warnings(path, "an unknown word?")
    assert f": {listed}: an unknown word? {others} would be an ordinary word; " in line
    new = follow(line, tmp_path)
    corpus = load(str(new))
    unknown = corpus.vocabulary.unknown_id
    assert unknown is not None
    assert (corpus.train.tokens == unknown).sum() == 2
    assert set(corpus.vocabulary.words) <= {"</s>", "<unk>", "a", "b", "UNKs"}
    assert warnings(new, "an unknown word?") == []


@pytest.mark.parametrize(
    "text",
    ["a <unk> b\n<unk>\n", "a _UNK b\n_UNK\n", "a b\nb\n", "<unk> unknown rare\n@rare #unknown chunk\n"],
)
def test_one_known_spelling_is_not_reported(tmp_path: Path, text: str) -> None:
    assert warnings(folder(tmp_path / "in", text), "an unknown word?") == []


def test_one_command_mends_all_that_the_warnings_name(tmp_path: Path) -> None:
    path = folder(tmp_path / "in", "0\ta [UNK] <eos>\n1\tb UNK <eos>\n")
    lines = [line for line in load(str(path)).warnings if "with" in line]
    assert [line.split(": ")[1][:9] for line in lines] == ["a table? "] * 3 + ["<eos> end", "[UNK] (3 "]
    assert [line.endswith(" with the command above") for line in lines] == [False, True, True, True, True]
    new = follow(lines[0], tmp_path)
    assert (new / "train.txt").read_text() == "a <unk>\nb <unk>\n"
    assert warnings(new, "with") == []


def test_the_refusal_of_both_reserved_tokens_names_one_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = folder(tmp_path / "in", "<s> a </s>\n<s> b </s>\n")
    assert main(["describe", str(path)]) == 2
    new = follow(capsys.readouterr().err, tmp_path)
    assert (new / "train.txt").read_text() == "a\nb\n"


def test_json_lines_in_place_of_text_are_reported_with_their_remedy(tmp_path: Path) -> None:
    path = folder(tmp_path / "in", '{"id": 1, "text": "a b"}\n{"id": 2, "text": "b  a"}\n')
    lines = warnings(path, "JSON lines")
    assert [line.partition(":")[0] for line in lines] == [f"{path}/{split}.txt" for split in SPLITS]
    new = follow(lines[0], tmp_path)
    assert (new / "train.txt").read_text() == "a b\nb a\n"
    assert warnings(new, "JSON lines") == []


@pytest.mark.parametrize(
    ("train", "others"),
    [
        ("<s> a b </s>\nc d\n", {}),
        ("<s> a </s>\nc <s> d\n", {"valid": "a\n"}),
        ("a b </s>\nc d\n", {"valid": "<s> a\n"}),
        ("a b\nc d\n", {"test": "<s> </s> a </s> b\n"}),
    ],
)
def test_the_command_for_reserved_tokens_mends_all_splits(
    tmp_path: Path, train: str, others: dict[str, str]
) -> None:
    with pytest.raises(InputError) as caught:
        load(str(folder(tmp_path / "in", train, **others)))
    new = follow(str(caught.value), tmp_path)
    texts = [(new / f"{split}.txt").read_text() for split in SPLITS]
    assert not any(marker in text for text in texts for marker in ("<s>", "</s>"))
    load(str(new))


def test_the_command_for_a_marker_keeps_long_sentences(tmp_path: Path) -> None:
    long = " ".join(["w"] * 600)
    (line,) = describe(str(folder(tmp_path / "in", f"{long} <eos>\na <eos>\nb <eos>\n")))["warnings"][:1]
    new = follow(line, tmp_path)
    assert (new / "train.txt").read_text() == f"{long}\na\nb\n"


@pytest.mark.parametrize("table", ["1\ta b\n0\tb a\n", '{"text": "a b"}\n{"text": "b a"}\n'])
def test_a_table_beside_plain_splits_gets_no_command_that_would_fail(tmp_path: Path, table: str) -> None:
    path = folder(tmp_path / "in", "a b <eos>\nb a <eos>\n", train=table)
    (line,) = (line for line in load(str(path)).warnings if "train.txt" in line and "read as text" in line)
    assert line.endswith(f" by hand, because {path}/valid.txt is of another form")
    assert not [line for line in load(str(path)).warnings if "`" in line]
