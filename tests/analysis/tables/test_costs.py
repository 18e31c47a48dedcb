"""The cost table: one unit, which the head of the report shares, and texts apart."""

from __future__ import annotations

from pathlib import Path

import pytest

from analysis.figures import cost
from analysis.reading.collect import collect
from analysis.reading.sources import open_source
from analysis.report.provenance import facts
from analysis.stats.cells import Cell
from analysis.stats.over_seeds import average_cells
from analysis.tables.costs import amount_text, cost_table

from ..conftest import WriteRun
from .test_paper import over


def cells(tmp_path: Path) -> list[Cell]:
    return average_cells(collect([open_source(str(tmp_path / "study"))]).frame)


def head(tmp_path: Path) -> str:
    """The line on the cost in the head of the report."""
    runs = collect([open_source(str(tmp_path / "study"))])
    (line,) = [fact for fact in facts(runs, runs.frame, cells(tmp_path)) if fact.startswith("cost: ")]
    return line


def takes(seconds: float) -> dict[str, float]:
    return {"train_seconds": seconds, "evaluate_seconds": 0.0}


@pytest.mark.parametrize(
    ("seconds", "seeds", "unit", "per_run", "total"),
    [
        (1800.0, 10, "hours", 0.5, "5.00"),
        (1800.0, 3, "minutes", 30.0, "90.0"),
        (10.0, 3, "seconds", 10.0, "30.0"),
    ],
)
def test_the_head_and_the_table_have_one_unit(
    tmp_path: Path,
    write_run: WriteRun,
    seconds: float,
    seeds: int,
    unit: str,
    per_run: float,
    total: str,
) -> None:
    for seed in range(seeds):
        write_run(seed=seed, dataset="toy", result=takes(seconds))
    table = cost_table(cells(tmp_path), "toy")
    assert [column.name for column in table.columns[:2]] == [f"{unit} per run", f"{unit} in total"]
    (line,) = [line for line in table.lines if line.kind == "ours"]
    assert getattr(line.values[0], "mean", None) == pytest.approx(per_run)
    assert line.values[1] == total
    assert head(tmp_path).startswith(f"cost: {float(total):g} device-{unit} in the {seeds} finished runs")


@pytest.mark.parametrize(
    ("hours", "totals"),
    [
        ((26.0, 43.2, 16.4), ["26.0", "43.2", "16.4"]),
        ((26.0, 1088.0), ["26.0", "1088.0"]),
        ((150.0, 1088.0), ["150", "1088"]),
        ((2.0, 4.125), ["2.00", "4.12"]),
    ],
)
def test_totals_of_a_column_have_equal_decimals(
    tmp_path: Path, write_run: WriteRun, hours: tuple[float, ...], totals: list[str]
) -> None:
    for L, amount in enumerate(hours, start=1):
        write_run("lstm-vae", L, dataset="toy", result=takes(3600 * amount))
    table = cost_table(cells(tmp_path), "toy")
    assert [line.values[1] for line in table.lines if line.kind == "ours"] == totals


def test_the_head_has_one_unit(tmp_path: Path, write_run: WriteRun) -> None:
    write_run(dataset="toy", result=takes(600.0))
    write_run(dataset="pydocs", result=takes(7200.0))
    # An autoencoder has no row, and is counted: half an hour.
    write_run("lstm-ae", dataset="other", result=takes(1800.0))
    line = head(tmp_path)
    assert line.startswith("cost: 2.67 device-hours in the 3 finished runs shown (")
    for part in ("pydocs 2", "toy 0.167", "other 0.5"):
        assert part in line.partition("(")[2].rstrip(")").split(", ")


@pytest.mark.parametrize(("seconds", "seeds", "decimals"), [(900.0, 8, 2), (180.0, 40, 3)])
def test_a_run_of_less_than_one_unit_keeps_its_digits(
    tmp_path: Path, write_run: WriteRun, seconds: float, seeds: int, decimals: int
) -> None:
    for seed in range(seeds):
        write_run(seed=seed, dataset="toy", result=takes(seconds))
    table = cost_table(cells(tmp_path), "toy")
    assert (table.columns[0].name, table.columns[0].decimals) == ("hours per run", decimals)


def test_the_size_of_each_model_stands_beside_its_cost(tmp_path: Path, write_run: WriteRun) -> None:
    write_run("lstm-lm", dataset="toy", result=takes(60.0) | {"parameters": 1234567})
    write_run("lstm-vae", dataset="toy", result=takes(60.0) | {"parameters": 999})
    table = cost_table(cells(tmp_path), "toy")
    place = [column.name for column in table.columns].index("parameters")
    sizes = {line.label: line.values[place] for line in table.lines if line.values}
    assert sizes == {"LSTM-LM": "1,234,567", "LSTM-VAE L=1": "999"}


@pytest.mark.parametrize(
    ("value", "text"), [(0.25, "0.25"), (12.34, "12.3"), (999.4, "999"), (12312.4, "12312")]
)
def test_large_totals_are_whole_numbers(value: float, text: str) -> None:
    assert amount_text(value) == text


def test_costs_of_different_texts_stand_apart(tmp_path: Path, write_run: WriteRun) -> None:
    for limit, vocabulary in ((0, 9000), (100, 100)):
        result = {**takes(60.0), **over(vocabulary)}
        write_run("lstm-lm", dataset="toy", max_vocabulary=limit, result=result)
    labels = [line.label for line in cost_table(cells(tmp_path), "toy").lines]
    assert labels == [
        "standard, text 1",
        "LSTM-LM (max_vocabulary=0)",
        "standard, text 2",
        "LSTM-LM (max_vocabulary=100)",
    ]


def test_a_bound_that_few_draws_decide_is_called_unreliable(tmp_path: Path, write_run: WriteRun) -> None:
    for size, share in ((4, 0.4), (8, 0.05)):
        draws = {"value": 95.0, "stderr": 0.1, "ess": 12.4, "khat_above": share}
        estimates = {"nll_elbo": 97.0, "nll_iw": draws}
        write_run("lstm-vae", dataset="toy", latent_size=size, estimates=estimates, result=takes(60.0))
    write_run("lstm-lm", dataset="toy", result=takes(60.0))
    table = cost_table(cells(tmp_path), "toy")
    assert table.columns[-1].name == "which"
    assert {line.label: line.values[-1] for line in table.lines if line.values} == {
        "LSTM-LM": "exact",
        "LSTM-VAE L=1 (latent_size=4)": "IW, unreliable",
        "LSTM-VAE L=1 (latent_size=8)": "IW",
    }
    assert [note for note in table.marks if note.startswith("unreliable: ")]
    reliable = [cell for cell in cells(tmp_path) if cell.variant_name != "latent_size=4"]
    assert not [note for note in cost_table(reliable, "toy").notes if note.startswith("unreliable: ")]


@pytest.mark.parametrize(("kinds", "comparable"), [(("X", "X"), True), (("X", "Y"), False)])
def test_times_of_different_processors_are_not_called_comparable(
    tmp_path: Path, write_run: WriteRun, kinds: tuple[str, str], comparable: bool
) -> None:
    for seed, kind in enumerate(kinds):
        folder = write_run("lstm-lm", dataset="toy", seed=seed)
        folder.write_json("provenance.json", {"attempts": [{"device": "cpu", "processor": kind}]})
    found = cells(tmp_path)
    for text in (cost_table(found, "toy").notes[0], cost.caption(found, "toy")):
        assert ("comparable only if" in text) == comparable
        assert ("not comparable, as the runs had different devices: cpu (X); cpu (Y)" in text) != comparable


def test_a_run_that_has_moved_has_the_devices_of_all_its_attempts(
    tmp_path: Path, write_run: WriteRun
) -> None:
    folder = write_run("lstm-lm", dataset="toy")
    attempts = [{"device": "cpu", "processor": "X"}, {"device": "NVIDIA H200", "processor": "X"}]
    folder.write_json("provenance.json", {"attempts": attempts})
    (cell,) = cells(tmp_path)
    assert cell.devices == ("NVIDIA H200 and cpu (X)",)
