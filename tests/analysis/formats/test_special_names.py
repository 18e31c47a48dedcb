"""Names with characters that Markdown and LaTeX give a meaning: a table shows them as they are."""

import re

import pytest

from analysis.formats.latex import Style, latex_escape, latex_table
from analysis.formats.markdown import markdown_table
from analysis.tables.elements.table import Column, Line, Table

ROWS = ("[Ours] VAE", "*LM", "[7pt] x", "VAE")


def table(*labels: str) -> Table:
    lines = (Line("heading", "A | B *2020* <x>"), *(Line("ours", label, ("1",)) for label in labels))
    return Table("T", (Column("k|n", "a*b*"),), lines, ())


def test_headings_and_columns_of_markdown_are_literal() -> None:
    rows = markdown_table(table(*ROWS)).splitlines()
    # A bar in a name would be another column.
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {3}
    assert len({len(row) for row in rows}) == 1
    assert rows[0].split(" | ")[-1].strip(" |") == r"a\*b\* k\|n"
    assert rows[2].startswith(r"| **A \| B \*2020\* \<x>**")


@pytest.mark.parametrize("style", ["plain", "siunitx"])
def test_no_row_of_latex_is_read_as_an_argument_of_the_command_before_it(style: Style) -> None:
    text = latex_table(table(*ROWS, "  *indented", "\u2013"), best=None, style=style, label="t")
    # LaTeX looks for * and [ behind these commands, over the end of the line.
    assert not re.search(r"(\\\\|\\[a-z]*rule|\\addlinespace)\s*[*\[]", text)
    for name in ("[Ours] VAE", "*LM", "[7pt] x", "*indented"):
        assert name in text
    assert "\nVAE & " in text


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("--set iw_samples=5000", r"-{}-set iw\_samples=5000"),
        ("a - b -c", "a - b -c"),
        ("---", "-{}-{}-"),
        ("1\u20132", "1--2"),
        ("\u2013-", "--{}-"),
        ("--set p-q\u2013r", "-{}-set p-q--r"),
        ("mean of -log p(x)", r"mean of $-\log p(x)$"),
    ],
)
def test_hyphens_of_a_text_stay_hyphens_and_an_en_dash_an_en_dash(text: str, escaped: str) -> None:
    assert latex_escape(text) == escaped
