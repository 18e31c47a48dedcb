from collections.abc import Callable
from pathlib import Path

import pytest

from analysis.reading.collect import collect
from analysis.reading.sources import open_source
from analysis.stats.average import Average
from analysis.stats.comparisons import METRICS
from analysis.stats.over_seeds import average_cells
from analysis.tables.elements.table import Table
from analysis.tables.latent import latent_table
from lvae_core.run_folder.estimates import LATENT_USE


def latent(tmp_path: Path) -> Table:
    return latent_table(average_cells(collect([open_source(str(tmp_path / "study"))]).frame), "ptb")


def test_every_measure_has_a_column_a_definition_and_a_comparison(
    tmp_path: Path, small_grid: Callable[..., None]
) -> None:
    small_grid()
    table = latent(tmp_path)
    assert [column.name for column in table.columns] == ["KL", "MI", "AU", "n"]
    assert [name.upper() for name in LATENT_USE] == ["KL", "MI", "AU"]
    assert all(f"{title}, " in table.notes[-1] for title in ("mutual information", "active units"))
    assert set(LATENT_USE) < set(METRICS)


def test_the_table_has_the_means_of_every_cell_with_a_latent_variable(
    tmp_path: Path, small_grid: Callable[..., None]
) -> None:
    small_grid()
    lines = latent(tmp_path).lines
    assert [line.label for line in lines] == [
        label
        for setting in ("standard", "inputless")
        for label in (setting, "LSTM-VAE L=1", "LSTM-VAE L=5", "LSTM-VAE-AVG L=5")
    ]
    # Seeds 0, 1 and 2 have a KL of 7, 7.25 and 7.5, nine tenths of it as MI, and 3, 4 and 5 active units.
    means = [value.mean for value in lines[3].values if isinstance(value, Average)]
    assert means == [pytest.approx(7.25), pytest.approx(0.9 * 7.25), pytest.approx(4)]


def test_active_units_of_directions_in_many_dimensions_are_said_to_be_few(
    tmp_path: Path, write_run: Callable[..., None]
) -> None:
    said = []
    # In at most 100 dimensions, one variance of means that use the sphere is above 0.01.
    for system, size in (("lstm-vae", 101), ("lstm-vmf-vae", 100), ("lstm-vmf-vae", 101)):
        write_run(system, 1, estimates={"nll_elbo": 102.5, "kl": 3.0, "au": 0.0}, latent_size=size)
        said.append(
            any("AU can be 0 without posterior collapse" in note for note in latent(tmp_path).notes)
        )
    assert said == [False, False, True]


def test_without_a_latent_variable_there_is_no_table(
    tmp_path: Path, write_run: Callable[..., None]
) -> None:
    write_run("lstm-lm")
    table = latent(tmp_path)
    assert (table.lines, table.notes) == ((), ())
