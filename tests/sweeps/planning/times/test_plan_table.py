"""A plan on windows of several widths: what tells its lines apart is never cut."""

from __future__ import annotations

import dataclasses
import io

import pytest
from rich.console import Console

from lvae_core.data.corpus import load
from lvae_core.run_folder.study import Study
from sweeps.outcome import closing_table, failure_table, print_closing
from sweeps.planning.grid import Grid
from sweeps.planning.plan import Plan
from sweeps.planning.run_lookup import make_plan
from sweeps.planning.times.cost import variant_costs
from sweeps.planning.times.plan_table import print_costs

from .test_cost import launch_of

TOY = load("toy")
SYSTEMS = {"lstm-lm": (1,), "lstm-vae": (2,), "lstm-vae-avg": (2,)}


def plan_of(place, settings=("standard",), datasets=("toy",), failed=0) -> Plan:
    grid = Grid(
        datasets=datasets, systems=SYSTEMS, settings=settings, seeds=3, changes=("latent_size=4,8",)
    )
    plan = make_plan(
        grid.configs(), dict.fromkeys(datasets, TOY.data_sha256), Study(str(place)), evaluate=True
    )
    for variant in plan.variants():
        plan.speed.add_probe(variant, 60.0, 25.0)
    runs = [
        dataclasses.replace(run, status="failed") if number < failed else run
        for number, run in enumerate(plan.runs)
    ]
    return dataclasses.replace(plan, runs=runs)


def lines(plan: Plan, width: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width)
    print_costs(console, plan, variant_costs(plan, lambda variant: 1.0), launch_of(plan), (1,), None)
    return console.file.getvalue().splitlines()


def rows(printed: list[str]) -> list[list[str]]:
    """The rows of variants and the total, from the first table."""
    table = [[cell.strip() for cell in line.split("│")[1:-1]] for line in printed if "│" in line]
    return table[: [row[0] for row in table].index("all") + 1]


EXPECTED = [
    ["lstm-lm", "–", ""],
    ["lstm-vae", "2", "latent_size=4"],
    ["lstm-vae", "2", "latent_size=8"],
    ["lstm-vae-avg", "2", "latent_size=4"],
    ["lstm-vae-avg", "2", "latent_size=8"],
    ["all", "", ""],
]


def test_on_80_columns_every_variant_is_named_in_full(tmp_path):
    printed = lines(plan_of(tmp_path), 80)
    assert max(map(len, printed)) <= 80
    assert "…" not in "".join(printed)
    assert "plan: toy, standard" in printed[0]
    assert [row[:3] for row in rows(printed)] == EXPECTED
    # The origin of the times is below the table, because it is the same for many lines.
    assert "time from: probe, to the last epoch" in "\n".join(printed)


@pytest.mark.parametrize("failed", [0, 2])
def test_only_a_count_without_any_run_is_left_out(tmp_path, failed):
    printed = lines(plan_of(tmp_path, failed=failed), 70)
    assert [row[:3] for row in rows(printed)] == EXPECTED
    assert ("failed" in "".join(printed)) == bool(failed)
    assert "done" not in "".join(printed)


def test_what_does_not_fit_folds_and_nothing_is_cut(tmp_path):
    plan = plan_of(tmp_path, settings=("standard", "inputless"), datasets=("toy", "pydocs"), failed=2)
    printed = lines(plan, 60)
    assert "…" not in "".join(printed)
    assert {"inputless", "standard", "pydocs", "toy", "lstm-vae-avg", "latent_size=8"} < set(
        " ".join(printed).replace("│", " ").split()
    )


def test_a_wide_window_has_the_origin_of_each_time_in_its_line(tmp_path):
    printed = lines(plan_of(tmp_path), 120)
    assert max(map(len, printed)) <= 120
    assert [row[:3] for row in rows(printed)] == EXPECTED
    assert {row[-1] for row in rows(printed)[:-1]} == {"probe, to the last epoch"}
    assert "device-hours" in "".join(printed)


def test_the_closing_table_names_variants_alike(tmp_path):
    console = Console(file=io.StringIO(), width=80)
    console.print(closing_table(plan_of(tmp_path), 80))
    printed = console.file.getvalue().splitlines()
    table = [[cell.strip() for cell in line.split("│")[1:-1]] for line in printed if "│" in line]
    assert [row[:3] for row in table] == EXPECTED[:-1]


def test_failed_runs_are_listed_with_the_values_that_their_names_have_only_a_hash_of(tmp_path):
    plan = plan_of(tmp_path)
    failure = {"class": "diverged", "attempt": 1, "message": "the loss is nan"}
    console = Console(file=io.StringIO(), width=200)
    failed = [run.name for run in plan.runs if run.config.latent_size == 8]
    assert print_closing(console, plan, dict.fromkeys(failed, failure))
    table = console.file.getvalue().partition("failed runs")[2].splitlines()
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in table if "│" in line]
    assert sorted(rows) == sorted(
        [name, "latent_size=8" * ("lstm-lm" not in name), "diverged", "1", "the loss is nan"]
        for name in failed
    )
    same = failure_table({"a": failure}, {"a": ""})
    assert [column.header for column in same.columns] == ["run", "class", "attempt", "message"]
