from __future__ import annotations

import io
from dataclasses import replace

from rich.console import Console

from sweeps.planning.grid import Grid
from sweeps.planning.grids.files import PRESETS
from sweeps.planning.grids.overview import (
    MAX_ROWS,
    Column,
    common_seeds,
    overview,
    print_overview,
    variant_names,
)
from sweeps.planning.plan import PlannedRun

TOY = Grid(
    datasets=("toy",),
    systems={"lstm-lm": (1,), "lstm-vae": (1,)},
    settings=("standard",),
    changes=("latent_size=2,3", "linear_bias=true,false", "max_epochs=3"),
    seeds=(1, 2, 3, 9),
)


def planned(grid: Grid, **statuses) -> list[PlannedRun]:
    """The runs of a grid. ``statuses``: of the first runs, one after the other."""
    given = [status for status, number in statuses.items() for _ in range(number)]
    configs = grid.configs()
    given += ["left"] * (len(configs) - len(given))
    return [
        PlannedRun(config=config, name=str(k), status=status)
        for k, (config, status) in enumerate(zip(configs, given, strict=True))
    ]


def table(columns: list[Column]) -> dict[str, list[str]]:
    return {column.heading: list(column.values) for column in columns}


def printed(columns: list[Column], width: int) -> list[str]:
    out = io.StringIO()
    print_overview(Console(file=out, width=width), columns)
    return out.getvalue().splitlines()


def test_columns_are_the_fields_in_which_runs_differ():
    assert table(overview(planned(TOY))) == {
        "system": ["lstm-lm"] * 2 + ["lstm-vae"] * 4,
        "L": ["–"] * 2 + ["1"] * 4,
        "latent_size": ["–", "–", "2", "2", "3", "3"],
        "linear_bias": ["true", "false"] * 3,
        "seeds": ["1..3,9"] * 6,
        "to do": ["4"] * 6,
        "done": ["0"] * 6,
    }


def test_runs_are_counted_by_what_is_to_be_done():
    runs = planned(replace(TOY, systems={"lstm-lm": (1,)}, changes=()), done=1, evaluate=1, failed=1)
    found = table(overview(runs))
    assert found == {
        "system": ["lstm-lm"],
        "seeds": ["1..3,9"],
        "to do": ["2"],
        "done": ["1"],
        "failed": ["1"],
    }


def test_fields_that_follow_from_dataset_and_system_are_no_columns():
    columns = overview(planned(PRESETS["demo"].grid))
    assert [c.heading for c in columns] == ["dataset", "system", "setting", "L", "seeds", "to do", "done"]
    assert common_seeds(columns) is None  # two of pydocs, one of topics
    columns = overview(planned(PRESETS["all"].grid))
    assert [c.heading for c in columns] == ["dataset", "system", "setting", "L", "seeds", "to do", "done"]
    assert common_seeds(columns) == "0..4"
    assert common_seeds(overview(planned(TOY))) == "1..3,9"  # the table of costs has the axes, too


def test_values_that_differ_look_different():
    grid = replace(TOY, systems={"lstm-lm": (1,)}, changes=("dropout=0.1234567,0.1234568,0.50",))
    assert table(overview(planned(grid)))["dropout"] == ["0.1234567", "0.1234568", "0.5"]


def test_numbers_of_many_digits_are_rounded_as_long_as_they_differ():
    def texts(*values: float) -> tuple[list[str], list[str]]:
        runs = planned(replace(TOY, systems={"lstm-lm": (1,)}, seeds=1, changes=()))
        runs = [replace(run, config=replace(run.config, dropout=d)) for run in runs for d in values]
        names = [name.values for name in variant_names(runs).values()]
        return table(overview(runs))["dropout"], names

    assert texts(0.31423973945093137, 0.5) == (["0.3142", "0.5"], ["dropout=0.3142", "dropout=0.5"])
    assert texts(0.3000000001, 0.3) == (["0.3000000001", "0.3"], ["dropout=0.3000000001", "dropout=0.3"])
    close = ["0.31423973945093137", "0.3142"]
    columns, _ = texts(*map(float, close))
    assert columns == close


def test_a_table_wider_than_the_window_is_printed_group_by_group():
    columns = overview(planned(TOY))
    whole, parts = printed(columns, 100), printed(columns, 40)
    assert sum("┏" in line for line in whole) == 1
    assert sum("┏" in line for line in parts) == 3
    assert max(map(len, parts)) <= 40
    narrow = printed(columns, 10)
    assert any("latent_size" in line for line in narrow)  # nothing is truncated
    rows = [line.replace("│", " ").split() for line in parts if line.startswith("│")]
    assert [row[0] for row in rows] == ["1", "2", "3", "4", "5", "6"] * 3
    assert [rows[k][1:] for k in (5, 11, 17)] == [["lstm-vae", "1"], ["3", "false"], ["1..3,9", "4", "0"]]


def test_a_long_table_ends_with_the_number_of_further_variants():
    values = ",".join(str(size) for size in range(1, MAX_ROWS + 31))
    lines = printed(overview(planned(replace(TOY, seeds=1, changes=(f"hidden_size={values}",)))), 100)
    assert sum(line.startswith("│") for line in lines) == MAX_ROWS
    assert lines[-1] == "and 160 more variants"
