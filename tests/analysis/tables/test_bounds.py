import re
from pathlib import Path

import pandas as pd
import pytest

from analysis.formats.text import value_text
from analysis.published.facts import Derived, Fact
from analysis.reading.collect import collect
from analysis.reading.sources import open_source
from analysis.report.report import compose
from analysis.stats.average import Average
from analysis.stats.cells import Counts
from analysis.tables.bounds import bounds_table
from analysis.tables.elements.csv_rows import CELL_COLUMNS, csv_frame
from analysis.tables.elements.table import Difference, Table

from ..conftest import WriteRun
from .test_bound_examples import AVG, LM, VAE, cells, sentences


def block(table: Table, label: str, heading: str = "standard") -> dict[str, list[object]]:
    """The conventions of one system: name -> the values of its line, as numbers and words."""
    labels = [line.label for line in table.lines]
    start = labels.index(label, labels.index(heading))
    lines = [table.lines[start]]
    for line in table.lines[start + 1 :]:
        if not line.label.startswith("  "):
            break
        lines.append(line)
    return {line.label.strip(): [plain(value) for value in line.values] for line in lines if line.values}


def plain(value: object) -> object:
    if isinstance(value, Average | Fact | Derived):
        return round(value.mean, 6)
    return round(value.value, 6) if isinstance(value, Difference) else value


def test_every_convention_is_shown_with_its_kind_of_bound(tmp_path: Path, write_run: WriteRun) -> None:
    write_run("lstm-lm", estimates=LM)
    write_run("lstm-vae", 1, estimates=VAE)
    write_run("lstm-vae-avg", 5, estimates=AVG)
    table = bounds_table(cells(tmp_path), "ptb")
    # NLL, its interval, its distance to LSTM-LM, PPL, n, published (97.3 + 4 * 7.6 = 127.7 by hand), the
    # word.
    assert block(table, "LSTM-VAE-AVG L=5") == {
        "ELBO, published convention": [97.0, None, -4.0, 84.0, "1", 97.3, "not a bound"],
        "ELBO, joint": [127.0, None, 26.0, 330.0, "1", 127.7, "upper bound"],
        "IW, mean of ratios": [95.0, None, -6.0, 76.0, "1", None, "not a bound"],
        "IW, joint": [119.0, None, 18.0, 228.0, "1", None, "upper bound in expectation *"],
        "IW, formula not given": [None, None, None, None, None, 95.1, "cannot be told"],
    }
    assert block(table, "LSTM-VAE L=1") == {
        "ELBO": [102.0, None, 1.0, 105.0, "1", 102.5, "upper bound"],
        "IW": [101.5, None, 0.5, 102.0, "1", 102.1, "upper bound in expectation *"],
    }
    assert block(table, "LSTM-LM") == {"LSTM-LM": [101.0, None, None, 100.0, "1", 100.8, "exact *"]}


def test_semi_amortised_inference_has_a_line_for_the_encoders_posterior(
    tmp_path: Path, write_run: WriteRun
) -> None:
    write_run("lstm-lm", estimates=LM)
    write_run("sa-vae", 1, estimates=VAE | {"nll_elbo_amortised": 103.0, "ppl_elbo_amortised": 108.0})
    assert block(bounds_table(cells(tmp_path), "ptb"), "SA-VAE L=1") == {
        "ELBO": [102.0, None, 1.0, 105.0, "1", None, "upper bound"],
        "ELBO, amortised": [103.0, None, 2.0, 108.0, "1", None, "upper bound"],
        "IW": [101.5, None, 0.5, 102.0, "1", None, "upper bound in expectation *"],
    }


def weighted(value: float, khat_above: float) -> dict[str, float]:
    return {"value": value, "stderr": 0.1, "jackknife": 0.2, "ess": 312.4, "khat_above": khat_above}


def test_importance_weighted_numbers_say_how_far_to_rely_on_them(
    tmp_path: Path, write_run: WriteRun
) -> None:
    ratios = {
        "nll_iw": weighted(95.0, 0.05),
        "nll_iw_one": weighted(94.0, 0.06),
        "nll_iw_joint": weighted(119.0, 0.4),
    }
    write_run("lstm-lm", estimates=LM)
    write_run("lstm-vae-avg", 5, estimates=AVG | ratios)
    table = bounds_table(cells(tmp_path), "ptb")
    names = [column.name for column in table.columns]
    assert names[3:7] == ["PPL", "ESS", "k>0.7", "n"]
    shown = {name: (*values[4:6], values[-1]) for name, values in block(table, "LSTM-VAE-AVG L=5").items()}
    assert shown.pop("IW, formula not given") == (None, None, "cannot be told")
    assert shown == {
        "ELBO, published convention": (None, None, "not a bound"),
        "ELBO, joint": (None, None, "upper bound *"),
        # 5% is not yet more than 5%.
        "IW, mean of ratios": ("312", "5.0%", "not a bound"),
        "IW, one ratio": ("312", "6.0%", "not a bound, unreliable"),
        "IW, joint": ("312", "40.0%", "upper bound in expectation only, unreliable"),
    }
    (note,) = [note for note in table.notes if note.startswith("unreliable:")]
    assert "more than 5% of the sentences" in note
    assert "upper bound in expectation only" in note
    assert not [note for note in table.notes if "not recorded" in note]
    frame = csv_frame(table.csv_rows(), CELL_COLUMNS)
    frame = frame[frame["n"] > 0].set_index("metric")
    assert frame.loc["nll_iw_joint", ["ess", "khat_above", "mc_stderr"]].tolist() == [312.4, 0.4, 0.2]
    assert pd.isna(frame.loc["nll_joint", "ess"])
    (sentence, _) = sentences(tmp_path, "ptb")
    assert "(IW, joint) is 119.0, which is unreliable." in sentence


def test_diagnostics_of_several_runs_are_averaged_over_those_that_recorded_them(
    tmp_path: Path, write_run: WriteRun
) -> None:
    for seed, above in enumerate([0.02, 0.12]):
        write_run("lstm-vae", 1, seed=seed, estimates=VAE | {"nll_iw": weighted(101.0, above)})
    write_run("lstm-vae", 1, seed=2, estimates=VAE | {"nll_iw": (101.0, 0.05)})
    (cell,) = cells(tmp_path)
    iw = cell.averages["nll_iw"]
    assert (iw.khat_above, iw.ess, iw.unreliable) == (pytest.approx(0.07), 312.4, True)
    assert iw.mc_stderrs == (0.2, 0.2, 0.05)
    assert iw.heavy_runs == (1, 2), "the third recorded none"


def test_a_mean_that_hides_unreliable_runs_says_how_many(tmp_path: Path, write_run: WriteRun) -> None:
    for L, shares in ((1, (0.02, 0.07, 0.03)), (2, (0.02, 0.05, 0.03)), (3, (0.2, 0.3, 0.4))):
        for seed, above in enumerate(shares):
            write_run("lstm-vae", L, seed=seed, estimates=VAE | {"nll_iw": weighted(101.0, above)})
    table = bounds_table(cells(tmp_path), "ptb")
    at = [column.name for column in table.columns].index("k>0.7")
    shown = [line.values[at] for line in table.lines if line.values and line.values[at]]
    assert shown == ["4.0% (1 of 3)", "3.3%", "30.0%"]
    assert not any("n with a slash" in note for note in (*table.notes, *table.marks))
    assert any("in how many of the runs it exceeds 5%" in note for note in table.notes)


def test_results_without_diagnostics_are_shown_as_before_with_a_note(
    tmp_path: Path, write_run: WriteRun
) -> None:
    write_run("lstm-vae", 1, estimates=VAE)
    table = bounds_table(cells(tmp_path), "ptb")
    assert "ESS" not in [column.name for column in table.columns]
    assert "ESS and k>0.7 are not recorded in results of earlier versions" in table.notes
    assert not any("unreliable" in str(value) for line in table.lines for value in line.values)


def test_the_tightest_valid_bound_is_marked(tmp_path: Path, write_run: WriteRun) -> None:
    write_run("lstm-vae-avg", 5, estimates=AVG | {"nll_joint": 110.0})
    ways = block(bounds_table(cells(tmp_path), "ptb"), "LSTM-VAE-AVG L=5")
    assert [name for name, values in ways.items() if str(values[-1]).endswith("*")] == ["ELBO, joint"]
    # Without a language model there is no difference.
    assert {values[2] for values in ways.values()} == {None}


def test_one_sample_makes_the_average_an_ordinary_bound(tmp_path: Path, write_run: WriteRun) -> None:
    write_run("lstm-vae-avg", 1, estimates=AVG)
    ways = block(bounds_table(cells(tmp_path), "ptb"), "LSTM-VAE-AVG L=1")
    assert [(name, values[-1]) for name, values in ways.items()] == [
        ("ELBO", "upper bound"),
        ("IW", "upper bound in expectation *"),
    ]


def test_published_numbers_without_a_run_have_their_kind_of_bound(
    tmp_path: Path, write_run: WriteRun
) -> None:
    write_run("lstm-lm", estimates=LM)
    table = bounds_table(cells(tmp_path), "ptb")
    # By hand from Table 2a, inputless: 113.8 + 9 * 9.6 = 200.2.
    assert block(table, "LSTM-VAE-AVG L=10", "inputless") == {
        "ELBO, published convention": [Counts(), None, None, None, None, 113.8, "not a bound"],
        "ELBO, joint": [Counts(), None, None, None, None, 200.2, "upper bound"],
    }
    assert any(note.startswith("†") for note in table.notes)


def test_a_published_number_that_is_no_bound_is_marked_next_to_our_valid_one(
    tmp_path: Path, write_run: WriteRun
) -> None:
    write_run("lstm-vmf-vae", 1, estimates=VAE)
    table = bounds_table(cells(tmp_path), "ptb")
    values = next(
        line.values
        for position, line in enumerate(table.lines)
        if table.lines[position - 1].label == "LSTM-vMF-VAE L=1"
    )
    # ln 98 = 4.584967, times 82430 / 3761 = 21.917: Xu & Durrett's 96 counts 20.9 tokens per sentence.
    assert plain(values[5]) == pytest.approx(4.584967 * 82430 / 3761, abs=1e-4)
    assert value_text(values[5], table.columns[5]) == "100.5†§"
    assert values[6] == "upper bound"
    # Only the other sign would send the reader to the table of bounds, which this one is.
    assert not any(note.startswith("‡") for note in table.notes)
    for part in ("§: a bound only under a condition", "if run with the default of the released code"):
        (note,) = [note for note in table.notes if part in note]
        assert note in table.marks


def test_the_status_of_a_failed_cell_is_shown_once(tmp_path: Path, write_run: WriteRun) -> None:
    write_run("lstm-vae-avg", 5, status="failed")
    ways = block(bounds_table(cells(tmp_path), "ptb"), "LSTM-VAE-AVG L=5")
    assert [values[0] for values in ways.values()] == [Counts(failed=1), None, None]


def test_a_dataset_without_published_numbers_has_no_column_for_them(
    tmp_path: Path, write_run: WriteRun
) -> None:
    write_run("lstm-vae-avg", 5, dataset="pydocs", estimates=AVG)
    table = bounds_table(cells(tmp_path), "pydocs")
    names = ["NLL", "95%", "vs LM", "PPL", "n", "bound on -log p(x)"]
    assert [column.name for column in table.columns] == names
    assert all(len(line.values) in (0, 6) for line in table.lines)
    assert not [note for note in table.notes if "†" in note]


def test_the_difference_is_to_the_language_model_of_the_same_variant(
    tmp_path: Path, write_run: WriteRun
) -> None:
    for epochs, lm, vae in [(3, 110.0, 111.0), (30, 100.0, 103.0)]:
        write_run("lstm-lm", max_epochs=epochs, estimates={"nll": lm, "ppl": 1.0})
        write_run("lstm-vae", 1, max_epochs=epochs, estimates={"nll_elbo": vae, "ppl_elbo": 1.0})
    table = bounds_table(cells(tmp_path), "ptb")
    assert block(table, "LSTM-VAE L=1 (max_epochs=3)")["ELBO"][2] == 1.0
    assert block(table, "LSTM-VAE L=1 (max_epochs=30)")["ELBO"][2] == 3.0


def test_the_difference_from_the_language_model_is_that_of_common_seeds(
    tmp_path: Path, write_run: WriteRun
) -> None:
    for seed, lm, vae in [(0, 100.0, 101.0), (1, 110.0, 112.0), (2, None, 200.0), (3, 90.0, None)]:
        if lm is not None:
            write_run("lstm-lm", seed=seed, estimates={"nll": lm, "ppl": 1.0})
        if vae is not None:
            write_run("lstm-vae", 1, seed=seed, estimates={"nll_elbo": vae, "ppl_elbo": 1.0})
    table = bounds_table(cells(tmp_path), "ptb")
    (difference,) = (v for line in table.lines for v in line.values if isinstance(v, Difference))
    assert difference.value == pytest.approx(1.5)
    # t quantile of one degree of freedom, and the standard error of the differences 1 and 2.
    assert difference.interval.half_width == pytest.approx(12.7062 * 0.5, rel=1e-4)
    assert any(note.startswith("vs LM: NLL minus the exact NLL of LSTM-LM over") for note in table.notes)


def test_without_a_common_seed_the_difference_is_that_of_means_and_has_no_interval(
    tmp_path: Path, write_run: WriteRun
) -> None:
    for seed in (0, 1):
        write_run("lstm-lm", seed=seed, estimates={"nll": 100.0, "ppl": 1.0})
        write_run("lstm-vae", 1, seed=seed + 2, estimates={"nll_elbo": 103.0, "ppl_elbo": 1.0})
    table = bounds_table(cells(tmp_path), "ptb")
    (difference,) = (v for line in table.lines for v in line.values if isinstance(v, Difference))
    assert (difference.value, difference.interval) == (3.0, None)


def test_csv_rows_have_every_estimate(tmp_path: Path, write_run: WriteRun) -> None:
    write_run("lstm-vae-avg", 5, estimates=AVG | {"mi": 6.0, "au": 12})
    frame = csv_frame(bounds_table(cells(tmp_path), "ptb").csv_rows(), CELL_COLUMNS)
    ours = frame[frame["n"] > 0].set_index("metric")
    assert set(ours.index) == {*AVG, "mi", "au"}
    assert ours.loc["nll_joint", "published_mean"] == pytest.approx(127.7)
    assert ours.loc["nll_joint", "source"] == "derived from kruengkrai2019"
    assert ours.loc["nll_joint", "difference"] == pytest.approx(-0.7)
    assert ours.loc["ppl_elbo", "bound"] == "not a bound"
    assert pd.isna(ours.loc["au", "bound"])


def test_a_narrow_interval_is_not_printed_as_none(tmp_path: Path, write_run: WriteRun) -> None:
    for seed, nll in enumerate((100.0, 100.0019)):
        write_run("lstm-lm", seed=seed, dataset="toy", estimates={"nll": nll})
    table = bounds_table(cells(tmp_path), "toy")
    # The t quantile of one degree of freedom is 12.706; half of the difference is 0.00095.
    assert table.lines[-1].values[1] == "±0.01"


def test_each_difference_has_the_decimals_of_its_own_error(tmp_path: Path, write_run: WriteRun) -> None:
    for seed in range(3):
        write_run("lstm-lm", seed=seed, dataset="toy", estimates={"nll": 100.0 + seed})
        for L, error in ((1, 0.001), (5, 0.7)):
            nll = 101.0 + seed + error * (-1) ** seed
            write_run("lstm-vae", L, seed=seed, dataset="toy", estimates={"nll_elbo": nll, "mi": 1.0})
    composed = compose(collect([open_source(str(tmp_path / "study"))]))
    for table, names in ((composed.bounds[0], {"vs LM"}), (composed.comparisons[0], {"diff", "95%"})):
        for place, column in enumerate(table.columns):
            if column.name in names:
                texts = [value_text(line.values[place], column) for line in table.lines if line.values]
                numbers = [re.findall(r"[-+]\d+\.(\d+)", text) for text in texts]
                decimals = [{len(digits) for digits in found} for found in numbers if found]
                assert [3, 1] * (len(decimals) // 2) == [number for (number,) in decimals], column.name
