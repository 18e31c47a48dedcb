"""Importing columns of tables: numbers and names, headers, quotes and delimiters."""

import csv
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lvae_core.__main__ import main
from lvae_core.data.importing import Rules, import_text
from lvae_core.errors import InputError

from .importing import cells_of, import_file, imported, lines, same, write

TEXTS = ["say", 'the "quoted" , yes', "a, b", '"', "two\nlines", "a\ttab", "NA", ""]


def test_a_column_is_read_by_number_and_by_name(tmp_path: Path) -> None:
    table = 'label\ttext\r\n1\ta  b\n0\tc\u00a0d "e\n'
    source = write(tmp_path / "in", ".tsv", **same(table))
    named = import_text([source], tmp_path / "named", Rules(column="text"))
    second = import_text([source], tmp_path / "second", Rules(column="2", header=True))
    assert lines(tmp_path / "named") == lines(tmp_path / "second") == ["a b", 'c\u00a0d "e']
    whole = import_text([source], tmp_path / "whole", Rules(column="2"))
    assert lines(tmp_path / "whole") == ["text", "a b", 'c\u00a0d "e']
    # The record says what was done, also if a name implies it.
    assert [record["rules"]["header"] for record in (named, second, whole)] == [True, True, False]


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
        assert [cell.text for cell in cells_of(path, "text").cells] == list(texts)
    else:
        with pytest.raises(InputError, match="column text is empty"):
            cells_of(path, "text")


def test_a_cell_of_any_length_is_read(tmp_path: Path) -> None:
    limit, text = csv.field_size_limit(), "word " * 40_000
    (tmp_path / "a.csv").write_text(f'id,text\n1,a\n2,"{text}"\n')
    assert [cell.text for cell in cells_of(tmp_path / "a.csv", "text").cells] == ["a", text]
    assert csv.field_size_limit() == limit


def test_text_that_is_not_csv_and_missing_files_are_named(tmp_path: Path) -> None:
    source = write(tmp_path / "in", ".csv", **same('id,text\n1,a\n2,"b" c\n'))
    with pytest.raises(InputError, match=r"in/train.csv:3: not CSV \("):
        imported(source, column="text")
    (source / "valid.csv").unlink()
    with pytest.raises(InputError, match=r"in: valid.txt or .* or valid.jsonl is missing, or give"):
        imported(source, column="text")
    with pytest.raises(InputError, match="no such file or folder"):
        imported(tmp_path / "none")
    with pytest.raises(InputError, match=r"give --split 0\.8 0\.1 0\.1 to divide it"):
        imported(source / "test.csv")
    few = write(tmp_path / "few", all="a\nb\n") / "all.txt"
    with pytest.raises(InputError, match=r"2 different sentences are too few for valid with this --split"):
        imported(few, split=(8, 1, 1))


def test_a_number_is_a_position_even_if_a_cell_of_the_first_line_is_that_number(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert import_file(tmp_path / "lab.csv", "slowly book cat likes,1\na b,0\n", "--column", "1") == 0
    assert lines(tmp_path / "out") == ["slowly book cat likes", "a b"]
    assert "warning" not in capsys.readouterr().err


def test_a_column_named_by_its_own_position_needs_no_choice(tmp_path: Path) -> None:
    assert import_file(tmp_path / "lab.csv", "1,text\na b,0\n", "--column", "1", "--header") == 0
    assert lines(tmp_path / "out") == ["a b"]


@pytest.mark.parametrize(
    ("name", "content", "column"),
    [
        ("bom.csv", "\ufefftext,label\na b,1\n", "1"),
        ("a.tsv", "1\tReview_Text\n0\ta b\n", "2"),
        ("a.csv", ",0,1\n0,a b,1\n", "2"),
        ("a.txt", "Sentence\na b\n", None),
    ],
)
def test_a_first_line_that_looks_like_a_header_is_reported_until_header_is_given(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, content: str, column: str | None
) -> None:
    options = ["--column", column] if column else []
    assert import_file(tmp_path / name, content, *options) == 0
    *warned, _ = capsys.readouterr().err.splitlines()
    kept = lines(tmp_path / "out")[0]
    assert warned == 3 * [
        f"warning: {tmp_path / name}:1: '{kept}' looks like the name of the column and is kept as a "
        "sentence; give --header to pass over the first line"
    ]
    (tmp_path / "out").rename(tmp_path / "kept")
    assert import_file(tmp_path / name, content, *options, "--header") == 0
    assert lines(tmp_path / "out") == ["a b"]
    assert "warning" not in capsys.readouterr().err


@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC])
def test_quotes_that_a_program_put_around_fields_of_a_tsv_are_removed(tmp_path: Path, quoting: int) -> None:
    path = tmp_path / "a.tsv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file, delimiter="\t", quoting=quoting)  # type: ignore[arg-type]
        writer.writerows([["text", "label"], *([text, i] for i, text in enumerate(TEXTS))])
    read = cells_of(path, "text")
    assert [cell.text.replace("\r\n", "\n") for cell in read.cells] == TEXTS
    assert [cell.number for cell in read.cells] == [2, 3, 4, 5, 6, 8, 9, 10]
    assert read.warnings == ()


def test_fields_with_commas_may_have_quotes_as_excel_writes_them(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    path.write_bytes(b'"a ""b"" , c"\t1\r\n"d , e"\t0\r\nf\t\r\n')
    assert [cell.text for cell in cells_of(path, "1").cells] == ['a "b" , c', "d , e", "f"]


@pytest.mark.parametrize(
    ("content", "texts"),
    [
        # Speech over two lines, which quoted fields with line breaks would look like.
        ('1\t"i am\n0\tb "\n', ['"i am', 'b "']),
        ('0\tb\n1\t"hi"\n', ["b", '"hi"']),
        ('1\t"hi" he said\n0\tb\n', ['"hi" he said', "b"]),
        ('1\ta "b" c\n0\t""\n', ['a "b" c', '""']),
        ('1\t" no , yes "\n0\tb\n', ['" no , yes "', "b"]),
        ('1\t"a""b"\n0\t"c"\n1\td\n', ['"a""b"', '"c"', "d"]),
    ],
)
def test_quotes_of_the_text_of_a_tsv_stay_and_whole_texts_in_quotes_are_reported(
    tmp_path: Path, content: str, texts: list[str]
) -> None:
    path = tmp_path / "a.tsv"
    path.write_text(content)
    read = cells_of(path, "2")
    assert [cell.text for cell in read.cells] == texts
    whole = [number for number, text in enumerate(texts, start=1) if text[0] == text[-1] == '"']
    assert [warning.partition(" text")[0] for warning in read.warnings] == (
        [f"{path}:{whole[0]}: {len(whole)}"] if whole else []
    )


def test_lines_with_tabs_that_are_imported_whole_are_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "tabs.txt"
    path.write_text("".join(f"{i}\tword{i} end\n" for i in range(30)))
    assert main(["import", str(path), "--split", "8", "1", "1", "--out", str(tmp_path / "out")]) == 0
    warning, _ = capsys.readouterr().err.splitlines()
    assert warning == (
        f"warning: {path}: a table? Every line has 1 tab, so all columns are read as text; keep one with "
        "--column, a number from 1 to 2"
    )
    path.write_text("a\tb\nc\n")
    assert cells_of(path, None).warnings == ()


@pytest.mark.parametrize(
    ("name", "delimiter", "content"),
    [
        ("a.csv", ";", 'id;text\n1;"a; b"\n'),
        ("a.csv", "tab", "id\ttext\n1\ta; b\n"),
        ("a.txt", ",", "id,text\n1,a; b\n"),
        ("a.tsv", "|", "id|text\n1|a; b\n"),
    ],
)
def test_a_delimiter_divides_columns(tmp_path: Path, name: str, delimiter: str, content: str) -> None:
    assert import_file(tmp_path / name, content, "--column", "text", "--delimiter", delimiter) == 0
    assert lines(tmp_path / "out") == ["a; b"]


def test_a_csv_of_another_delimiter_is_refused_until_the_comma_is_given(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = "text;label\na, b;1\nc;0\n"
    for column in ("text", "1"):
        assert import_file(tmp_path / "semi.csv", content, "--column", column) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line == (
            f"error: {tmp_path}/semi.csv: seems to be separated by ';', not by ','; give --delimiter ';', "
            "or else --delimiter ','"
        )
    one = "a;b\nc;d\n"
    assert import_file(tmp_path / "one.csv", one, "--column", "1", "--delimiter", ",") == 0
    assert lines(tmp_path / "out") == ["a;b", "c;d"]


def test_a_name_of_a_column_is_found_behind_a_blank(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("label, text\n1, a b\n")
    assert [cell.text for cell in cells_of(path, "text").cells] == [" a b"]
    path.write_text("text, text\n1, a b\n")  # the exact name comes first
    assert [cell.text for cell in cells_of(path, "text").cells] == ["1"]


@pytest.mark.parametrize(
    ("content", "texts"),
    [
        ('1, "a big b"\n0,   "c"\n', ["a big b", "c"]),
        ('1, "a, ""b"""\n0,c\n', ['a, "b"', "c"]),
        ('1, "a\nb"\n0, c\n', ["a\nb", "c"]),
    ],
)
def test_quotes_of_csv_behind_a_blank_are_no_part_of_the_text(
    tmp_path: Path, content: str, texts: list[str]
) -> None:
    path = tmp_path / "a.csv"
    path.write_text(content)
    read = cells_of(path, "2")
    assert [cell.text for cell in read.cells] == texts
    assert read.warnings == ()


@pytest.mark.parametrize(
    ("content", "texts"),
    [
        # Speech, not CSV: more text follows the quote that ends.
        ('1, "hi" he said\n0, "b c"\n', [' "hi" he said', ' "b c"']),
        # Speech over two lines, which a field with a line break would look like.
        ('1, "i am\n0, b"\n1, "c"\n', [' "i am', ' b"', ' "c"']),
    ],
)
def test_other_quotes_of_csv_behind_a_blank_stay_and_whole_texts_in_quotes_are_reported(
    tmp_path: Path, content: str, texts: list[str]
) -> None:
    path = tmp_path / "a.csv"
    path.write_text(content)
    read = cells_of(path, "2")
    assert [cell.text for cell in read.cells] == texts
    assert read.warnings == (
        f"{path}:{len(texts)}: 1 text in quotes, which stay part of the text; if a program put them there, "
        "remove the blanks before them",
    )


def test_a_text_of_csv_that_begins_with_a_blank_and_a_quote_changes_no_other(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('1," ""a"" b"\n0, c\n1,"  ""d"""\n')
    read = cells_of(path, "2")
    assert [cell.text for cell in read.cells] == [' "a" b', " c", '  "d"']
    assert read.warnings == ()


def test_a_line_break_in_the_name_of_a_column_does_not_break_the_message(tmp_path: Path) -> None:
    source = write(tmp_path / "in", ".csv", **same('"the\ntext",label\na,1\n'))
    with pytest.raises(InputError, match=r"choose from the text, label$"):
        imported(source, column="text")
