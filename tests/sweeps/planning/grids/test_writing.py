from __future__ import annotations

from dataclasses import replace

import pytest

from lvae_core.errors import InputError
from sweeps.planning.grid import Grid, Limit
from sweeps.planning.grids.files import PRESETS, GridFile, read_grid
from sweeps.planning.grids.writing import check_new_file, grid_text, write_grid

ODD = Grid(
    datasets=("toy", 'data/a "b"\\ü\x7f/words'),
    systems={"lstm-lm": (1,), "lstm-vae": (1, 5), "sa-vae": (1,)},
    seeds=(7,),
    changes=(
        "dropout=0.3,0.5",
        "embedding_init_scale=1e-05",
        "linear_bias=true",
        "max_epochs=3",
        "max_epochs=4",
    ),
    zips=(("hidden_size=4,8", "batching=shuffled,bucketed"), ("lr_decay=0.5,1", "init_scale=1,0.1")),
    protocol="original",
    limits={"sa-vae": Limit(("standard",)), "lstm-lm": Limit(not_on=("words", "ptb"))},
    also=(Grid(datasets=("pydocs",), systems={"cnn-lm": (1,)}, changes=("cnn_dilations=[1,2],[4]",)),),
)


@pytest.mark.parametrize("grid", [ODD, *(preset.grid for preset in PRESETS.values())])
def test_a_written_grid_plans_the_same_runs_in_the_same_order(grid, tmp_path):
    path = tmp_path / "grid.toml"
    write_grid(str(path), GridFile(grid, "a-study"))
    found = read_grid(path)
    assert found.study == "a-study"
    if grid is ODD:  # a file has one protocol
        found = found._replace(grid=_with_matched_others(found.grid))
    assert found.grid.configs() == grid.configs()
    assert [g.limits for g in found.grid.grids] == [g.limits for g in grid.grids]


def _with_matched_others(grid: Grid) -> Grid:
    return replace(grid, also=tuple(replace(other, protocol="matched") for other in grid.also))


def test_a_written_grid_is_for_people_to_read():
    grid = Grid(
        datasets=("toy",),
        systems={"lstm-lm": (1, 5), "lstm-vae": (1, 5)},  # as by --num-samples 1 5
        changes=("dropout=0.3,0.5", "linear_bias=1"),
    )
    assert grid_text(GridFile(grid, "mine")).splitlines()[1:] == [
        *('study = "mine"', 'protocol = "matched"', 'datasets = ["toy"]'),
        *('settings = ["standard", "inputless"]', 'seeds = "0..4"', ""),
        *("[systems]", "lstm-lm = {}", "lstm-vae = [1, 5]", ""),
        *("[set]", "dropout = [0.3, 0.5]", "linear_bias = true"),
    ]


def test_no_file_is_overwritten(tmp_path):
    path = tmp_path / "grid.toml"
    path.write_text("mine")
    for place, message in (
        (path, "exists already"),
        (tmp_path / "none" / "grid.toml", "cannot be written"),
    ):
        with pytest.raises(InputError, match=message):
            write_grid(str(place), PRESETS["demo"])
    assert path.read_text() == "mine"


def test_a_home_folder_is_found_after_an_equals_sign_too(tmp_path, monkeypatch):
    """As in --grid=~/grid.toml, where no shell expands it."""
    monkeypatch.setenv("HOME", str(tmp_path))
    check_new_file("~/grid.toml")
    write_grid("~/grid.toml", GridFile(ODD, "a-study"))
    assert (tmp_path / "grid.toml").exists()
    assert read_grid("~/grid.toml").study == "a-study"
