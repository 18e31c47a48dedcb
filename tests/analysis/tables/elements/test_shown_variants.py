"""Selection of variants: a row with too many shows the best, and the CSV files have all."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
import pytest

from analysis.figures.axes import varied_axes
from analysis.figures.series import fitting
from analysis.formats.files import csv_text
from analysis.formats.latex import latex_table
from analysis.formats.text import value_text
from analysis.reading.collect import Runs, collect
from analysis.reading.sources import open_source
from analysis.report.report import Report, compose
from analysis.stats.over_seeds import average_cells, with_bootstrap
from analysis.tables.elements.csv_rows import CELL_COLUMNS
from analysis.tables.elements.shown_variants import (
    MOST_VARIANTS,
    hidden_variant_notes,
    mark_shown,
    shown_variants,
)

from ...conftest import WriteRun

RATES = [1.0 + k for k in range(MOST_VARIANTS + 3)]


@pytest.fixture
def runs(tmp_path: Path, write_run: WriteRun) -> Runs:
    """The highest rates are best in standard, the lowest in inputless; one variant has no finished run."""
    for rate in RATES:
        for seed in range(2):
            write_run(seed=seed, estimates={"nll_elbo": 200 - rate, "ppl_elbo": 9.0}, learning_rate=rate)
            write_run(
                seed=seed,
                setting="inputless",
                estimates={"nll_elbo": 300 + rate, "ppl_elbo": 9.0},
                learning_rate=rate,
            )
    write_run(status="failed", learning_rate=0.5)
    return collect([open_source(str(tmp_path / "study"))])


def test_settings_choose_in_turns_and_show_the_same_variants(runs: Runs) -> None:
    cells = average_cells(runs.frame)
    chosen = shown_variants(cells, 4)
    assert {cell.variant for cell in chosen} == {
        "learning_rate=1", "learning_rate=2", "learning_rate=14", "learning_rate=15",
    }  # fmt: skip
    assert len(chosen) == 8
    assert chosen == [cell for cell in cells if cell in chosen]
    assert shown_variants(cells, len(RATES) + 1) == cells
    # Variants without a number come last.
    assert all(cell.variant != "learning_rate=0.5" for cell in shown_variants(cells, len(RATES)))


def test_tables_show_the_best_variants_and_csv_files_have_all(runs: Runs) -> None:
    report = compose(runs)
    (table,) = report.table2
    shown = [line.label.strip() for line in table.lines if line.label.startswith("  ours (")]
    assert len(shown) == MOST_VARIANTS
    assert all(name.startswith("ours (learning_rate=") for name in shown)
    rows = list(csv.DictReader(io.StringIO(csv_text(report.table2, CELL_COLUMNS))))
    assert {row["variant"] for row in rows if row["n"] == "2"} == {f"learning_rate={r:g}" for r in RATES}
    assert {row["variant"] for row in rows if row["failed"] == "1"} == {"learning_rate=0.5"}
    (note,) = hidden_variant_notes(report.cells, "ptb")
    assert note.startswith(
        f"variants with the lowest bounds on the test split only: {MOST_VARIANTS} of {len(RATES)} ("
    )
    assert report.comparisons
    assert all(note in table.notes for table in report.comparisons)


def test_only_shown_cells_have_bootstrap_intervals(runs: Runs) -> None:
    cells = with_bootstrap(mark_shown(average_cells(runs.frame), 2), np.random.default_rng(0))
    for cell in cells:
        assert all((average.bca is not None) == cell.shown for average in cell.averages.values())


def test_there_is_no_note_if_all_variants_are_shown(runs: Runs) -> None:
    assert list(hidden_variant_notes(average_cells(runs.frame), "ptb")) == []


def test_variants_of_one_field_are_named_by_their_values(runs: Runs) -> None:
    report = compose(runs)
    assert all(cell.variant_name == cell.variant != "" for cell in report.cells if cell.shown)
    notes = [note for table in (*report.table2, *report.bounds, *report.costs) for note in table.notes]
    assert not [note for note in notes if note.startswith("A: ")]


def test_a_key_says_what_the_letters_stand_for(tmp_path: Path, write_run: WriteRun) -> None:
    for rate in RATES:
        estimates = {"nll_elbo": 200 - rate, "ppl_elbo": 9.0}
        write_run(estimates=estimates, learning_rate=rate, latent_size=int(rate))
    report = compose(collect([open_source(str(tmp_path / "study"))]))
    variants = {cell.variant for cell in report.cells if cell.shown}
    shown = sorted(variants, key=lambda v: int(v.partition("learning_rate=")[2]))
    key = [f"{letter}: {variant}" for letter, variant in zip("ABCDEFGHIJKL", shown, strict=True)]
    assert key[0] == "A: latent_size=4, learning_rate=4"
    for table in (*report.table2, *report.table3, *report.bounds, *report.reproductions, *report.costs):
        assert [note for note in table.notes if note in key] == key


def test_a_variant_without_a_finished_run_is_one_line_below_the_table(runs: Runs) -> None:
    (table,) = compose(runs).table2
    assert "1 variant has no finished run: LSTM-VAE L=1 learning_rate=0.5: failed (diverged)" in table.notes
    assert not any("0.5" in line.label for line in table.lines)


def test_an_interrupted_variant_leaves_the_finished_one_its_plain_name(
    tmp_path: Path, write_run: WriteRun
) -> None:
    write_run("lstm-vae", 5, learning_rate=1.0)
    write_run("lstm-vae", 5, status="unfinished", learning_rate=0.25, max_epochs=7, hidden_size=50)
    write_run("lstm-vae", 5, status="failed", learning_rate=0.125)
    write_run("lstm-vae", 5, status="unfinished", learning_rate=0.125, seed=1)
    report = compose(collect([open_source(str(tmp_path / "study"))]))
    (table,) = report.table2
    ours = [line.label for line in table.lines if line.kind == "ours" and "100.0" in str(line.values)]
    assert ours == ["  ours"]
    (note,) = [
        note for note in table.notes if note.startswith("2 variants have no finished run: LSTM-VAE L=5 ")
    ]
    assert "learning_rate=0.125, max_epochs=30: failed (diverged), unfinished" in note
    assert "hidden_size=50, learning_rate=0.25, max_epochs=7: unfinished;" in note


@pytest.fixture
def diverged(tmp_path: Path, write_run: WriteRun) -> Report:
    """The report on a system of which one of two learning rates diverged with every seed."""
    for seed in range(2):
        write_run("lstm-lm", dataset="toy", seed=seed)
        write_run(dataset="toy", seed=seed, learning_rate=1.0)
        write_run(dataset="toy", seed=seed, learning_rate=1e6, status="failed")
    return compose(collect([open_source(str(tmp_path / "study"))]))


def test_a_variant_all_of_whose_runs_failed_has_a_row_that_says_why(diverged: Report) -> None:
    (table,), (bounds,) = diverged.table2, diverged.bounds
    rows = {line.label: line for line in table.lines}
    assert value_text(rows["  learning_rate=1"].values[0], table.columns[0]) == "100.0±0.0"
    failed = rows["  learning_rate=1e+06"]
    assert [value_text(v, c) for v, c in zip(failed.values, table.columns, strict=True)] == [
        "diverged 2/2", "", "", "0",
    ]  # fmt: skip
    assert any("words in place of numbers: no run is done" in note for note in table.marks)
    assert not any("no finished run" in note for note in table.notes)
    assert r"{diverged 2/2} & 0 \\" in latex_table(table, best=None, style="plain", label="t")
    (heading,) = [k for k, line in enumerate(bounds.lines) if line.label.endswith("(learning_rate=1e+06)")]
    first = bounds.lines[heading + 1].values
    assert (value_text(first[0], bounds.columns[0]), first[-1]) == ("diverged 2/2", "")


@pytest.mark.parametrize("name", ["table2", "bounds"])
def test_csv_files_have_a_row_with_empty_numbers_for_what_failed(diverged: Report, name: str) -> None:
    rows = csv.DictReader(io.StringIO(csv_text(getattr(diverged, name), CELL_COLUMNS)))
    (failed,) = [row for row in rows if row["variant"] == "learning_rate=1e+06"]
    assert (failed["n"], failed["mean"], failed["values"]) == ("0", "", "")
    assert (failed["failed"], failed["failures"], failed["done"]) == ("2", "diverged 2", "0")


def test_figures_leave_out_what_failed_and_say_so(diverged: Report) -> None:
    fits, sentence = fitting(diverged.cells, "toy")
    assert {cell.variant for cell in fits} == {"", "learning_rate=1"}
    assert sentence == " Not drawn, as all of their runs failed: LSTM-VAE L=1 (learning_rate=1e+06)."
    assert varied_axes(fits, "toy") == []  # one value is no axis


def test_unfinished_variants_are_no_choice_by_test_numbers(tmp_path: Path, write_run: WriteRun) -> None:
    write_run(dataset="toy", learning_rate=1.0)
    write_run(dataset="toy", learning_rate=2.0, status="unfinished")
    report = compose(collect([open_source(str(tmp_path / "study"))]))
    assert fitting(report.cells, "toy")[1] == ""


def test_a_row_whose_variants_are_all_unfinished_is_one_row(tmp_path: Path, write_run: WriteRun) -> None:
    for rate in (1.0, 2.0, 3.0):
        write_run(dataset="toy", status="unfinished", learning_rate=rate)
    (table,) = compose(collect([open_source(str(tmp_path / "study"))])).table2
    assert [line.label for line in table.lines] == ["LSTM-VAE L=1"]
    assert any(note.startswith("2 variants have no finished run: ") for note in table.notes)


def test_the_same_fields_have_the_same_letter_in_every_row(tmp_path: Path, write_run: WriteRun) -> None:
    for system, rates in (("lstm-lm", (2.0,)), ("lstm-vae", (1.0, 2.0)), ("lstm-vae-avg", (2.0, 3.0))):
        for rate in rates:
            write_run(system, 5, dataset="toy", learning_rate=rate, max_epochs=int(rate))
    cells = mark_shown(average_cells(collect([open_source(str(tmp_path / "study"))]).frame))
    letters = {(cell.system, cell.variant): cell.short_name for cell in cells}
    assert letters == {
        ("lstm-lm", ""): "",
        ("lstm-vae", "learning_rate=1, max_epochs=1"): "A",
        ("lstm-vae", "learning_rate=2, max_epochs=2"): "B",
        ("lstm-vae-avg", "learning_rate=2, max_epochs=2"): "B",
        ("lstm-vae-avg", "learning_rate=3, max_epochs=3"): "C",
    }
