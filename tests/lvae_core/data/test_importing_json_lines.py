"""Importing JSON lines by the name of the text."""

import json
from pathlib import Path

import pytest

from lvae_core.errors import InputError

from .importing import cells_of, import_file, imported, lines, same, write


def test_json_lines_are_read_by_the_name_of_the_text(tmp_path: Path) -> None:
    texts = ['a "b"', "two\nlines", "é, c\t\u2028d"]
    content = "\n".join(json.dumps({"id": i, "text": text}) for i, text in enumerate(texts))
    source = write(tmp_path / "in", ".jsonl", **same(content))
    assert lines(imported(source, column="text")) == ['a "b"', "two lines", "é, c \u2028d"]


@pytest.mark.parametrize("column", [None, "text"])
@pytest.mark.parametrize(
    ("content", "line"),
    [
        ('"a b"\n"c d"\n', 1),
        ('\n{"text": "a b",}\n{"text": "c d"}\n', 2),
        ("a b\n", 1),
        ('{}\n["a b"]\n', 2),
    ],
)
def test_a_line_of_a_jsonl_file_that_is_no_object_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str, line: int, column: str | None
) -> None:
    path = tmp_path / "a.jsonl"
    assert import_file(path, content, *(["--column", column] if column else [])) == 2
    assert capsys.readouterr().err == f"error: {path}:{line}: not a JSON object; correct the line\n"
    assert not (tmp_path / "out").exists()


def test_a_line_of_a_jsonl_file_that_is_cut_off_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, content = tmp_path / "a.jsonl", '{"text": "a b"}\nc d"}\n{"text": "e"}\n'
    assert import_file(path, content) == 2
    assert "a.jsonl: JSON lines; give --column with one of text" in capsys.readouterr().err
    assert import_file(path, content, "--column", "text") == 2
    assert capsys.readouterr().err == f"error: {path}:2: not a JSON object; correct the line\n"


def test_objects_without_names_have_no_text(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("{}\n{}\n")
    with pytest.raises(InputError, match=r"a.jsonl: contains no text$"):
        cells_of(path, None)
    path.write_text('{}\n{"text": "a"}\n')
    with pytest.raises(InputError, match=r"a.jsonl: JSON lines; give --column with one of text$"):
        cells_of(path, None)


def test_text_that_begins_with_a_brace_is_not_json(tmp_path: Path) -> None:
    assert import_file(tmp_path / "a.txt", '{"a": 1}\nreturn it\n') == 0
    assert lines(tmp_path / "out") == ['{"a": 1}', "return it"]
