"""The comparison of two studies, against differences computed by hand."""

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest
from matplotlib.text import Text

from analysis.figures.differences import draw
from analysis.figures.elements.style import style
from analysis.figures.pictures import Pictures
from analysis.formats.latex import latex_table
from analysis.formats.page.page import compare_page
from analysis.reading.collect import collect
from analysis.reading.sources import open_source
from analysis.report.two_studies import TwoStudies, compare_studies
from analysis.tables.elements.csv_rows import COMPARE_COLUMNS, csv_frame
from analysis.tables.elements.table import Difference
from lvae_core.run_folder.declared_seeds import declare_seeds
from lvae_core.run_folder.study import Study

from ..conftest import WriteRun, texts_of


def compared(tmp_path: Path) -> TwoStudies:
    return compare_studies(*(collect([open_source(str(tmp_path / name))]) for name in "ab"))


def lines(compared_studies: TwoStudies, heading: str) -> dict[str, tuple]:
    """Label -> values of the lines under a heading."""
    found: dict[str, tuple] = {}
    for table in compared_studies.tables:
        below = ""
        for line in table.lines:
            below = line.label if line.kind == "heading" else below
            if line.kind == "ours" and below == heading:
                found[line.label.strip()] = line.values
    return found


def test_the_difference_is_over_common_seeds_of_runs_with_equal_names(
    tmp_path: Path, write_run: WriteRun
) -> None:
    # The same configs, so the same run names in both: as after a change of code.
    for study, values in (("a", {0: 100.0, 1: 101.0, 2: 102.0}), ("b", {1: 100.0, 2: 100.0, 3: 90.0})):
        for seed, value in values.items():
            write_run(seed=seed, study=study, estimates={"nll_elbo": value, "ppl_elbo": 50.0})
    compared_studies = compared(tmp_path)
    a, b, difference, interval, n, flip, _, below, words = lines(
        compared_studies, "standard, NLL (published convention)"
    )["LSTM-VAE L=1"]
    # Seeds 1 and 2: -1 and -2. The columns are over these seeds, too, so that they have this difference.
    assert (a.mean, b.mean, n) == (101.5, 100.0, "2")
    assert (a.seeds, b.seeds) == ((1, 2), (1, 2))
    assert difference == Difference(-1.5)
    # t with 1 degree of freedom: 12.7062 * 0.707107 / sqrt(2).
    assert interval.half_width == pytest.approx(6.3531, abs=1e-4)
    assert (flip, words) == ("0.5", "undecided: two bounds")
    # At both common seeds B is lower; the other pairs of seeds, such as 100 = 100, do not count.
    assert below == "2"
    (row, *_) = compared_studies.tables[0].csv_rows()
    assert (row["kind"], row["seeds"], row["differences"]) == ("study", "1 2", "-1.0 -2.0")


@pytest.mark.parametrize(
    ("declared", "caveat"),
    [
        ((8, 8), ""),
        ((8, 12), ""),  # as many as both were to have
        ((12, 16), " (interim: 8 of 12 declared seeds)"),
        ((8, None), " (their number was not declared beforehand)"),
    ],
)
def test_a_verdict_says_if_its_seeds_are_not_those_that_both_studies_declared(
    declared: tuple[int | None, int | None], caveat: str, tmp_path: Path, write_run: WriteRun
) -> None:
    for study, value, number in zip("ab", (100.0, 90.0), declared, strict=True):
        if number:
            declare_seeds(Study(str(tmp_path / study)), number)
        for seed in range(8):
            estimates = {"nll": value + 0.01 * seed, "ppl": 50.0}
            write_run("lstm-lm", seed=seed, study=study, estimates=estimates)
    (sentence,) = texts_of(compared(tmp_path).findings)
    assert "is better than LSTM-LM of A by 10.0" in sentence
    assert sentence.endswith(f"over 8 common seeds{caveat}.")


def test_studies_that_are_equal_to_the_last_bit_are_noted(
    tmp_path: Path, small_grid: Callable[..., None]
) -> None:
    small_grid("a")
    small_grid("b")
    compared_studies = compared(tmp_path)
    # NLL and PPL of 6 runs of LSTM-LM; four more estimates of 12 of LSTM-VAE, and six of 6 of LSTM-VAE-AVG.
    assert compared_studies.notes == (
        f"all {6 * 2 + 12 * 6 + 6 * 8} numbers of the common seeds are equal to the last bit",
    )
    assert {c.verdict.words for c in compared_studies.comparisons} == {"equal"}
    for heading in ("standard, NLL (published convention)", "inputless, KL divergence"):
        found = lines(compared_studies, heading)
        assert found
        for *_, below, words in found.values():
            assert (below, words) == (None, "equal")
    # Four rows of NLL, three of KL: two sizes of a family, and no advice to add seeds to equal numbers.
    reach = [note for note in compared_studies.tables[0].notes if "smallest p" in note]
    assert len(reach) == 2
    for note, metrics in zip(reach, (("KL",), ("NLL", "PPL")), strict=True):
        headings, _, rest = note.partition(": the smallest p")
        assert all(metric in headings for metric in metrics)
        assert "needs" not in rest


def test_copies_of_runs_are_called_the_same_runs_without_advice(
    tmp_path: Path, write_run: WriteRun
) -> None:
    for study in "ab":
        for seed in range(2 if study == "b" else 3):
            # Tested within KL annealing: a comparison of other runs would be advised to train longer.
            early = {"nll_elbo": 48.0 + seed, "mi": 0.01}
            write_run("lstm-vae", 1, seed=seed, study=study, estimates=early, kl_anneal_epochs=20.0)
            if study == "a":
                write_run("lstm-lm", seed=seed, study=study, estimates={"nll": 50.0 + seed})
    compared_studies = compared(tmp_path)
    (text,) = texts_of(compared_studies.findings)
    assert text == "PTB standard: A and B hold the same 2 runs of LSTM-VAE L=1."
    # LSTM-LM has other fields and is only in A: no field differs between runs that both have.
    assert [note.partition(" ")[0] for note in compared_studies.notes] == ["all", "only"]


def test_equal_numbers_of_other_runs_get_no_advice(tmp_path: Path, write_run: WriteRun) -> None:
    for study, epochs in (("a", 4), ("b", 5)):
        for seed in range(2):
            early = {"nll_elbo": 48.0 + seed, "mi": 0.01}
            fields = {"kl_anneal_epochs": 20.0, "max_epochs": epochs}
            write_run("lstm-vae", 1, seed=seed, study=study, estimates=early, **fields)
    (text,) = texts_of(compared(tmp_path).findings)
    assert text.endswith(
        " LSTM-VAE L=1 of B against LSTM-VAE L=1 of A: the numbers of 2 common seeds are equal."
    )


def test_a_figure_and_the_sentences_name_a_variant_as_the_table_does(
    tmp_path: Path, write_run: WriteRun
) -> None:
    for study, shift in (("a", 0.0), ("b", -5.0)):
        for size, dropout in ((4, 0.0), (8, 0.3)):
            for seed in range(3):
                bound = {"nll_elbo": 50.0 + shift + seed / 8 + size, "mi": 1.0}
                fields = {"latent_size": size, "dropout": dropout}
                write_run(dataset="toy", seed=seed, study=study, estimates=bound, **fields)
    pair = compared(tmp_path)
    rows = {line.label.strip() for line in pair.tables[0].lines if line.kind == "ours"}
    assert rows == {"LSTM-VAE L=1 (v1)", "LSTM-VAE L=1 (v2)"}
    said, where = texts_of(pair.findings)
    assert "LSTM-VAE L=1 (v1) of B against LSTM-VAE L=1 (v1) of A" in said
    assert where == "Names in parentheses, as in LSTM-VAE L=1 (v1), are explained below the first table."
    with style():
        figure = draw(pair.comparisons, "toy")
    assert figure
    drawn = " ".join(text.get_text() for text in figure.findobj(Text))
    assert "(v1)" in drawn
    assert "v1: latent_size=4, dropout=0" in drawn


def test_studies_that_differ_in_an_estimate_of_no_table_are_not_equal(
    tmp_path: Path, write_run: WriteRun
) -> None:
    for study, perplexity in (("a", 80.0), ("b", 80.5)):
        estimates = {"nll_elbo": 100.0, "ppl_elbo": 90.0, "ppl_iw": perplexity}
        write_run(study=study, estimates=estimates)
    compared_studies = compared(tmp_path)
    assert compared_studies.notes == ()
    assert {c.verdict.words for c in compared_studies.comparisons} == {"equal"}


def test_autoencoders_are_no_rows_but_count_as_runs(tmp_path: Path, write_run: WriteRun) -> None:
    for study in "ab":
        for seed in range(2):
            write_run(seed=seed, study=study, dataset="toy")
            dropout = {"a": 0.3, "b": 0.4}[study]
            write_run("lstm-ae", seed=seed, study=study, dataset="toy", dropout=dropout)
    pair = compared(tmp_path)
    assert {c.a.system for c in pair.comparisons} == {"lstm-vae"}
    rows = {line.label.strip() for table in pair.tables for line in table.lines if line.kind == "ours"}
    assert rows == {"LSTM-VAE L=1"}
    assert {c.reported for c in pair.comparisons} == {1}
    assert not [note for note in pair.notes if "dropout" in note]
    assert [facts[0] for facts in pair.facts] == ["runs: 4 (4 done)"] * 2


def test_studies_of_one_name_are_told_apart_in_the_tables(tmp_path: Path, write_run: WriteRun) -> None:
    for place in ("here", "there"):
        write_run(study=f"{place}/paper")
    sources = [open_source(str(tmp_path / place / "paper")) for place in ("here", "there")]
    (table, *_) = compare_studies(*(collect([source]) for source in sources)).tables
    assert table.marks[0] == "A: study here-paper; B: study there-paper"


def test_changes_are_noted_and_cells_with_different_configs_are_matched(
    tmp_path: Path, write_run: WriteRun
) -> None:
    for study, rate in (("a", 1.0), ("b", 0.5)):
        for seed in range(2):
            folder = write_run(
                seed=seed, study=study, learning_rate=rate, estimates={"nll_elbo": 100 * rate}
            )
            folder.write_json("provenance.json", {"attempts": [{"commit": study * 40}]})
    write_run("lstm-lm", study="b")
    compared_studies = compared(tmp_path)
    assert lines(compared_studies, "standard, NLL (published convention)")["LSTM-VAE L=1"][2] == Difference(
        -50.0
    )
    assert "learning_rate: 1 in A; 0.5 in B" in compared_studies.notes
    assert f"commit: {'a' * 10} in A; {'b' * 10} in B" in compared_studies.notes
    assert "only study B has LSTM-LM on PTB, standard" in compared_studies.notes


def test_variants_are_matched_by_name(tmp_path: Path, write_run: WriteRun) -> None:
    for study in "ab":
        for rate in (1.0, 0.5) if study == "a" else (0.5, 0.25):
            for seed in range(2):
                write_run(seed=seed, study=study, learning_rate=rate)
    compared_studies = compared(tmp_path)
    assert list(lines(compared_studies, "standard, NLL (published convention)")) == [
        "LSTM-VAE L=1 (learning_rate=0.5)"
    ]
    assert "only study A has LSTM-VAE L=1 (learning_rate=1) on PTB, standard" in compared_studies.notes


def test_studies_without_a_common_cell_name_theirs_in_one_note_each(
    tmp_path: Path, write_run: WriteRun
) -> None:
    write_run("lstm-lm", study="a", dataset="a")
    for L in (1, 5, 10):
        write_run("lstm-vae", L, study="a", dataset="a")
        write_run("lstm-vae", L, "inputless", study="b", dataset="b")
    found = compared(tmp_path)
    assert [note for note in found.notes if note.startswith("only")] == [
        "only study A has LSTM-LM, LSTM-VAE L=1, LSTM-VAE L=5, LSTM-VAE L=10 on a, standard",
        "only study B has LSTM-VAE L=1, LSTM-VAE L=5, LSTM-VAE L=10 on b, inputless",
    ]
    page = compare_page(found, Pictures((), ()), "python …", refresh=0)
    # There is no number to point at.
    assert "Point at a number" not in page
    assert 'href="#differences"' not in page


def test_cells_are_paired_by_the_fields_that_vary_within_a_study(
    tmp_path: Path, write_run: WriteRun
) -> None:
    """The fields that set the studies apart are what is compared."""
    for study, rate, sizes in (("a", 1.0, (4, 8)), ("b", 0.5, (4,))):
        for size in sizes:
            for seed in range(2):
                nll = {"nll_elbo": 100 * rate + size}
                write_run(seed=seed, study=study, learning_rate=rate, latent_size=size, estimates=nll)
    write_run(seed=2, study="b", status="failed", latent_size=16)
    for order in ("ab", "ba"):
        pair = compare_studies(*(collect([open_source(str(tmp_path / name))]) for name in order))
        rows = lines(pair, "standard, NLL (published convention)")
        numbers = {"a": 104.0, "b": 54.0}
        assert {label: (values[0].mean, values[1].mean) for label, values in rows.items()} == {
            "LSTM-VAE L=1 (latent_size=4)": tuple(numbers[study] for study in order)
        }
        alone = [note for note in pair.notes if note.startswith("only")]
        with_8 = "AB"[order.index("a")]
        assert alone == [f"only study {with_8} has LSTM-VAE L=1 (latent_size=8) on PTB, standard"]


def test_a_variant_whose_runs_all_failed_in_one_study_has_a_row_that_says_so(
    tmp_path: Path, write_run: WriteRun
) -> None:
    for study, rate in (("a", 1.0), ("b", 5.0)):
        for size, seed in itertools.product((4, 8), range(2)):
            status = "failed" if (study, size) == ("b", 8) else "done"
            write_run(seed=seed, study=study, status=status, latent_size=size, learning_rate=rate)
    name = "LSTM-VAE L=1 (latent_size=8)"
    for order in ("ab", "ba"):
        pair = compare_studies(*(collect([open_source(str(tmp_path / study))]) for study in order))
        finished, failed = (order.index(study) for study in "ab")
        row = lines(pair, "standard, NLL (published convention)")[name]
        assert (row[finished].mean, row[failed].failures, row[4]) == (100.0, (("diverged", 2),), "0")
        letter = "AB"[failed]
        told = [note for note in pair.notes if "latent_size=8" in note]
        assert told == [f"study {letter} has no finished run of {name} on PTB, standard: failed (diverged)"]


def test_several_variants_have_short_names_and_a_key(tmp_path: Path, write_run: WriteRun) -> None:
    for study in "ab":
        for rate in (1.0, 0.5):
            for seed in (0, 1):
                nll = {"nll_elbo": 100 * rate}
                epochs = int(10 * rate)
                write_run(seed=seed, study=study, learning_rate=rate, max_epochs=epochs, estimates=nll)
    compared_studies = compared(tmp_path)
    rows = lines(compared_studies, "standard, NLL (published convention)")
    notes = compared_studies.tables[0].notes
    key = dict(note.split(": ") for note in notes if note.startswith("v") and note[1].isdigit())
    assert {key[f"v{k}"]: rows[f"LSTM-VAE L=1 (v{k})"][0].mean for k in (1, 2)} == {
        "learning_rate=1, max_epochs=10": 100.0,
        "learning_rate=0.5, max_epochs=5": 50.0,
    }


def test_hours_are_compared_as_well(tmp_path: Path, write_run: WriteRun) -> None:
    for study, seconds in (("a", 6300.0), ("b", 2700.0)):
        for seed in range(2):
            write_run(seed=seed, study=study, result={"train_seconds": seconds})
    a, b, difference, *_ = lines(compared(tmp_path), "standard, device-hours per run")["LSTM-VAE L=1"]
    assert (a.mean, b.mean, difference.value) == (2.0, 1.0, -1.0)


def test_a_page_has_one_unit_of_time_for_each_dataset(tmp_path: Path, write_run: WriteRun) -> None:
    # Minutes would suit a run, and the total of A: the largest total is one of B, with 2.5 hours.
    for study, seconds, seeds in (("a", 600.0, 2), ("b", 1800.0, 5)):
        for seed in range(seeds):
            result = {"train_seconds": seconds, "evaluate_seconds": 0.0}
            write_run(seed=seed, study=study, result=result)
            write_run(seed=seed, study=study, dataset="toy", result={**result, "train_seconds": 60.0})
    pair = compared(tmp_path)
    units = [
        line.label.removeprefix("standard, device-").removesuffix(" per run")
        for table in pair.tables
        for line in table.lines
        if line.kind == "heading" and "device-" in line.label
    ]
    assert units == ["hours", "minutes"]
    heads = [fact for facts in pair.facts for fact in facts if fact.startswith("cost: ")]
    assert heads == [
        "cost: 0.367 device-hours in the 4 finished runs shown (PTB 0.333, toy 0.0333)",
        "cost: 2.58 device-hours in the 10 finished runs shown (PTB 2.5, toy 0.0833)",
    ]
    # 0.167 and 0.5 hours
    assert {column.decimals for column in pair.tables[1].columns[:3]} == {3}


def test_studies_without_a_common_seed_are_noted(tmp_path: Path, write_run: WriteRun) -> None:
    write_run(seed=0, study="a")
    write_run(seed=1, study="b")
    assert compared(tmp_path).notes == ("the studies have no finished run of the same cell and seed",)


def test_rows_without_a_common_seed_have_no_means(tmp_path: Path, write_run: WriteRun) -> None:
    write_run(seed=0, study="a")
    write_run(seed=1, study="b")
    pair = compared(tmp_path)
    row = lines(pair, "standard, NLL (published convention)")["LSTM-VAE L=1"]
    assert row[:5] == (None, None, None, None, "0")
    assert row[-1] == "no common seed"
    assert all(
        t.notes[1].startswith("A, B: over the n common seeds, empty if there is none") for t in pair.tables
    )
    assert "nothing to compare, as no two models have a common seed" in pair.findings[0].text


def test_the_files_name_the_studies_of_both_sides(tmp_path: Path, write_run: WriteRun) -> None:
    """The first side is B, from which A is subtracted: a reader of the CSV alone must see it."""
    for seed in range(3):
        write_run(seed=seed, study="a", estimates={"nll_elbo": 100.0 + seed})
        write_run(seed=seed, study="b", estimates={"nll_elbo": 90.0 + seed})
    (table,) = [t for t in compared(tmp_path).tables if "Cost" not in t.title]
    assert table.notes[0] == "A: study a; B: study b"
    frame = csv_frame(table.csv_rows(), COMPARE_COLUMNS)
    (row,) = frame[frame["metric"] == "nll"].to_dict("records")
    assert (row["a_study"], row["a_mean"]) == ("b", 91.0)
    assert (row["b_study"], row["b_mean"], row["difference"]) == ("a", 101.0, -10.0)


def test_cells_are_paired_where_a_field_depends_on_the_setting(tmp_path: Path, write_run: WriteRun) -> None:
    """A has the recipe's concentration in each setting, B has another one in both."""
    numbers = {
        ("a", "standard"): 90.0,
        ("a", "inputless"): 95.0,
        ("b", "standard"): 91.0,
        ("b", "inputless"): 98.0,
    }
    kappa = {
        ("a", "standard"): 25.0,
        ("a", "inputless"): 85.0,
        ("b", "standard"): 50.0,
        ("b", "inputless"): 50.0,
    }
    for (study, setting), nll in numbers.items():
        for seed in range(2):
            write_run(
                "lstm-vmf-vae",
                setting=setting,
                seed=seed,
                study=study,
                posterior="von_mises_fisher",
                vmf_kappa=kappa[study, setting],
                estimates={"nll_elbo": nll},
            )
    for order in ("ab", "ba"):
        pair = compare_studies(*(collect([open_source(str(tmp_path / study))]) for study in order))
        for setting in ("standard", "inputless"):
            rows = lines(pair, f"{setting}, NLL (published convention)")
            a, b = (numbers[study, setting] for study in order)
            assert {label: row[2] for label, row in rows.items()} == {"LSTM-vMF-VAE L=1": Difference(b - a)}
        assert not [note for note in pair.notes if note.startswith("only")]


def test_variants_are_named_by_what_differs_within_one_setting(tmp_path: Path, write_run: WriteRun) -> None:
    for study, setting in itertools.product("ab", ("standard", "inputless")):
        for size in (4, 8):
            write_run(
                setting=setting,
                study=study,
                latent_size=size,
                learning_rate=1.0 if setting == "standard" else 0.5,
                estimates={"nll_elbo": 100.0 + size + (study == "b")},
            )
    # Without a finished run of its name, B's failed one is paired in its own setting alone.
    write_run(setting="inputless", study="a", latent_size=16, learning_rate=0.5)
    write_run(setting="inputless", study="b", latent_size=16, learning_rate=0.5, status="failed")
    pair = compared(tmp_path)
    for setting, sizes in (("standard", (4, 8)), ("inputless", (4, 8, 16))):
        rows = lines(pair, f"{setting}, NLL (published convention)")
        assert list(rows) == [f"LSTM-VAE L=1 (latent_size={size})" for size in sizes]
        assert {row[2] for row in rows.values()} - {None} == {Difference(1.0)}


def test_cells_over_different_text_are_not_said_to_share_no_seed(
    tmp_path: Path, write_run: WriteRun
) -> None:
    for study, vocabulary, least in (("a", 100, 1), ("b", 60, 3)):
        splits = {"train": {"unknown": 0.0}, "test": {"unknown": 0.0}}
        write_run(study=study, min_count=least, result={"vocabulary": vocabulary, "splits": splits})
    first, *others = compared(tmp_path).notes
    assert first == "the studies have no finished run of the same cell and seed over the same text"
    assert [note.partition(";")[0] for note in others if note.startswith("not compared")] == [
        "not compared: LSTM-VAE L=1 on PTB, standard"
    ]


def test_latex_says_which_study_is_a_and_which_b(tmp_path: Path, small_grid: Callable[..., None]) -> None:
    small_grid("a")
    small_grid("b", 0.5)
    table = compared(tmp_path).tables[0]
    below = latex_table(table, best=None, style="plain", label="t").partition(r"\end{tabular}")[2]
    assert "A: study a; B: study b." in below
