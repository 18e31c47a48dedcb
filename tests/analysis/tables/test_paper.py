from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest

from analysis.formats.latex import latex_table
from analysis.published.catalogue import use
from analysis.published.facts import Fact
from analysis.reading.collect import collect
from analysis.reading.sources import open_source
from analysis.stats.average import Average
from analysis.stats.cells import Cell, Counts
from analysis.stats.over_seeds import average_cells
from analysis.tables.comparisons import reproduction_table
from analysis.tables.elements.csv_rows import CELL_COLUMNS, csv_frame
from analysis.tables.elements.table import Difference, Line, Table
from analysis.tables.paper import further_table, table2, table3

from ..conftest import WriteRun
from .test_bounds import weighted


def cells(tmp_path: Path) -> list[Cell]:
    return average_cells(collect([open_source(str(tmp_path / "study"))]).frame)


def after(table: Table, label: str, heading: str = "Kruengkrai 2019") -> list[Line]:
    """The line of a row, and the indented lines below it."""
    labels = [line.label for line in table.lines]
    start = labels.index(label, labels.index(heading))
    end = start + 1
    while end < len(table.lines) and table.lines[end].label.startswith("  "):
        end += 1
    return list(table.lines[start:end])


def means(line: Line) -> list[object]:
    return [
        value.mean
        if isinstance(value, Average | Fact)
        else round(value.value, 9)
        if isinstance(value, Difference)
        else value
        for value in line.values
    ]


def test_table_2_has_our_numbers_and_the_difference_under_the_published_ones(
    tmp_path: Path, write_run: WriteRun
) -> None:
    for seed, nll in enumerate([95.0, 97.0]):
        write_run("lstm-vae-avg", 5, seed=seed, estimates={"nll_elbo": nll, "kl": 8.0, "ppl_elbo": 80.0})
    table = table2(cells(tmp_path), "ptb")
    published, ours, difference = after(table, "LSTM-VAE-AVG L=5‡")
    # The fourth column of a setting is for published rows on another count of tokens.
    assert means(published) == [97.3, 7.6, 84.6, None, None, 118.8, 10.6, 225.8, None, None]
    assert (ours.kind, ours.label) == ("ours", "  ours")
    assert means(ours) == [96.0, 8.0, 80.0, None, "2", Counts(), None, Counts(), None, None]
    # By hand: 96 - 97.3, 8 - 7.6, 80 - 84.6.
    assert means(difference) == [-1.3, 0.4, -4.6, *[None] * 7]


def test_table_2_follows_the_paper_row_by_row(tmp_path: Path, write_run: WriteRun) -> None:
    write_run()
    write_run(dataset="yahoo")
    found = cells(tmp_path)
    ptb, yahoo = table2(found, "ptb"), table2(found, "yahoo")
    assert "2a" in ptb.heading
    assert "2b" in yahoo.heading
    rows = [line.label for line in ptb.lines if line.kind in ("heading", "published")]
    assert rows == [
        "Bowman et al. 2016", "LSTM-LM", "LSTM-VAE L=1",
        "Xu & Durrett 2018", "LSTM-LM", "LSTM-VAE L=1§", "LSTM-vMF-VAE L=1§",
        "Kruengkrai 2019", "LSTM-LM", "LSTM-VAE L=1", "LSTM-VAE L=5", "LSTM-VAE L=10",
        "LSTM-VAE-AVG L=5‡", "LSTM-VAE-AVG L=10‡",
    ]  # fmt: skip
    headings = [line.label for line in yahoo.lines if line.kind == "heading"]
    assert headings == ["Yang et al. 2017", "Kim et al. 2018", "Kruengkrai 2019"]
    assert [(c.group, c.name) for c in ptb.columns] == [
        (setting, name)
        for setting in ("standard", "inputless")
        for name in ("NLL", "(KL)", "PPL", "NLL at 21.9", "n")
    ]
    # Yahoo's rows all count the same tokens.
    assert {c.name for c in yahoo.columns} == {"NLL", "(KL)", "PPL", "n"}
    # Our numbers stand below one row of each system: not below LSTM-LM and LSTM-VAE as others ran them.
    assert [line.kind for line in ptb.lines[:7]].count("ours") == 0


def test_every_published_system_has_ours_below_it_or_shows_it_as_missing(
    tmp_path: Path, write_run: WriteRun
) -> None:
    write_run()
    write_run(dataset="yahoo")
    found = cells(tmp_path)
    for table, heading, label in (
        (table2(found, "ptb"), "Xu & Durrett 2018", "LSTM-vMF-VAE L=1§"),
        (table2(found, "yahoo"), "Yang et al. 2017", "CNN-LM"),
        (table2(found, "yahoo"), "Yang et al. 2017", "CNN-VAE+init L=1"),
        (table2(found, "yahoo"), "Kim et al. 2018", "SA-VAE L=1"),
        (table3(found, ["yahoo"]), "He et al. 2019", "LSTM-VAE-AIN+anneal L=1"),
    ):
        _, ours = after(table, label, heading)
        assert ours.values[0] == Counts()
    # Yang et al. have no inputless numbers, so none of ours is missing there.
    _, ours = after(table2(found, "yahoo"), "CNN-LM", "Yang et al. 2017")
    assert set(ours.values[4:]) == {None}


def test_differences_are_from_numbers_on_our_count_of_tokens(tmp_path: Path, write_run: WriteRun) -> None:
    write_run("lstm-vmf-vae", 1, estimates={"nll_elbo": 101.0, "ppl_elbo": 99.0, "kl": 6.0})
    table = table2(cells(tmp_path), "ptb")
    published, ours, difference = after(table, "LSTM-vMF-VAE L=1§", "Xu & Durrett 2018")
    # By hand: ln 98 = 4.584967 and 82,430 tokens in 3,761 sentences give 100.4889 instead of 96; the KL has
    # the same factor, 5.7 * 100.4889 / 96 = 5.9665.
    assert means(published)[:3] == [96.0, 5.7, 98.0]
    converted = published.values[3]
    assert isinstance(converted, Fact)
    assert converted.mean == pytest.approx(100.4889, abs=1e-3)
    assert means(ours)[:5] == [101.0, 6.0, 99.0, None, "1"]
    assert means(difference)[:3] == pytest.approx([0.5111, 0.0335, 1.0], abs=1e-3)
    (note,) = [note for note in table.notes if note.startswith("NLL at 21.9: ")]
    assert "21.917 tokens per sentence, as ours (82,430 tokens with </s> in 3,761 sentences)" in note
    assert "(Bowman et al. 2016 21.1, Xu & Durrett 2018 21.0, as without </s>)" in note
    rows = csv_frame(table.csv_rows(), CELL_COLUMNS)
    row = rows[(rows["system"] == "lstm-vmf-vae") & (rows["metric"] == "nll") & (rows["n"] > 0)].iloc[0]
    assert (row.published_mean, row.source) == (96.0, "xu2018")
    assert row.comparable_mean == pytest.approx(100.4889, abs=1e-3)
    assert row.difference == pytest.approx(0.5111, abs=1e-3)


def test_published_rows_that_may_be_no_bounds_say_under_which_condition(
    tmp_path: Path, write_run: WriteRun
) -> None:
    write_run()
    notes = table2(cells(tmp_path), "ptb").notes
    assert (
        "Xu & Durrett 2018, LSTM-VAE and LSTM-vMF-VAE: if run with the default of the released code, which "
        "averages 3 samples of z and counts one KL, NLL and PPL are not bounds either"
    ) in notes


def test_numbers_published_elsewhere_have_a_separate_table() -> None:
    table = further_table("yahoo")
    assert [c.name for c in table.columns] == ["NLL", "IW", "(KL)", "PPL", "MI"]
    assert [line.label for line in table.lines if line.kind == "heading"] == [
        "Texar", "Texar-PyTorch", "He et al. 2019 (submitted version)",
    ]  # fmt: skip
    (_, transformer) = [line for line in table.lines if line.label == "Transformer-VAE L=1"]
    assert means(transformer) == [328.03, None, None, 60.78, None]
    assert means(table.lines[-1]) == [None, 326.6, 6.7, None, 3.2]
    assert table.lines[-1].label == "LSTM-VAE-AIN+anneal L=1"
    assert further_table("pydocs").lines == ()


def test_the_language_model_is_compared_by_its_exact_numbers(tmp_path: Path, write_run: WriteRun) -> None:
    write_run("lstm-lm", estimates={"nll": 101.0, "ppl": 100.0})
    published, ours, difference = after(table2(cells(tmp_path), "ptb"), "LSTM-LM")
    assert means(published)[:5] == [100.8, None, 99.4, None, None]
    assert means(ours)[:5] == [101.0, None, 100.0, None, "1"]
    assert means(difference)[:5] == [0.2, None, 0.6, None, None]


def test_missing_failed_and_unfinished_cells(tmp_path: Path, write_run: WriteRun) -> None:
    for seed in range(5):
        write_run("lstm-vae", 5, seed=seed, status="failed" if seed < 2 else "unfinished")
        write_run("lstm-vae", 10, seed=seed, status="done" if seed < 3 else "failed")
    table = table2(cells(tmp_path), "ptb")
    _, nothing = after(table, "LSTM-VAE L=1")
    assert nothing.values == (Counts(), None, Counts(), None, None) * 2
    _, failed = after(table, "LSTM-VAE L=5")
    assert failed.values[:5] == (Counts(failed=2, unfinished=3), None, None, None, "0")
    _, partly, _ = after(table, "LSTM-VAE L=10")
    assert partly.values[4] == "3/5"
    (note,) = [note for note in table.notes if "missing" in note]
    assert "words in place of numbers: no run is done" in note
    assert "n with a slash: runs in the mean / all runs" in note


def test_variants_have_a_row_each(tmp_path: Path, write_run: WriteRun) -> None:
    for epochs, nll in [(3, 110.0), (30, 103.0)]:
        write_run(max_epochs=epochs, estimates={"nll_elbo": nll})
    lines = after(table2(cells(tmp_path), "ptb"), "LSTM-VAE L=1")
    assert [(line.label, means(line)[0]) for line in lines] == [
        ("LSTM-VAE L=1", 102.5),
        ("  ours (max_epochs=3)", 110.0),
        ("  difference", 7.5),
        ("  ours (max_epochs=30)", 103.0),
        ("  difference", 0.5),
    ]


def test_a_dataset_without_published_numbers_has_only_our_rows(tmp_path: Path, write_run: WriteRun) -> None:
    write_run("lstm-lm", dataset="pydocs")
    write_run("lstm-vae", 1, dataset="pydocs", max_epochs=3)
    write_run("lstm-vae", 1, dataset="pydocs", max_epochs=4)
    table = table2(cells(tmp_path), "pydocs")
    assert [(line.kind, line.label) for line in table.lines if any(line.values)] == [
        ("ours", "LSTM-LM"),
        ("ours", "  max_epochs=3"),
        ("ours", "  max_epochs=4"),
    ]
    # A setting without a run has no columns.
    assert {column.group for column in table.columns} == {"standard"}


def test_a_system_without_a_published_number_comes_last(tmp_path: Path, write_run: WriteRun) -> None:
    write_run("lstm-vae", 2)
    write_run("my-vae", 3)
    labels = [line.label for line in table2(cells(tmp_path), "ptb").lines]
    assert labels[-3:] == ["not beside a published number", "LSTM-VAE L=2", "my-vae L=3"]


def test_table_3_has_the_datasets_side_by_side(tmp_path: Path, write_run: WriteRun) -> None:
    write_run("lstm-vae-avg", 10, estimates={"nll_elbo": 94.0, "nll_iw": 92.0})
    write_run("lstm-vae-avg", 10, "inputless", estimates={"nll_elbo": 1.0, "nll_iw": 1.0})
    write_run("lstm-lm")
    table = table3(cells(tmp_path), ["ptb", "yahoo"])
    assert [(c.group, c.name) for c in table.columns] == [
        (group, name) for group in ("PTB", "Yahoo") for name in ("NLL", "IW", "n")
    ]
    assert means(table.lines[1]) == [None, None, None, 328.4, 326.7, None]
    assert table.lines[1].label == "LSTM-VAE-AIN+anneal L=1"
    published, ours, difference = after(table, "LSTM-VAE-AVG L=10‡")
    assert means(published) == [94.3, 91.7, None, 328.5, 324.9, None]
    assert means(ours) == [94.0, 92.0, "1", Counts(), Counts(), None]
    assert means(difference) == [-0.3, 0.3, None, None, None, None]
    # A language model has no importance weights; the paper's table is of the standard setting.
    assert not [line for line in table.lines if "LSTM-LM" in line.label]


def test_a_weighted_number_of_table_3_says_how_far_to_rely_on_it(
    tmp_path: Path, write_run: WriteRun
) -> None:
    for system, khat_above in (("lstm-vmf-vae", 0.61), ("lstm-vae", 0.05)):
        estimates = {
            "nll_elbo": 44.7,
            "nll_iw": weighted(41.9, khat_above),
            "nll_iw_one": weighted(1.0, 0.9),
        }
        write_run(system, 1, dataset="pydocs", estimates=estimates)
    found = cells(tmp_path)
    table = table3(found, ["pydocs"])
    assert [column.name for column in table.columns] == ["NLL", "IW", "ESS", "k>0.7", "n"]
    shown = {line.label: means(line) for line in table.lines}
    assert shown["LSTM-vMF-VAE L=1"] == [44.7, 41.9, "312", "61.0%, unreliable", "1"]
    assert shown["LSTM-VAE L=1"] == [44.7, 41.9, "312", "5.0%", "1"]
    latex = latex_table(table, best=None, style="plain", label="t")
    assert r"41.9 & 312 & 61.0\%, unreliable & 1" in latex
    assert "unreliable: the Pareto shape is above 0.7 in more than 5\\% of the sentences" in latex
    # The table does not have the reading by one ratio, which is unreliable in every cell.
    (alone,) = [table3([c for c in found if c.system == "lstm-vae"], ["pydocs"])]
    assert not [note for note in alone.notes if note.startswith("unreliable")]
    assert [note for note in alone.notes if note.startswith("ESS: ")]


def test_weighted_numbers_of_earlier_results_say_that_nothing_is_recorded(
    tmp_path: Path, write_run: WriteRun
) -> None:
    write_run(dataset="pydocs", estimates={"nll_elbo": 44.7, "nll_iw": 41.9})
    table = table3(cells(tmp_path), ["pydocs"])
    assert [column.name for column in table.columns] == ["NLL", "IW", "n"]
    assert "ESS and k>0.7 are not recorded in results of earlier versions" in table.marks


def over(vocabulary: int) -> dict[str, object]:
    """What a result says of its vocabulary."""
    sizes = {"sentences": 3761, "tokens": 82430, "unknown": 0.1}
    return {"vocabulary": vocabulary, "splits": {"train": sizes, "valid": sizes, "test": sizes}}


def test_rows_over_another_text_stand_below_its_name(tmp_path: Path, write_run: WriteRun) -> None:
    for limit, vocabulary, nll in ((0, 9000, 90.0), (100, 100, 30.0)):
        fields = {"dataset": "toy", "max_vocabulary": limit, "result": over(vocabulary)}
        write_run("lstm-lm", estimates={"nll": nll + 1, "ppl": nll}, **fields)
        write_run("lstm-vae-avg", 5, estimates={"nll_elbo": nll, "nll_iw": nll}, **fields)
    # The second text has a further run: a cell without a finished one belongs to its variant's text.
    write_run("lstm-lm", seed=1, dataset="toy", result=over(9000), estimates={"nll": 92.0})
    write_run("lstm-lm", 0, "inputless", dataset="toy", max_vocabulary=100, status="unfinished")
    found = cells(tmp_path)
    lines = [
        (line.label, line.values[0].mean if line.values and isinstance(line.values[0], Average) else None)
        for line in table2(found, "toy").lines
    ]
    assert lines == [
        ("text 1", None),
        ("LSTM-LM", None),
        ("  max_vocabulary=0", 91.5),
        ("LSTM-VAE-AVG L=5‡", None),
        ("  max_vocabulary=0", 90.0),
        ("text 2", None),
        ("LSTM-LM", None),
        ("  max_vocabulary=100", 31.0),
        ("LSTM-VAE-AVG L=5‡", None),
        ("  max_vocabulary=100", 30.0),
    ]
    assert table2(found, "toy").lines[7].values[4] == Counts(unfinished=1)
    headings = [line.label for line in table3(found, ["toy"]).lines if line.kind == "heading"]
    assert headings == ["text 1", "text 2"]


def test_only_our_numbers_over_the_published_text_stand_below_published_ones(
    tmp_path: Path, write_run: WriteRun
) -> None:
    """Even if more runs are over another text."""
    write_run("lstm-vae", 1, estimates={"nll_elbo": 102.0, "nll_iw": 101.0}, result=over(10000))
    for seed in range(2):
        estimates = {"nll_elbo": 30.0, "nll_iw": 29.0}
        write_run("lstm-vae", 1, seed=seed, max_vocabulary=100, result=over(100), estimates=estimates)
    write_run("lstm-vae", 1, dataset="yahoo", estimates={"nll_elbo": 300.0, "nll_iw": 299.0})
    found = cells(tmp_path)
    table = table2(found, "ptb")
    beside = after(table, "LSTM-VAE L=1")
    assert [line.label.strip() for line in beside[1:]] == ["ours (max_vocabulary=0), text 2", "difference"]
    assert [line.label for line in table.lines[-3:]] == ["text 1", "LSTM-VAE L=1", "  max_vocabulary=100"]
    assert means(table.lines[-1])[0] == 30.0
    both = table3(found, ["ptb", "yahoo"])
    assert [line.label for line in both.lines[-3:]] == [
        "PTB, text 1",
        "LSTM-VAE L=1",
        "  max_vocabulary=100",
    ]
    # In the columns of the other dataset nothing is missing.
    assert means(both.lines[-1]) == [30.0, 29.0, "2", None, None, None]
    labels = [line.label for line in both.lines]
    assert "  ours (max_vocabulary=0), PTB text 2" in labels
    # The CSV file has every cell once.
    rows = csv_frame(table.csv_rows(), CELL_COLUMNS)
    assert sorted(rows[(rows["n"] > 0) & (rows["metric"] == "nll")]["mean"]) == [30.0, 102.0]


def test_published_numbers_without_a_formula_get_the_nearest_reading_and_no_verdict(
    tmp_path: Path, write_run: WriteRun
) -> None:
    for seed in range(5):  # every digit as published: 97.3 and 95.1
        estimates = {
            "nll_elbo": 97.3,
            "nll_iw": 95.1 + 0.1 * seed,
            "nll_iw_one": 95.0,
            "nll_iw_joint": 120.0,
        }
        write_run("lstm-vae-avg", 5, seed=seed, estimates=estimates)
        write_run("lstm-vae", 1, seed=seed, estimates={"nll_elbo": 102.5, "nll_iw": 102.1})
    found = cells(tmp_path)
    # 97.3 - 95.1 is published; ours are 97.3 minus 95.3, 95.0 and 120.
    note = (
        "no formula was published for IW with averaged decoder states, so there is no verdict on it. The "
        "gap NLL - IW as published, and ours by reading: PTB, LSTM-VAE-AVG L=5: published 2.2; ours 2.0 "
        "(IW, mean of ratios), 2.3 (IW, one ratio), -22.7 (IW, joint); nearest: IW, one ratio"
    )
    table = reproduction_table(found, "ptb")
    for notes in (table3(found, ["ptb", "yahoo"]).notes, table.notes):
        assert [n for n in notes if "formula" in n and "gap" in n] == [note]
    words = {line.label.strip(): line.values[-1] for line in table.lines if line.values}
    assert not [note for note in table.notes if note.startswith("unreliable: ")]
    assert words["LSTM-VAE-AVG L=5 NLL"] == "reproduced"
    assert words["LSTM-VAE-AVG L=5 IW"] == "no verdict"
    assert words["LSTM-VAE L=1 IW"] == "reproduced"


def test_the_first_table_of_a_dataset_gives_the_size_of_its_test_text(
    tmp_path: Path, write_run: WriteRun
) -> None:
    write_run("lstm-lm", dataset="corp", result=over(9000))
    table = table2(cells(tmp_path), "corp")
    sizes = "test: 3,761 sentences, 82,430 tokens with </s>, V = 9,000"
    assert table.notes[0] == sizes
    assert sizes in table.marks
    write_run("lstm-lm", dataset="old", data="e" * 64)
    assert table2(cells(tmp_path), "old").notes[0] == "test: 3,761 sentences, 82,430 tokens with </s>"
    # With several texts, the note that tells them apart gives the sizes of each.
    write_run("lstm-lm", dataset="corp", max_vocabulary=100, result=over(100))
    assert not [note for note in table2(cells(tmp_path), "corp").notes if note.startswith("test: ")]


def test_the_readings_of_all_variants_are_in_one_note(tmp_path: Path, write_run: WriteRun) -> None:
    for size in (4, 8, 16):
        numbers = {"nll_elbo": 97.3, "nll_iw": 95.1, "nll_joint": 120.0}
        write_run("lstm-vae-avg", 5, estimates=numbers, latent_size=size)
    for table in (table3(cells(tmp_path), ["ptb", "yahoo"]), reproduction_table(cells(tmp_path), "ptb")):
        (note,) = [note for note in table.notes if "no formula was published" in note]
        assert note.count("published 2.2; ours 2.2 (IW, mean of ratios); nearest") == 3


def test_an_unreliable_number_is_called_so_beside_the_published_one(
    tmp_path: Path, write_run: WriteRun
) -> None:
    for seed in range(3):
        write_run("lstm-vae", 1, seed=seed, estimates={"nll_elbo": 102.5, "nll_iw": weighted(102.1, 0.06)})
    table = reproduction_table(cells(tmp_path), "ptb")
    labels = [line.label.strip() for line in table.lines if line.values]
    assert labels == ["LSTM-VAE L=1 NLL", "LSTM-VAE L=1 IW, unreliable"]
    assert [note for note in table.notes if note.startswith("unreliable: ")]


def test_csv_rows_have_all_digits_and_every_count(tmp_path: Path, write_run: WriteRun) -> None:
    for seed, nll in enumerate([100.123, 102.456]):
        write_run(
            seed=seed, estimates={"nll_elbo": (nll, 0.02), "kl": 1.0, "ppl_elbo": 90.0, "mi": 0.5, "au": 2}
        )
    write_run(seed=2, status="failed")
    table = table2(cells(tmp_path), "ptb")
    rows = list(csv_frame(table.csv_rows(), CELL_COLUMNS).itertuples())
    ours = {row.metric: row for row in rows if row.system == "lstm-vae" and row.n}
    assert set(ours) == {"nll", "kl", "ppl", "mi", "au"}
    nll = ours["nll"]
    assert (nll.estimate, nll.bound, nll.n) == ("nll_elbo", "upper bound", 2)
    assert nll.mean == pytest.approx(101.2895)
    assert nll.std == pytest.approx(2.333 / 2**0.5)
    assert nll.mc_stderr == pytest.approx(0.02 / 2**0.5)
    assert (nll.values, nll.mc_stderrs, nll.seeds) == ("100.123 102.456", "0.02 0.02", "0 1")
    assert (nll.minimum, nll.maximum) == (100.123, 102.456)
    assert nll.stderr == pytest.approx(2.333 / 2)
    # Student's t of one degree of freedom has its quantile at 12.706.
    assert nll.t_low == pytest.approx(101.2895 - 12.706 * 2.333 / 2, abs=1e-3)
    assert nll.verdict == "cannot tell"
    assert (nll.published_mean, nll.published_std, nll.source) == (102.5, 0.2, "kruengkrai2019")
    assert nll.difference == pytest.approx(-1.2105)
    assert (nll.done, nll.failed, nll.unfinished, nll.damaged) == (2, 1, 0, 0)
    assert pd.isna(ours["mi"].published_mean)
    # Every published number is there once, with ours or alone.
    published = [row for row in rows if pd.notna(row.published_mean)]
    assert len(published) == 60
    assert sum(row.source == "bowman2016" for row in published) == 10


@pytest.fixture
def published(tmp_path: Path) -> Iterator[Callable[[str], None]]:
    """Adds lines of a user's published numbers, until the test is over."""

    def add(lines: str) -> None:
        file = tmp_path / "own.csv"
        file.write_text("dataset,source,system,num_samples,setting,metric,mean,table,beside\n" + lines)
        use([str(file)])

    yield add
    use()


def test_our_row_beside_numbers_of_two_sources_is_there_once(
    tmp_path: Path, write_run: WriteRun, published: Callable[[str], None]
) -> None:
    write_run(dataset="corp", estimates={"nll_elbo": 95.0, "kl": 5.0, "ppl_elbo": 90.0})
    published(
        "corp,hu,LSTM-VAE,1,standard,nll,96.0,2,yes\n"
        "corp,li,LSTM-VAE,1,standard,nll,80.0,2,\n"
        "corp,li,LSTM-VAE,1,standard,kl,5.5,2,yes\n"
    )
    table = table2(cells(tmp_path), "corp")
    assert [(line.kind, line.label.strip(), means(line)) for line in table.lines] == [
        ("heading", "hu", []),
        ("published", "LSTM-VAE L=1", [96.0, None, None, None]),
        ("heading", "li", []),
        ("published", "LSTM-VAE L=1", [80.0, 5.5, None, None]),
        ("ours", "ours", [95.0, 5.0, 90.0, "1"]),
        # The NLL is not from the number above it, which does not stand beside it: a note says so.
        ("difference", "difference", [-1.0, -0.5, None, None]),
    ]
    note = "LSTM-VAE L=1: our differences are from NLL of hu, KL of li"
    assert note in table.notes
    assert note in table.marks
    rows = csv_frame(table.csv_rows(), CELL_COLUMNS)
    assert list(zip(rows["metric"], rows["source"].fillna(""), rows["mean"], strict=True))[1:] == [
        ("nll", "hu", 95.0),
        ("kl", "li", 5.0),
        ("ppl", "", 90.0),
    ]
    # The number that stands beside none of ours is there, too.
    assert (rows["metric"][0], rows["source"][0], rows["published_mean"][0]) == ("nll", "li", 80.0)


def test_a_row_beside_one_source_has_no_note_on_its_differences(
    tmp_path: Path, write_run: WriteRun, published: Callable[[str], None]
) -> None:
    write_run(dataset="corp", estimates={"nll_elbo": 95.0, "kl": 5.0, "ppl_elbo": 90.0})
    published("corp,hu,LSTM-VAE,1,standard,nll,96.0,2,yes\ncorp,hu,LSTM-VAE,1,standard,kl,6.0,2,\n")
    table = table2(cells(tmp_path), "corp")
    assert means(table.lines[-1]) == [-1.0, -1.0, None, None]
    assert not [note for note in table.notes if "our differences" in note]
