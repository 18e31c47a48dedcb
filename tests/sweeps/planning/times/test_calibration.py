"""Rough times: products of counts and a measured speed, none where this machine cannot tell."""

from __future__ import annotations

import io
import itertools
from dataclasses import replace

import pytest
from rich.console import Console

from lvae_core.data.corpus import load
from lvae_core.model.counts import operations
from lvae_core.run_folder.study import Study
from lvae_core.systems import recipe
from sweeps.planning.loading import look_up
from sweeps.planning.plan import Plan
from sweeps.planning.resources import Resources
from sweeps.planning.times import calibration
from sweeps.planning.times.calibration import add_rough_times, measure_rate
from sweeps.planning.times.cost import variant_costs
from sweeps.planning.times.plan_table import print_costs
from sweeps.planning.times.variants import variant_of

from ..test_plan import finish
from .test_cost import launch_of

TOY = load("toy")
CONFIG = recipe("lstm-vae", dataset="toy")
VARIANT = variant_of(CONFIG)


def plan(tmp_path) -> Plan:
    return look_up([CONFIG, replace(CONFIG, seed=1)], {"toy": TOY}, Study(str(tmp_path)))


def printed(found: Plan) -> str:
    out = io.StringIO()
    costs = variant_costs(found, lambda variant: 1.0)
    print_costs(Console(file=out, width=170), found, costs, launch_of(found), (1,), 2.0)
    return out.getvalue()


def test_a_rough_time_is_the_counted_operations_over_the_rate(tmp_path, monkeypatch):
    monkeypatch.setattr(calibration, "measure_rate", lambda *shape: 1e6)
    found = plan(tmp_path)
    line = add_rough_times(found, {"toy": TOY}, Resources(), is_remote=False)
    assert found.speed.expected_seconds(VARIANT) == pytest.approx(operations(CONFIG, TOY) / 1e6)
    assert found.speed.basis(VARIANT) == "products"
    assert found.speed.measured_seconds(VARIANT) is None
    assert line.startswith("about: rough times")
    assert "about" in printed(found)
    # What has been measured comes first.
    found.speed.add(VARIANT, 30.0, 12.0)
    assert found.speed.expected_seconds(VARIANT) == 42.0
    assert add_rough_times(found, {"toy": TOY}, Resources(), is_remote=False) == ""


def test_runs_of_other_sizes_are_rougher_than_products_and_better_than_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(calibration, "measure_rate", lambda *shape: 1e6)
    finish(tmp_path, replace(CONFIG, hidden_size=4), seconds=5.0, data=TOY.data_sha256)
    found = plan(tmp_path)
    assert found.speed.basis(VARIANT) == "sizes"
    line = add_rough_times(found, {"toy": TOY}, Resources(), is_remote=True)
    assert line.startswith("about: from runs of other sizes")
    assert "other sizes' times" in printed(found)
    assert "about" in printed(found)
    assert add_rough_times(found, {"toy": TOY}, Resources(), is_remote=False).startswith("about: rough")
    assert found.speed.basis(VARIANT) == "products"
    assert found.speed.expected_seconds(VARIANT) == pytest.approx(operations(CONFIG, TOY) / 1e6)


@pytest.mark.parametrize(
    ("resources", "is_remote", "why"),
    [(Resources(), True, "cluster"), (Resources(gpus=1.0), False, "no GPU")],
)
def test_where_this_machine_cannot_tell_a_time_is_a_dash(resources, is_remote, why, tmp_path, monkeypatch):
    monkeypatch.setattr(calibration, "measure_rate", lambda *shape: pytest.fail("measured"))
    monkeypatch.setattr(calibration, "gpus_here", lambda: 0)
    found = plan(tmp_path)
    assert why in add_rough_times(found, {"toy": TOY}, resources, is_remote=is_remote)
    shown = printed(found)
    (cell,) = [line for line in shown.splitlines() if "lstm-vae" in line]
    (total,) = [line for line in shown.splitlines() if line.startswith("│ all")]
    assert cell.count("–") == 3  # time per run, device-hours, money
    assert total.count("–") == 2
    assert "0.00" not in shown


@pytest.mark.parametrize(
    "sizes",
    [{"hidden_size": 10**9}, {"embedding_size": 10**9}, {"batch_size": 10**7}, {"hidden_size": 60_000}],
)
def test_a_model_of_any_size_is_measured_by_one_that_fits(sizes, tmp_path, monkeypatch):
    measured = []
    monkeypatch.setattr(calibration, "measure_rate", lambda *shape: measured.append(shape) or 1e9)
    config = replace(CONFIG, **sizes)
    found = look_up([config], {"toy": TOY}, Study(str(tmp_path)))
    add_rough_times(found, {"toy": TOY}, Resources(), is_remote=False)
    ((batch, inputs, hidden, classes, _),) = measured
    assert min(batch, inputs - hidden, hidden, classes) >= 1
    assert 4 * hidden * (4 * inputs + classes) + 32 * batch * (classes + 4 * hidden) <= 10**8
    assert found.speed.expected_seconds(variant_of(config)) == pytest.approx(operations(config, TOY) / 1e9)
    ordinary = replace(recipe("lstm-vae", dataset="ptb"), dataset="toy")
    assert calibration._shape(ordinary, 10_000) == (32, 500, 400, 10_000)


def test_the_rate_counts_both_products_forward_and_for_both_gradients(monkeypatch):
    ticks = itertools.count()
    monkeypatch.setattr(calibration.time, "perf_counter", lambda: 0.25 * next(ticks))
    monkeypatch.setattr(calibration, "_SECONDS_EACH", 0.0)
    # 32 steps of (32 x 192) by (192 x 512), and (1024 x 128) by (128 x 500); two operations a product.
    expected = 3 * 2 * (32 * 32 * 192 * 512 + 1024 * 128 * 500) / 0.25
    assert measure_rate(32, 192, 128, 500, Resources()) == pytest.approx(expected)
