"""Reading the file of a split: exact parsing, and one-line errors with place and remedy."""

import gzip
import hashlib
import io
import lzma
import zipfile
from pathlib import Path

import pytest

from lvae_core.data import datasets
from lvae_core.data.sources.public import locate
from lvae_core.data.text_files import read_file
from lvae_core.errors import InputError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "train.txt"


def error_of_reading(path: Path, content: bytes, max_length: int | None = None) -> str:
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_file(path, max_length)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def folder(path: Path, **splits: str) -> str:
    path.mkdir(parents=True, exist_ok=True)
    for split, content in splits.items():
        (path / f"{split}.txt").write_text(content, encoding="utf-8")
    return str(path)


def test_lines_end_at_newlines_and_tokens_at_ascii_space_only(path: Path) -> None:
    content = " a  b \r\nc\u00a0d\u2028e f\x85g\x1ch\n\ti\u3000j\x0b k".encode()
    path.write_bytes(content)
    text = read_file(path)
    assert list(text.sentences()) == [["a", "b"], ["c\u00a0d\u2028e", "f\x85g\x1ch"], ["i\u3000j", "k"]]
    assert text.sha256 == hashlib.sha256(content).hexdigest()
    assert text.warnings == ()


def test_a_byte_order_mark_is_not_part_of_the_first_word(path: Path) -> None:
    path.write_bytes(b"\xef\xbb\xbfthe end\n")
    assert read_file(path).lines == ("the end",)


def test_blank_lines_are_skipped_with_a_warning(path: Path) -> None:
    path.write_bytes(b"a\n\nb\n \t\nc\n\n")
    text = read_file(path)
    assert text.lines == ("a", "b", "c")
    assert text.warnings == (f"{path}:2: 3 blank lines skipped, this is the first",)


def test_bytes_that_are_not_utf8_are_reported_with_their_line(path: Path) -> None:
    message = error_of_reading(path, b"a b\nc \xff d\n")
    assert message == f"{path}:2: byte 0xff is not UTF-8; convert the file to UTF-8"


@pytest.mark.parametrize("token", [b"<s>", b"</s>"])
def test_reserved_tokens_are_refused(path: Path, token: bytes) -> None:
    message = error_of_reading(path, b"a\nb\nc " + token + b"\n")
    assert message.startswith(f"{path}:3: ")
    assert "remove it" in message


def test_reserved_tokens_inside_a_word_are_ordinary_text(path: Path) -> None:
    path.write_bytes(b"a<s>b </s>.\n")
    assert read_file(path).lines == ("a<s>b </s>.",)


@pytest.mark.parametrize("content", [b"", b"\n", b"  \n\n"])
def test_a_file_without_a_sentence_is_refused(path: Path, content: bytes) -> None:
    assert error_of_reading(path, content).startswith(f"{path}: contains no sentence")


def test_the_limit_on_length_counts_the_end_of_sentence(path: Path) -> None:
    message = error_of_reading(path, b"a b c\na b c d\n", max_length=4)
    assert message.startswith(f"{path}:2: a sentence of 5 predicted tokens, more than max_length = 4; ")
    assert "raise max_length" in message
    assert len(read_file(path, 5).lines) == len(read_file(path).lines) == 2


def test_an_unreadable_file_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read_file(tmp_path)


def test_an_unknown_dataset_gets_the_nearest_name_as_a_suggestion() -> None:
    with pytest.raises(InputError, match="unknown dataset 'yaho': did you mean 'yahoo'"):
        datasets.read("yaho", "train")


def test_the_path_of_a_folder_names_a_dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = folder(tmp_path / "mine", test="a b\n")
    assert datasets.read(path, "test").lines == ("a b",)
    monkeypatch.chdir(tmp_path)
    assert datasets.read("mine", "test").lines == ("a b",)
    folder(tmp_path / "toy", test="a b\n")
    assert len(datasets.read("toy", "test").lines) == 100
    assert datasets.read("./toy", "test").lines == ("a b",)


def test_a_name_is_looked_for_here_and_then_in_the_data_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder(tmp_path / "corpora" / "mine", test="from the data folder\n")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert datasets.read("mine", "test", tmp_path / "corpora").lines == ("from the data folder",)
    monkeypatch.setenv("LVAE_DATA_DIR", str(tmp_path / "corpora"))
    assert datasets.read("mine", "test").lines == ("from the data folder",)
    folder(tmp_path / "here" / "mine", test="from here\n")
    assert datasets.read("mine", "test").lines == ("from here",)
    with pytest.raises(datasets.MissingError, match=r"dataset \./none/mine: no such folder"):
        datasets.read("./none/mine", "test")
    folder(tmp_path / "corpora" / "toy", test="another toy\n")
    assert len(datasets.read("toy", "test").lines) == 100


def test_a_file_hides_no_corpus_of_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder(tmp_path / "corpora" / "mine", test="from the data folder\n")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").write_text("a file\n")
    assert datasets.read("mine", "test", "corpora").lines == ("from the data folder",)
    for name, place in (("mine", "elsewhere"), ("./mine", "corpora")):
        with pytest.raises(InputError, match=r"mine: a file; make a folder of it"):
            datasets.read(name, "test", place)


def test_the_error_for_an_unknown_name_says_that_a_path_is_possible(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError) as caught:
        datasets.read("my_corpus", "train", "corpora")
    assert str(caught.value).endswith(
        " (or the path of a folder with train.txt, valid.txt, test.txt, or --data-dir, the folder that it "
        f"is in; looked for {tmp_path}/my_corpus and {tmp_path}/corpora/my_corpus)"
    )


def test_the_error_for_a_missing_folder_or_split_lists_the_needed_files(tmp_path: Path) -> None:
    with pytest.raises(datasets.MissingError, match=r"no such folder; .* train.txt, valid.txt, test.txt"):
        datasets.read(str(tmp_path / "none"), "train")
    path = folder(tmp_path / "half", train="a b\n")
    with pytest.raises(datasets.MissingError, match=r"half/valid.txt is missing; .* train.txt, valid.txt"):
        datasets.read(path, "valid")


@pytest.mark.parametrize("name", ["ptb/valid.txt", "ptb/ptb.valid.txt", "ptb.valid.txt"])
def test_public_files_are_found_under_their_usual_names(tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("a b\n")
    assert locate("ptb", "valid", tmp_path) == tmp_path / name


def test_the_data_folder_is_the_argument_then_the_variable_then_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place in ("argument", "variable", "data"):
        folder(tmp_path / place / "ptb", test=f"from {place}\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LVAE_DATA_DIR", raising=False)
    assert datasets.read("ptb", "test").lines == ("from data",)
    monkeypatch.setenv("LVAE_DATA_DIR", str(tmp_path / "variable"))
    assert datasets.read("ptb", "test").lines == ("from variable",)
    assert datasets.read("ptb", "test", tmp_path / "argument").lines == ("from argument",)


@pytest.mark.parametrize("name", ["ptb", "yahoo"])
def test_the_error_for_a_missing_public_corpus_says_how_to_get_it(tmp_path: Path, name: str) -> None:
    with pytest.raises(datasets.MissingError) as caught:
        datasets.read(name, "train", tmp_path)
    message = str(caught.value)
    assert f"run `python -m lvae_core download {name} --data-dir {tmp_path}`" in message
    assert f"{tmp_path}/{name}/train.txt, {tmp_path}/{name}/{name}.train.txt, " in message
    assert "\n" not in message


def test_a_public_file_with_an_unexpected_hash_gives_a_warning(tmp_path: Path) -> None:
    folder(tmp_path / "yahoo", test="a b\n", train="c d\ne f\n")
    texts = {split: datasets.read("yahoo", split, tmp_path) for split in ("train", "test")}
    train, test = datasets.warnings("yahoo", texts)
    assert f"{tmp_path}/yahoo/test.txt: SHA-256 " in test
    assert "SHA-256 ad843c43" in test
    # The training file was published with other hashes only.
    assert f"{tmp_path}/yahoo/train.txt: SHA-256 " in train
    assert "(MD5 3fb31bad… or git blob SHA-1 ae7d4fc4…)" in train


def test_a_folder_with_the_name_of_another_dataset_gives_a_warning(tmp_path: Path) -> None:
    path = folder(tmp_path / "ptb", train="a b\nc d\n", valid="a c\n")
    texts = {split: datasets.read(path, split) for split in ("train", "valid")}
    (line,) = datasets.warnings(path, texts)
    assert line.startswith(f"{path}: its runs and tables are called ptb and get the sizes of ptb")


def test_swapped_and_overlapping_splits_give_warnings(tmp_path: Path) -> None:
    unique = "".join(f"a b {i}\n" for i in range(9))
    path = folder(tmp_path / "odd", train="a b\nc d\n", valid="a b\n", test=unique + "a b\n")
    texts = {split: datasets.read(path, split) for split in datasets.SPLITS}
    overlap, swapped = sorted(datasets.warnings(path, texts), key=lambda w: "swapped" in w)
    assert f"{path}/valid.txt: 100% of its sentences are also in" in overlap
    # The test split overlaps in one sentence of ten, which is within the limit.
    assert f"{path}/train.txt: 2 sentences, fewer than the 10 of {path}/test.txt" in swapped


def test_the_overlap_of_the_toy_splits_gives_no_warning() -> None:
    texts = {split: datasets.read("toy", split) for split in datasets.SPLITS}
    train = set(texts["train"].lines)
    assert sum(line in train for line in texts["test"].lines) > 10
    assert datasets.warnings("toy", texts) == ()


@pytest.mark.parametrize(
    ("text", "message"), [(b"a b\nc\0 d\n", "NUL byte"), (b"a b\nc\rd\n", "carriage return")]
)
def test_nul_bytes_and_lone_carriage_returns_are_reported_with_their_line(
    tmp_path: Path, text: bytes, message: str
) -> None:
    path = tmp_path / "train.txt"
    path.write_bytes(text)
    with pytest.raises(InputError, match=rf"train\.txt:2: has a {message}"):
        read_file(path)


def test_packed_files_and_tables_of_other_programs_are_named_with_their_remedy(path: Path) -> None:
    text = b"label,text\n1,a b\n"
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("train.csv", text)
    # The beginning of a file by pyarrow: the mark, then the header of a page.
    parquet = b"PAR1\x15\x04\x15\x1a\x15\x1eL\x15\x02\x15\x00"
    for content, message in (
        (gzip.compress(text), "is packed with gzip; unpack it"),
        (lzma.compress(text), "is packed with xz; unpack it"),
        (b"\x28\xb5\x2f\xfd\x04\x58", "is packed with Zstandard; unpack it"),
        (
            archive.getvalue(),
            "is a spreadsheet or zip archive; save the table as CSV, or unpack it",
        ),
        (parquet, "is Parquet; save it as CSV"),
    ):
        assert error_of_reading(path, content) == f"{path}: {message}"


def test_text_that_begins_with_the_letters_of_a_binary_form_is_read(path: Path) -> None:
    path.write_bytes(b"PAR1 gene\nPK b\n")
    assert read_file(path).lines == ("PAR1 gene", "PK b")


def test_windows_line_endings_are_accepted(tmp_path: Path) -> None:
    path = tmp_path / "train.txt"
    path.write_bytes(b"a b\r\nc d\r\n")
    assert read_file(path).lines == ("a b", "c d")
