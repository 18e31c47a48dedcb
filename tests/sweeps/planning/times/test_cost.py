"""Costs against sums by hand, work against counts by hand, and a file of probes that may be damaged."""

from __future__ import annotations

import dataclasses
import io

import pytest
from rich.console import Console

from lvae_core import rough_scoring
from lvae_core.data.corpus import load
from lvae_core.identity import fingerprint
from lvae_core.model.counts import Amount, amount, operations
from lvae_core.run_folder.names import run_name
from lvae_core.run_folder.study import Study
from lvae_core.systems import recipe
from sweeps.planning.grid import Grid
from sweeps.planning.loading import add_expected_times
from sweeps.planning.plan import Plan
from sweeps.planning.probe_results import FILE, ProbeResult, ProbeResults, key
from sweeps.planning.run_lookup import make_plan
from sweeps.planning.times.cost import devices_table, variant_costs
from sweeps.planning.times.durations import Counted, Speed
from sweeps.planning.times.list_scheduling import ScheduledRun
from sweeps.planning.times.plan_table import plan_table, print_costs
from sweeps.planning.times.simulation import SimulatedLaunch
from sweeps.planning.times.variants import variant_of
from sweeps.planning.workload import Workload

TOY = load("toy")
CHOICE = ProbeResult(processes=4, memory=2**30, train_rate=500.0, evaluate_rate=50.0, alone=3.0)


def launch_of(plan: Plan) -> Workload:
    """The runs that a launch of a plan starts."""
    return Workload(plan=plan, corpora={}, study=Study("unread")).only(plan.with_status("left", "evaluate"))


def text(*tables) -> str:
    out = io.StringIO()
    for table in tables:
        Console(file=out, width=200).print(table)
    return out.getvalue().replace("│", " ")


def row(printed: str, start: str) -> list[str]:
    (line,) = [line.split() for line in printed.splitlines() if line.split()[:1] == [start]]
    return line[1:]


def test_hours_and_dollars_are_products(tmp_path):
    grid = Grid(
        datasets=("toy",), systems={"lstm-lm": (1,), "lstm-vae": (5,)}, settings=("standard",), seeds=3
    )
    plan = make_plan(grid.configs(), {"toy": TOY.data_sha256}, Study(str(tmp_path)), evaluate=True)
    lm, vae = plan.variants()
    plan.speed.add_probe(lm, 1800.0, 1800.0)
    costs = variant_costs(plan, {lm: 0.25, vae: 1.0}.__getitem__)
    assert [cost.hours for cost in costs] == [3 * 1.0 * 0.25, None]
    plan.speed.add_probe(vae, 7200.0, 0.0)
    costs = variant_costs(plan, {lm: 0.25, vae: 1.0}.__getitem__)
    printed = text(plan_table(plan, costs, 2.0, 200))
    assert row(printed, "lstm-vae")[:4] == ["5", "3", "0", "0"]
    assert row(printed, "lstm-vae")[-7:-5] == ["6.00", "12.00"]
    assert row(printed, "all") == ["6", "0", "0", "6.75", "13.50"]


def test_time_and_money_on_devices():
    launch = SimulatedLaunch([[ScheduledRun(3600.0)] * 2 + [ScheduledRun(1800.0, 0.25)] * 8])
    printed = text(devices_table(launch, (1, 3, 100), 3.0))
    # One device: 1 h, 1 h, then two waves of four short ones.
    assert row(printed, "1") == ["3", "h", "00", "min", "3", "h", "00", "min", "$9.00", "$9.00"]
    # Three: one long run on each of two, and two waves on the third.
    assert row(printed, "3") == ["1", "h", "00", "min", "1", "h", "00", "min", "$9.00", "$9.00"]
    # A hundred: devices that are idle from the start cost nothing if they are released.
    assert row(printed, "100")[-2:] == ["$9.00", "$300.00"]
    # More than the runs can use have a price, too.
    assert row(text(devices_table(launch, (10**15,), 3.0)), str(10**15))[-1] == f"${3 * 10**15:,}.00"
    whole = text(devices_table(SimulatedLaunch([[ScheduledRun(60.0, 4.0)]]), (2,), None))
    assert row(whole, "2") == ["too", "few", "for", "one", "run"]


def test_a_run_that_resumes_costs_what_is_left_of_it(tmp_path):
    """At 29 of 30 epochs: a thirtieth of the training, and the evaluation."""
    grid = Grid(datasets=("toy",), systems={"lstm-vae": (1,)}, settings=("standard",), seeds=5)
    plan = make_plan(grid.configs(), {"toy": TOY.data_sha256}, Study(str(tmp_path)), evaluate=True)
    runs = [dataclasses.replace(run, epochs=29) for run in plan.runs[:4]]
    assert {run.config.max_epochs for run in runs} == {30}
    (variant,) = plan.variants()
    plan.speed.add_probe(variant, 10 * 3600.0, 3600.0)
    left = 10 / 30 + 1
    (cost,) = variant_costs(dataclasses.replace(plan, runs=runs), lambda _: 0.5)
    assert (cost.todo, cost.hours) == (4, pytest.approx(4 * left * 0.5))
    (cost,) = variant_costs(dataclasses.replace(plan, runs=[*runs, plan.runs[4]]), lambda _: 0.5)
    assert (cost.todo, cost.hours) == (5, pytest.approx((4 * left + 11) * 0.5))
    # One that has all its epochs lacks its evaluation.
    trained = dataclasses.replace(plan.runs[0], epochs=30)
    (cost,) = variant_costs(dataclasses.replace(plan, runs=[trained]), lambda _: 0.5)
    assert cost.hours == pytest.approx(0.5)


def test_unknown_times_are_shown_as_unknown(tmp_path):
    grid = Grid(datasets=("toy",), systems={"lstm-lm": (1,)}, settings=("standard",), seeds=1)
    plan = make_plan(grid.configs(), {"toy": TOY.data_sha256}, Study(str(tmp_path)), evaluate=True)
    add_expected_times(plan, {"toy": TOY}, Study(str(tmp_path)))
    out = io.StringIO()
    costs = variant_costs(plan, lambda variant: 1.0)
    print_costs(Console(file=out, width=150), plan, costs, launch_of(plan), (1,), None)
    assert "unknown until one run has finished" in out.getvalue()
    assert list(tmp_path.iterdir()) == []


def test_times_of_other_variants_are_scaled_by_operations():
    A, B, C, Z, X = (f"{name}__standard__L1" for name in ("toy__a", "toy__b", "ptb__c", "ptb__z", "x__d"))
    speed = Speed()
    for variant, operations_of in {A: 10.0, B: 30.0, C: 500.0}.items():
        speed.count(variant, Counted(0.8 * operations_of, 0.2 * operations_of))
    assert speed.expected_seconds(B) is None
    assert (speed.rank(B), speed.rank(C), speed.rank(X)) == (30.0, 500.0, None)
    speed.add_probe(A, 3.2, 0.8)
    assert speed.expected_seconds(B) == pytest.approx(12.0)
    assert speed.expected_seconds(C) == pytest.approx(200.0)
    speed.add(C, 100.0, 0.0)
    assert (speed.expected_seconds(C), speed.basis(C)) == (100.0, "runs")
    # The nearest that is known counts: its own dataset's.
    assert speed.expected_seconds(B) == pytest.approx(12.0)
    assert [speed.basis(c) for c in (A, B, Z, X)] == ["probe", "operations", None, None]


def test_the_operations_of_a_run_as_counted_by_hand(monkeypatch):
    config = dataclasses.replace(
        recipe("lstm-vae-avg", dataset="toy", num_samples=3),
        **{"embedding_size": 5, "hidden_size": 7, "latent_size": 2, "max_epochs": 4, "valid_samples": 3},
        **{"iw_samples": 10, "iw_exact_samples": 6},
    )
    V, N, M = len(TOY.vocabulary), TOY.test.num_tokens, TOY.train.num_tokens
    # Three draws of a validation, each a group of L, cost forward what one does forward and backward.
    train = 4 * M + 4 * TOY.valid.num_tokens
    assert amount(config, TOY) == Amount(train, N)
    encoder, decoder, logits = 8 * 7 * (5 + 7), 8 * 7 * (5 + 2 + 7), 2 * 7 * V
    trained = train * 3 * (encoder + 3 * decoder + logits)
    # Over so few words all draws are scored in full, over more words only those that are asked for.
    assert operations(config, TOY) == pytest.approx(trained + N * (encoder + 30 * decoder + 10 * logits))
    monkeypatch.setattr(rough_scoring, "SHORTLIST", V // 2 - 1)
    assert operations(config, TOY) == pytest.approx(trained + N * (encoder + 30 * decoder + 6 * logits))
    # Five epochs at most in which 55 updates of the encoder go before each step; here four.
    aggressive = dataclasses.replace(config, step="aggressive")
    assert amount(aggressive, TOY).train == pytest.approx(train + 4 * 55 * M)
    for limit, epochs in ((2, 2), (9, 5)):
        limited = dataclasses.replace(aggressive, max_epochs=10, aggressive_max_epochs=limit)
        assert amount(limited, TOY).train == pytest.approx(2.5 * train + epochs * 55 * M)
    steps = -(-len(TOY.train) // config.batch_size)
    short = dataclasses.replace(config, max_steps=steps // 2)
    assert amount(short, TOY).train == pytest.approx(M * (steps // 2) / steps + TOY.valid.num_tokens)


def test_the_extra_passes_of_a_system_as_counted_by_hand(monkeypatch):
    monkeypatch.setattr(rough_scoring, "SHORTLIST", 1)  # as over many words
    sizes = {"embedding_size": 5, "hidden_size": 7, "latent_size": 2, "max_epochs": 4}
    sizes |= {"iw_samples": 10, "iw_exact_samples": 6}
    V, N, M = len(TOY.vocabulary), TOY.test.num_tokens, TOY.train.num_tokens
    encoder, decoder, logits = 8 * 7 * (5 + 7), 8 * 7 * (5 + 2 + 7), 2 * 7 * V
    draw = decoder + logits
    iwae = dataclasses.replace(recipe("lstm-iwae", dataset="toy", num_samples=3), **sizes)
    train = 3 * encoder + 3 * 3 * draw
    tokens = 4 * M + 4 * TOY.valid.num_tokens * 3 / (3 * 3)  # a validation scores one set of L
    evaluate = encoder + 10 * decoder + 6 * logits
    assert amount(iwae, TOY) == pytest.approx(Amount(tokens, N))
    assert operations(iwae, TOY) == pytest.approx(tokens * train + N * evaluate)
    # Each of 5 steps: forward and by λ; twice forward, by λ and by the parameters. Then 2 draws.
    sa = dataclasses.replace(recipe("sa-vae", dataset="toy", num_samples=2), svi_steps=5, **sizes)
    passes = 5 * (2 + 2 * 3) + 2 * 3
    train = 3 * encoder + passes * draw
    tokens = 4 * M + 4 * TOY.valid.num_tokens * (5 * 2 + 1) / passes
    # The steps for the likelihoods and for the MI, and the amortised ELBO.
    evaluate += 5 * 2 * draw + (encoder + 5 * 2 * draw) + 6 * draw
    assert amount(sa, TOY) == pytest.approx(Amount(tokens, N))
    assert operations(sa, TOY) == pytest.approx(tokens * train + N * evaluate)
    # Without a step it is an LSTM-VAE whose inference is asked for twice more.
    none = dataclasses.replace(sa, svi_steps=0)
    vae = dataclasses.replace(recipe("lstm-vae", dataset="toy", num_samples=2), **sizes)
    assert amount(none, TOY) == amount(vae, TOY)
    assert operations(none, TOY) - operations(vae, TOY) == pytest.approx(N * (encoder + 6 * draw))


def test_probes_are_stored_by_device_and_by_everything_that_shapes_a_cell(tmp_path):
    study = Study(str(tmp_path))
    config = recipe("lstm-vae", dataset="toy")
    name = key(config, TOY.data_sha256)
    ProbeResults(study).put("a GPU", name, CHOICE)
    ProbeResults(study).put("another", name, dataclasses.replace(CHOICE, train_rate=100.0))
    again = ProbeResults(study)
    assert again.get("a GPU", name) == CHOICE
    assert again.get("a third", name) is None
    evaluates_slowly = dataclasses.replace(CHOICE, evaluate_rate=CHOICE.evaluate_rate / 1000)
    again.put("a third", name, evaluates_slowly)
    assert again.slowest(name, Amount(1.0, 0.0)) == dataclasses.replace(CHOICE, train_rate=100.0)
    assert again.slowest(name, Amount(0.0, 1.0)) == evaluates_slowly
    assert again.slowest("another cell", Amount(1.0, 1.0)) is None
    assert key(dataclasses.replace(config, seed=7), TOY.data_sha256) == name
    for other in (
        dataclasses.replace(config, batch_size=64),
        recipe("lstm-vae", dataset="toy", num_samples=2),
        dataclasses.replace(config, iw_samples=5000),  # whose evaluation takes longer, and more memory
    ):
        assert key(other, TOY.data_sha256) != name
    assert key(config, "0" * 64) != name
    assert study.run_names() == []


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"sha256": "0"}', None])
def test_a_damaged_file_of_probes_costs_probes_and_nothing_else(tmp_path, content):
    study = Study(str(tmp_path))
    ProbeResults(study).put("a GPU", "cell", CHOICE)
    whole = (tmp_path / FILE).read_bytes()
    (tmp_path / FILE).write_bytes(whole.replace(b"500.0", b"501.0") if content is None else content)
    choices = ProbeResults(study)
    assert choices.get("a GPU", "cell") is None
    assert f"{FILE}: damaged" in choices.damage
    choices.put("a GPU", "cell", CHOICE)
    assert ProbeResults(study).get("a GPU", "cell") == CHOICE


def test_the_plan_estimates_times_from_probes(tmp_path):
    study = Study(str(tmp_path))
    grid = Grid(datasets=("toy",), systems={"lstm-vae": (1, 2)}, settings=("standard",), seeds=2)
    first, *_ = grid.configs()
    ProbeResults(study).put("a GPU", key(first, TOY.data_sha256), CHOICE)
    plan = make_plan(grid.configs(), {"toy": TOY.data_sha256}, study, evaluate=True)
    add_expected_times(plan, {"toy": TOY}, study)
    tokens = amount(first, TOY)
    expected = tokens.train / 500.0 + tokens.evaluate / 50.0
    assert plan.speed.expected_seconds(variant_of(first)) == pytest.approx(expected)
    assert [plan.speed.basis(variant) for variant in plan.variants()] == ["probe", "operations"]
    assert run_name(first, fingerprint(first, TOY.data_sha256)) in {run.name for run in plan.runs}
