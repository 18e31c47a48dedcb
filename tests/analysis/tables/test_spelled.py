"""Vocabularies over one text are compared per character, and nothing else is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from analysis.formats.markdown import markdown
from analysis.formats.summary import write_tables
from analysis.reading.collect import collect
from analysis.reading.sources import open_source
from analysis.report.report import Report, compose

from ..conftest import WriteRun

SENTENCES, CHARACTERS = 3761, 442_423


def recorded(vocabulary: int, spelling_nats: float | None, **changed: Any) -> dict[str, Any]:
    sizes: dict[str, Any] = {"sentences": SENTENCES, "tokens": 82_430, "unknown": 0.1}
    test = dict(sizes)
    if spelling_nats is not None:
        test |= {"characters": CHARACTERS, "spelling_nats": spelling_nats}
    return {"vocabulary": vocabulary, "splits": {"train": sizes, "valid": sizes, "test": test | changed}}


def write(
    write_run: WriteRun,
    vocabulary: int,
    nlls: list[float],
    spelling: float | None,
    share: float = 0.1,
    **more: float,
) -> None:
    for seed, nll in enumerate(nlls):
        write_run(
            "lstm-lm",
            seed=seed,
            dataset="toy",
            estimates={"nll": nll, "ppl": 90.0, **more},
            result=recorded(vocabulary, spelling, unknown=share),
            max_vocabulary=vocabulary,
        )


def report_of(tmp_path: Path) -> Report:
    return compose(collect([open_source(str(tmp_path / "study"))]))


def test_the_letters_of_unknown_words_are_added(tmp_path: Path, write_run: WriteRun) -> None:
    write(write_run, 9000, [101.0, 103.0], 500.0)
    write(write_run, 100, [40.0, 42.0], 300_000.0)
    report = report_of(tmp_path)
    (table,) = report.spelled
    heading, *lines = table.lines
    assert heading.label == "standard"
    found = {line.values[4]: line.values for line in lines}
    for size, low, nats in (("9,000", 101.0, 500.0), ("100", 40.0, 300_000.0)):
        average, interval, words, spelling, _, n, bound = found[size]
        expected = [(SENTENCES * nll + nats) / CHARACTERS for nll in (low, low + 2)]
        assert average.values == pytest.approx(expected)  # type: ignore[union-attr]
        assert average.mean == pytest.approx(sum(expected) / 2)  # type: ignore[union-attr]
        # Of two values, the std is their distance over sqrt(2), and t(0.975, 1) is 12.706.
        half = 12.7062 * (expected[1] - expected[0]) / 2
        assert interval == f"±{half:.3f}"
        assert words.mean == low + 1  # type: ignore[union-attr]
        assert spelling == f"{nats / SENTENCES:.2f}"
        assert (n, bound) == ("2", "exact")
    assert any("vocabularies are compared per character alone" in note for note in report.table2[0].notes)
    assert "Vocabularies compared" in markdown(report)
    write_tables(report, str(tmp_path / "out"), latex="plain")
    assert "NLL per char" in (tmp_path / "out" / "spelled.md").read_text()
    assert report.comparisons == ()


def test_nll_per_known_word_leaves_out_what_unknown_words_cost(tmp_path: Path, write_run: WriteRun) -> None:
    write(write_run, 9000, [101.0, 103.0], 500.0, unknown_words=4.0)
    write(write_run, 100, [40.0, 42.0], 300_000.0, unknown_words=12.0)
    (table,) = report_of(tmp_path).spelled
    at = [column.name for column in table.columns].index("NLL per known word")
    known = 82_430 - 8_243  # a tenth is unknown
    found = [line.values[at].values for line in table.lines[1:]]  # type: ignore[union-attr]
    expected = [
        [(nll - cost) * SENTENCES / known for nll in nlls]
        for nlls, cost in (((40.0, 42.0), 12.0), ((101.0, 103.0), 4.0))
    ]
    assert sorted(map(list, found)) == [pytest.approx(values, rel=1e-12) for values in expected]
    assert any("compares no vocabularies" in note for note in table.notes)


def test_of_a_model_with_latent_samples_it_is_a_valid_elbo(tmp_path: Path, write_run: WriteRun) -> None:
    """The lower importance-weighted bound has no terms of words; one KL for several samples is no bound."""
    hidden = {"nll_elbo": 50.0, "nll_joint": 60.0, "nll_iw": 40.0, "nll_iw_joint": 55.0, "kl": 2.5}
    single = {"nll_elbo": 50.0, "nll_iw": 45.0, "kl": 2.5}
    ppl = {"ppl_elbo": 9.0, "ppl_iw": 9.0, "ppl_joint": 9.0, "ppl_iw_joint": 9.0}
    for size in (9000, 100):
        for system, L, estimates in (("lstm-vae-avg", 5, hidden), ("lstm-vae", 1, single)):
            write_run(
                system,
                L,
                dataset="toy",
                estimates=estimates | {n: v for n, v in ppl.items() if n.replace("ppl", "nll") in estimates}
                | {"unknown_words": 6.0},
                result=recorded(size, 500.0),
                max_vocabulary=size,
            )  # fmt: skip
    (table,) = report_of(tmp_path).spelled
    at = [column.name for column in table.columns].index("NLL per known word")
    for line in table.lines[1:]:
        nll = 60.0 if "AVG" in line.label else 50.0
        found = line.values[at].mean  # type: ignore[union-attr]
        assert found == pytest.approx((nll - 6.0) * SENTENCES / 74_187, rel=1e-12), line.label


def test_without_unknown_words_all_words_are_known(tmp_path: Path, write_run: WriteRun) -> None:
    """Such a vocabulary has no class for them, and no run records their cost."""
    write(write_run, 9000, [101.0, 103.0], 0.0, share=0.0)
    write(write_run, 100, [40.0, 42.0], 300_000.0, unknown_words=12.0)
    (table,) = report_of(tmp_path).spelled
    at = [column.name for column in table.columns].index("NLL per known word")
    found = {line.values[-3]: line.values[at].values for line in table.lines[1:]}  # type: ignore[union-attr]
    assert found["9,000"] == pytest.approx([nll * SENTENCES / 82_430 for nll in (101.0, 103.0)], rel=1e-12)


def test_results_that_lack_the_cost_have_no_such_column(tmp_path: Path, write_run: WriteRun) -> None:
    write(write_run, 9000, [101.0, 103.0], 500.0)
    write(write_run, 100, [40.0, 42.0], 300_000.0)
    (table,) = report_of(tmp_path).spelled
    assert "NLL per known word" not in [column.name for column in table.columns]
    assert not any("NLL per known word" in note for note in table.notes)


@pytest.mark.parametrize("spelling", [None, 700.0])
def test_one_vocabulary_or_an_earlier_result_has_no_such_table(
    tmp_path: Path, write_run: WriteRun, spelling: float | None
) -> None:
    write(write_run, 9000, [101.0, 103.0], 700.0)
    if spelling is None:
        write(write_run, 100, [40.0, 42.0], None)
    report = report_of(tmp_path)
    assert report.spelled == ()
    assert not any("per character" in note for note in report.table2[0].notes)


@pytest.mark.parametrize("changed", [{"characters": CHARACTERS - 1}, {"characters": None}])
def test_other_characters_are_another_text(
    tmp_path: Path, write_run: WriteRun, changed: dict[str, Any]
) -> None:
    """And a number that is none is damage, which is one line."""
    write(write_run, 9000, [101.0], 700.0)
    result = recorded(100, 700.0, **changed)
    write_run("lstm-lm", dataset="toy", result=result, max_vocabulary=100)
    report = report_of(tmp_path)
    assert report.spelled == ()
    damaged = [problem for problem in report.problems if "splits.test.characters is None" in problem]
    assert len(damaged) == (changed["characters"] is None)


def test_earlier_results_are_named_and_other_limits_of_one_vocabulary_are_not_lost(
    tmp_path: Path, write_run: WriteRun
) -> None:
    write(write_run, 9000, [101.0], 700.0)
    write(write_run, 100, [40.0], 300_000.0)
    write(write_run, 300, [60.0], None)
    write_run(
        "lstm-lm", dataset="toy", estimates={"nll": 41.0}, result=recorded(100, None), max_vocabulary=101
    )
    (table,) = report_of(tmp_path).spelled
    assert sorted(str(line.values[4]) for line in table.lines[1:]) == ["100", "100", "9,000"]
    (note,) = [note for note in table.notes if note.startswith("not compared")]
    assert "V = 300," in note
    assert "V = 100," not in note


def test_settings_are_compared_apart(tmp_path: Path, write_run: WriteRun) -> None:
    """One vocabulary in each setting: there is nothing to compare, and no note that says so."""
    for setting, size in (("standard", 9000), ("inputless", 100)):
        write_run("lstm-lm", 1, setting, dataset="toy", result=recorded(size, 7.0), max_vocabulary=size)
    report = report_of(tmp_path)
    assert report.spelled == ()
    assert not any("per character" in note for note in report.table2[0].notes)


def test_two_data_of_one_name_have_headings_of_their_own(tmp_path: Path, write_run: WriteRun) -> None:
    for data in ("d" * 64, "e" * 64):
        for size in (9000, 100):
            result = recorded(size, 7.0)
            write_run("lstm-lm", dataset="toy", result=result, max_vocabulary=size, data=data)
    (table,) = report_of(tmp_path).spelled
    headings = [line.label for line in table.lines if line.kind == "heading"]
    assert headings == ["standard, data dddddddd", "standard, data eeeeeeee"]
