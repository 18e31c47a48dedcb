"""Numbers over different text stand apart and are never compared, ranked or chosen by."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from analysis.formats.markdown import markdown
from analysis.published.catalogue import use
from analysis.reading.collect import Runs, collect
from analysis.reading.sources import open_source
from analysis.report.report import Report, compose
from analysis.report.sentences import best_runs
from analysis.report.two_studies import compare_studies
from analysis.stats.cells import Cell
from analysis.stats.over_seeds import average_cells
from analysis.stats.text_groups import first_texts
from analysis.tables.elements.shown_variants import shown_variants

from ..conftest import WriteRun


def read(tmp_path: Path, study: str = "study") -> Runs:
    return collect([open_source(str(tmp_path / study))])


def cells(tmp_path: Path) -> list[Cell]:
    return average_cells(read(tmp_path).frame)


def recorded(vocabulary: int | None, unknown: float = 0.1) -> dict[str, Any]:
    """What a result says of its vocabulary; nothing if it is of an earlier version."""
    if vocabulary is None:
        return {}
    sizes = {"sentences": 3761, "tokens": 82430, "unknown": unknown}
    return {"vocabulary": vocabulary, "splits": {"train": sizes, "valid": sizes, "test": sizes}}


def write(
    write_run: WriteRun,
    nll: float,
    vocabulary: int | None,
    *,
    seeds: int = 8,
    lm: bool = True,
    **fields: Any,
) -> None:
    """LSTM-LM at ``nll`` and LSTM-VAE 3 nats below it."""
    for seed in range(seeds):
        fields["result"] = recorded(vocabulary)
        if lm:
            write_run("lstm-lm", seed=seed, estimates={"nll": nll, "ppl": nll}, **fields)
        estimates = {"nll_elbo": nll - 3 + seed / 9, "ppl_elbo": nll, "mi": 2.0}
        write_run("lstm-vae", seed=seed, estimates=estimates, **fields)


def pairs(report: Report) -> set[tuple[str, str]]:
    rows = [row for table in report.comparisons for row in table.csv_rows()]
    return {
        (row["a"]["system"] + row["a"]["variant"], row["b"]["system"] + row["b"]["variant"]) for row in rows
    }


@pytest.mark.parametrize("vocabularies", [(9000, 100), (None, None)])
def test_vocabularies_of_one_study_stand_apart(
    tmp_path: Path, write_run: WriteRun, vocabularies: tuple[int | None, int | None]
) -> None:
    write(write_run, 59.6, vocabularies[0], dataset="toy")
    write(write_run, 19.9, vocabularies[1], dataset="toy", max_vocabulary=100)
    report = compose(read(tmp_path))
    small, large = "max_vocabulary=100", "max_vocabulary=0"
    assert pairs(report) == {(f"lstm-vae{name}", f"lstm-lm{name}") for name in (small, large)}
    (bounds,) = report.bounds
    assert [line.label for line in bounds.lines if line.kind == "heading"] == [
        "standard, text 1",
        "standard, text 2",
    ]
    assert any(
        note.endswith("an exact number over the same text; two bounds decide nothing")
        for note in bounds.notes
    )
    (compared,) = report.comparisons
    headings = [line.label for line in compared.lines if line.kind == "heading"]
    assert "standard, text 1, NLL (tightest bound)" in headings
    assert "standard, text 2, NLL (tightest bound)" in headings
    (note,) = [note for note in report.table2[0].notes if "not all numbers are over the same text" in note]
    assert "never compared or ranked" in note
    for text in ("text 1 (16 runs): ", "text 2 (16 runs): ", "82,430 tokens"):
        assert text in note
    if vocabularies[0]:
        assert "V = 9,000" in note
        assert "V = 100" in note
    assert note in markdown(report).replace("\\", "")


def test_a_text_has_one_number_on_a_page_whatever_a_table_compares(
    tmp_path: Path, write_run: WriteRun
) -> None:
    """The text with the most runs has nothing to compare, and takes the first number in every table."""
    write(write_run, 59.6, 9000, dataset="toy", seeds=3)
    write(write_run, 19.9, 100, dataset="toy", max_vocabulary=100, lm=False)
    report = compose(read(tmp_path))
    (note,) = [note for note in report.table2[0].notes if "not all numbers are over the same text" in note]
    assert "text 1 (8 runs): V = 100," in note
    assert "text 2 (6 runs): V = 9,000," in note
    (compared,) = report.comparisons
    (heading,) = [line.label for line in compared.lines if "(tightest bound)" in line.label]
    assert heading == "standard, text 2, NLL (tightest bound)"


def test_a_language_model_of_another_vocabulary_is_no_baseline(tmp_path: Path, write_run: WriteRun) -> None:
    write(write_run, 59.6, 9000, dataset="toy")
    write(write_run, 19.9, 100, dataset="toy", max_vocabulary=100, lm=False)
    report = compose(read(tmp_path))
    assert pairs(report) == {("lstm-vaemax_vocabulary=0", "lstm-lm")}
    (bounds,) = report.bounds
    (other,) = [k for k, line in enumerate(bounds.lines) if line.label == "standard, text 2"]
    position = [column.name for column in bounds.columns].index("vs LM")
    assert all(line.values[position] is None for line in bounds.lines[other + 1 :] if line.values)


def test_a_limit_that_changes_no_word_is_the_same_text(tmp_path: Path, write_run: WriteRun) -> None:
    write(write_run, 59.6, 9000, dataset="toy")
    write(write_run, 58.6, 9000, dataset="toy", max_vocabulary=9000)
    report = compose(read(tmp_path))
    assert ("lstm-lmmax_vocabulary=9000", "lstm-lmmax_vocabulary=0") in pairs(report)
    assert not any("same text" in note for note in report.table2[0].notes)


def test_a_result_that_recorded_its_vocabulary_tells_it_for_earlier_ones(
    tmp_path: Path, write_run: WriteRun
) -> None:
    write(write_run, 59.6, None, dataset="toy", seeds=2)
    write_run("lstm-vae", 5, dataset="toy", result=recorded(9000))
    assert len({cell.text for cell in cells(tmp_path)}) == 1
    assert cells(tmp_path)[0].text is not None


@pytest.mark.parametrize("change", [{"data": "e" * 64}, {"result": {"tokens": 900}}])
def test_other_data_or_another_test_split_is_another_text(
    tmp_path: Path, write_run: WriteRun, change: dict[str, Any]
) -> None:
    write_run("lstm-lm", dataset="toy")
    write_run("lstm-vae", dataset="toy", **change)
    report = compose(read(tmp_path))
    assert report.comparisons == ()
    assert len({cell.text for cell in report.cells}) == 2


@pytest.mark.parametrize("vocabularies", [(9000, 100), (None, None), (9000, None)])
def test_two_studies_over_different_text_are_not_compared(
    tmp_path: Path, write_run: WriteRun, vocabularies: tuple[int | None, int | None]
) -> None:
    write(write_run, 59.6, vocabularies[0], dataset="toy", study="a", lm=False)
    write(write_run, 19.9, vocabularies[1], dataset="toy", study="b", lm=False, max_vocabulary=100)
    compared = compare_studies(read(tmp_path, "a"), read(tmp_path, "b"))
    assert compared.comparisons == ()
    assert any(
        note.startswith("not compared: LSTM-VAE L=1 on toy, standard; numbers over different text")
        for note in compared.notes
    )


def test_studies_of_an_earlier_and_of_this_version_are_compared(
    tmp_path: Path, write_run: WriteRun
) -> None:
    write(write_run, 59.6, None, dataset="toy", study="a", lm=False)
    write(write_run, 59.6, 9000, dataset="toy", study="b", lm=False)
    assert compare_studies(read(tmp_path, "a"), read(tmp_path, "b")).comparisons


def test_runs_and_variants_are_chosen_within_a_text(tmp_path: Path, write_run: WriteRun) -> None:
    for rate in (0.5, 1.0, 2.0):
        write(write_run, 59.6 + rate, 9000, dataset="toy", seeds=1, learning_rate=rate)
    write(write_run, 19.9, 100, dataset="toy", seeds=1, max_vocabulary=100)
    found = cells(tmp_path)
    best = {round(run.nll, 1) for run in best_runs(found, "toy") if run.cell.system == "lstm-lm"}
    assert best == {19.9, 60.1}
    # Two of four: the lowest of each text.
    chosen = {cell.averages["nll"].mean for cell in shown_variants(found, 2) if cell.system == "lstm-lm"}
    assert chosen == {19.9, 60.1}
    # Most runs are over the large vocabulary.
    assert {cell.text.vocabulary for cell in first_texts(found) if cell.text} == {9000}


@pytest.mark.parametrize(("limit", "compared"), [(0, True), (100, False)])
def test_another_vocabulary_is_not_compared_with_the_published_numbers(
    tmp_path: Path, write_run: WriteRun, limit: int, compared: bool
) -> None:
    for seed in range(3):
        write_run("lstm-lm", seed=seed, estimates={"nll": 19.9 + seed, "ppl": 9.0}, max_vocabulary=limit)
    report = compose(read(tmp_path))
    assert bool(report.reproductions) == compared
    table = report.table2[0]
    assert any(line.kind == "difference" for line in table.lines) == compared
    rows = [row for row in table.csv_rows() if row.get("n") and row["metric"] == "nll"]
    assert [row.get("difference") is not None for row in rows] == [compared]


def test_one_text_of_several_is_set_against_numbers_of_the_users_own(
    tmp_path: Path, write_run: WriteRun
) -> None:
    """Which vocabulary they are of is not known, but they cannot be of both."""
    file = tmp_path / "own.csv"
    file.write_text(
        "dataset,source,system,num_samples,setting,metric,mean,std,table,beside\n"
        "mine,me2026,LSTM-LM,,standard,nll,20,1,2,yes\n"
    )
    for count, seeds in ((1, 3), (2, 2)):
        for seed in range(seeds):
            estimates = {"nll": 19.0 + seed, "ppl": 9.0}
            write_run("lstm-lm", seed=seed, dataset="mine", estimates=estimates, min_count=count)
    use([str(file)])
    try:
        (table,) = compose(read(tmp_path)).reproductions
    finally:
        use()
    heading, *lines = table.lines
    assert heading.label == "standard, text 1"
    (row,) = [line for line in lines if line.kind == "ours"]
    assert row.values[1] == "3", "the runs of the text with the most"
