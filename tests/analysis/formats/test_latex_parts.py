"""Tables that do not fit the page of an article are divided, and lose nothing by it."""

from __future__ import annotations

import re

import pytest

from analysis.formats.latex import latex_table
from analysis.formats.latex_parts import parts_of
from analysis.stats.average import Average
from analysis.tables.elements.table import Column, Line, Table

NUMBERS = tuple(Column(name) for name in ("NLL", "(KL)", "PPL", "n"))


def average(mean: float) -> Average:
    return Average(3, mean, 10.25, None)


def two_settings(rows: int) -> Table:
    columns = [Column(column.name, setting) for setting in ("standard", "inputless") for column in NUMBERS]
    lines = [
        Line(
            "ours",
            f"LSTM-VAE-AIN+anneal L={k}",
            tuple(average(1000.0 * s + k) for s in range(len(columns))),
        )
        for k in range(rows)
    ]
    return Table("Wide", tuple(columns), tuple(lines), ())


def cells_of(text: str) -> list[str]:
    """The numbers that LaTeX prints, without their spread."""
    return re.findall(r"& ([\d.]+)\$\\pm\$", text)


def test_a_table_that_fits_is_one_tabular() -> None:
    parts = parts_of(Table("T", NUMBERS, (Line("ours", "a", (average(1.0),) * 4),), ()), ())
    assert [len(tabulars) for tabulars in parts.floats] == [1]
    assert not parts.narrow


def test_settings_of_a_wide_table_stand_one_below_the_other() -> None:
    table = two_settings(12)
    (tabulars,) = parts_of(table, ()).floats
    assert [{column.group for column in tabular.columns} for tabular in tabulars] == [
        {"standard"},
        {"inputless"},
    ]
    text = latex_table(table, best=None, style="plain", label="t")
    assert text.count(r"\begin{table}") == 1
    assert len(cells_of(text)) == 12 * 8


@pytest.mark.parametrize("rows", [40, 200])
def test_a_long_table_is_divided_into_floats_that_fit_a_page(rows: int) -> None:
    text = latex_table(two_settings(rows), best=None, style="plain", label="t")
    floats = text.split(r"\begin{table}")[1:]
    assert len(floats) > 1
    # A line has 8 points and a page 550, of which a caption, rules and notes need some.
    assert max(part.count(r" \\") for part in floats) * 8 <= 450
    assert sorted(cells_of(text)) == sorted(f"{1000 * s + k}.0" for s in range(8) for k in range(rows))
    assert re.findall(r"\\label\{(.*)\}", text)[:2] == ["tab:t", "tab:t-part2"]
    assert f"part 2 of {len(floats)}." in floats[1]


def test_a_section_that_goes_on_repeats_its_heading_and_keeps_variants_with_their_system() -> None:
    lines = [Line("heading", "standard")]
    for k in range(30):
        lines.append(Line("published", f"system {k}"))
        lines += [Line("ours", f"  variant {j}", (average(k),) * 4) for j in range(3)]
    floats = parts_of(Table("T", NUMBERS, tuple(lines), ()), ()).floats
    assert len(floats) > 2
    for place, (tabular,) in enumerate(floats):
        labels = [line.label for line in tabular.lines]
        assert labels[0] == ("standard, continued" if place else "standard")
        assert labels[1].startswith("system")
        assert labels.count("  variant 0") == labels.count("  variant 2")


def test_hyperparameters_that_systems_share_stand_apart_from_those_that_differ() -> None:
    systems = [f"lstm-vae-of-a-long-name-{k}" for k in range(9)]
    columns = (Column("all", text=True), *(Column(name, text=True) for name in systems))
    lines = (
        Line("heading", "data"),
        Line("ours", "min_count", ("2", *(None for _ in systems))),
        Line("heading", "model"),
        Line("ours", "hidden_size", (None, *map(str, range(100, 100 + len(systems))))),
    )
    (tabulars,) = parts_of(Table("H", columns, lines, ()), ()).floats
    assert [line.label for line in tabulars[0].lines] == ["data", "min_count"]
    assert [column.name for column in tabulars[0].columns] == ["all"]
    assert len(tabulars) > 2
    for tabular in tabulars[1:]:
        assert [line.label for line in tabular.lines] == ["model", "hidden_size"]
    assert [column.name for tabular in tabulars[1:] for column in tabular.columns] == systems


def test_numbers_that_are_read_together_are_scaled_and_words_broken() -> None:
    columns = (*NUMBERS, *NUMBERS, Column("bound on -log p(x)", text=True))
    words = "upper bound in expectation only, unreliable"
    lines = (Line("ours", "LSTM-VAE-AIN+anneal L=1", (*(average(1000.0),) * 8, words)),)
    text = latex_table(Table("B", columns, lines, ()), best=None, style="plain", label="t")
    assert text.count(r"\begin{tabular}{") == 1
    assert r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{\begin{tabular}" in text
    assert r"\begin{tabular}[t]{@{}l@{}}upper bound in expectation \\ only, unreliable\end{tabular}" in text


def test_notes_that_do_not_fit_below_the_last_part_follow_it() -> None:
    table = two_settings(15)
    marks = tuple(f"note {k}: " + "many words " * 60 for k in range(5))
    long, short = (
        latex_table(
            Table("T", table.columns, table.lines, notes, marks=notes), best=None, style="plain", label="t"
        )
        for notes in (marks, ("n: number of seeds",))
    )
    assert "n: number of seeds." in short.partition(r"\end{table}")[0]
    assert "note 0" not in long.partition(r"\end{table}")[0]
    below = long.partition(r"\end{table}")[2]
    assert r"Notes on Table~\ref{tab:t}:" in below
    assert all(f"note {k}" in below for k in range(5))
