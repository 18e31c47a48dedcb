"""The parts of the command for a GPU: formulas against other authorities, steps and timings."""

import contextlib
import time
from dataclasses import replace
from unittest import mock

import numpy as np
import pytest
import torch
from gpu import graphs, packing, timing
from gpu.checks import oracle, plain, properties, values, waits
from gpu.checks.found import TOLERANCES, Found, Tolerance
from gpu.checks.oracle_posteriors import Sphere
from gpu.checks.subjects import batch_of, config_of, parameters, sentences
from gpu.records import Settings
from speed.cases import Mode, cases
from speed.launch import FailedError, Figures, Spread
from speed.measure import synthetic_text

from lvae_core import rng
from lvae_core.data.batches import collate
from lvae_core.model.noise import BatchNoise
from lvae_core.model.text_model import TextModel
from lvae_core.systems import SYSTEMS
from lvae_core.training.optimisation.objective import objective
from lvae_core.training.optimisation.parts import make_optimiser

from ..lvae_core.oracles import hand_model

V = 11
TINY = Settings("cpu", float("inf"), tiny=True)


@pytest.mark.parametrize("setting", ["standard", "inputless"])
@pytest.mark.parametrize("system", ["lstm-lm", "lstm-vae", "lstm-vae-avg"])
def test_the_formulas_agree_with_the_hand_written_loops_of_the_core_s_tests(system, setting):
    config = config_of(system, setting, tiny=True)
    model, texts = TextModel(config, V), sentences(4, V, 5)
    p = parameters(model)
    noise = BatchNoise(model.posterior, config.latent_size, rng.Key(0, "latent", (3,)), 4)
    found = oracle.objective(p, texts, config, noise, 0.3)
    drawn = noise(size=(2,)).double() if model.encoder is not None else None
    terms = hand_model.loss_terms(p, texts, drawn, averaging=config.averaging, hide=setting == "inputless")
    expected = terms[0] + 0.3 * terms[1]
    assert found.loss.item() == pytest.approx(expected.item(), rel=1e-12)
    assert found.nll.item() == pytest.approx(sum(terms).item(), rel=1e-12)
    gradients = (torch.autograd.grad(loss, list(p.values())) for loss in (found.loss, expected))
    for ours, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-12)


def test_the_density_on_the_sphere_is_that_of_scipy():
    stats = pytest.importorskip("scipy.stats")
    d, kappa = 4, 9.0
    sphere, mean = Sphere(d, kappa), np.eye(d)[0]
    law = stats.vonmises_fisher(mean, kappa)
    z = law.rvs(5, random_state=1)
    uniform = -np.log(2 * np.pi ** (d / 2) / 1.0)  # Γ(d/2) = 1 for d = 4
    expected = uniform - law.logpdf(z)
    found = sphere.log_ratio(torch.from_numpy(mean), torch.from_numpy(z))
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-6)
    # Entropy h of q against that of the prior: KL = −h(q) − E_q log p.
    kl = sphere.kl_terms(torch.zeros(1)).item()
    assert kl == pytest.approx(-law.entropy() - uniform, rel=1e-6)


@pytest.mark.parametrize("system", ["cnn-vae", "sa-vae", "lstm-iwae", "lstm-vmf-vae", "lstm-vae-fb"])
def test_values_and_gradients_hold_on_a_cpu(system):
    assert system in SYSTEMS
    assert "gradients within" in values.compare(system, "standard", "float32", TINY, {})


@pytest.mark.parametrize("setting", ["standard", "inputless"])
@pytest.mark.parametrize("system", ["cnn-lm", "cnn-vae", "sa-vae", "lstm-vae"])
def test_values_and_gradients_hold_in_bfloat16_on_a_cpu(system, setting):
    assert "gradients within" in values.compare(system, setting, "bfloat16", TINY, {})


@pytest.mark.parametrize("kind", TOLERANCES)
@pytest.mark.parametrize("factor", [0.0, 2.0, -1.0])
def test_a_wrong_gradient_of_a_small_tensor_is_found_at_every_tolerance(factor, kind):
    right = Found((1.0,), {"large": torch.full((9,), 100.0), "small": torch.ones(9)})
    assert "each within 0e+00" in right.differs_from(right, TOLERANCES[kind])
    wrong = right._replace(gradients={**right.gradients, "small": factor * right.gradients["small"]})
    with pytest.raises(AssertionError, match=r"the gradient of small is off by [12]"):
        wrong.differs_from(right, Tolerance(1.0, 1.0, TOLERANCES[kind].each))


def test_a_tensor_without_gradient_may_have_rounding_only():
    right = Found((1.0,), {"large": torch.ones(9), "none": torch.zeros(9)})
    for size, holds in ((1e-5, True), (1e-3, False)):
        found = right._replace(gradients={**right.gradients, "none": torch.full((9,), size)})
        with contextlib.nullcontext() if holds else pytest.raises(AssertionError, match="of none is off"):
            found.differs_from(right, TOLERANCES["bfloat16"])


@pytest.mark.parametrize("gradient", ["reparameterised", "doubly_reparameterised"])
def test_both_gradients_of_the_importance_weighted_bound_hold(gradient):
    config = config_of("lstm-iwae", tiny=True, encoder_gradient=gradient)
    model, texts = values.subject(config, TINY)
    expected = values.by_hand(parameters(model), texts, config)
    found = values.on_device(model, texts, config, "float32", "cpu")
    assert values.distance(found.gradients, expected.gradients)[0] < 1e-5


def test_properties_hold_on_a_cpu():
    records = list(properties.work(TINY))
    assert [record["text"] for record in records if not record["passed"]] == []
    assert len(records) == 13


def test_steps_of_training_by_hand_and_on_the_device_move_the_same_way():
    assert "moved by the same" in values.train("cnn-vae", TINY)


@pytest.mark.parametrize("system", ["lstm-lm", "lstm-vae", "lstm-vae-avg"])
def test_the_step_that_graphs_record_is_the_step_of_training(system):
    config = config_of(system, tiny=True, dropout=0.3, batch_size=4)
    texts = [[3, 1, 5, 0]] * 2 + [[2, 2, 6, 0]] * 2
    outcomes = []
    for static in (False, True):
        model = TextModel(config, V)
        optimiser = make_optimiser(model, config)
        batch = batch_of(texts, "cpu")
        losses = []
        fixed = graphs.StaticStep(model, optimiser, config, batch_of(texts[::-1], "cpu"))
        for number in range(3):
            if static:
                fixed.fill(batch, number)
                losses.append(fixed.run())
                continue
            terms = objective(model, batch, config, kl_weight=1.0, step=number)
            terms.loss.backward()
            optimiser.step(config.learning_rate)
            losses.append(terms.loss.detach())
        outcomes.append([*losses, *model.state_dict().values()])
    assert all(torch.equal(a, b) for a, b in zip(*outcomes, strict=True))


class FakeGraph:
    """Stands for a CUDA graph: notes what is asked of it."""

    def __init__(self):
        self.calls = []

    def register_generator_state(self, generator):
        self.calls.append("generator")

    def replay(self):
        self.calls.append("replay")


def test_a_capture_registers_the_generator_first_and_replays_without_a_step(monkeypatch):
    """Without a GPU only the order of calls can be held."""
    made, stream = [], mock.MagicMock()
    monkeypatch.setattr(torch.cuda, "CUDAGraph", lambda: made.append(FakeGraph()) or made[-1])
    monkeypatch.setattr(torch.cuda, "Stream", lambda: stream)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda: stream)
    monkeypatch.setattr(torch.cuda, "stream", lambda _: contextlib.nullcontext())
    monkeypatch.setattr(
        torch.cuda, "graph", lambda graph: graph.calls.append("capture") or mock.MagicMock()
    )
    step = mock.MagicMock(run=mock.MagicMock(return_value=torch.tensor(3.0)))
    replay = graphs.capture(step)
    assert step.run.call_count == graphs.WARM_STEPS + 1
    assert [replay().item(), replay().item()] == [3.0, 3.0]
    assert step.run.call_count == graphs.WARM_STEPS + 1
    assert made[0].calls == ["generator", "capture", "replay", "replay"]


@pytest.mark.parametrize("system", ["lstm-vmf-vae", "sa-vae", "lstm-vae-ain"])
def test_only_the_step_under_test_is_forbidden_to_wait(system, monkeypatch):
    modes = []
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
    monkeypatch.setattr(torch.cuda, "set_sync_debug_mode", modes.append)
    assert waits.step(system, "standard", "float32", TINY) == "a step waits for nothing"
    assert modes == ["error", "default"]


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", ["lstm-lm", "lstm-vae/L10"])
def test_values_agree_with_plain_code_in_float64(name, precision):
    assert "gradients within" in plain.compare(name, precision, TINY)


def test_replayed_training_takes_a_step_on_every_batch():
    case = cases(quick=False)["ptb/lstm-vae/L1/standard"].tiny()
    case = replace(case, lengths=(4, 6))
    taken = []

    def capture(step):
        return lambda: taken.append(step.batch.words.clone()) or step.run()

    with mock.patch.object(graphs, "capture", capture):
        text = synthetic_text(case)
        run = graphs.training(case.our_config("ours float32"), case.num_classes, text, "cpu")
        assert torch.isfinite(run())
    order = np.arange(len(text)).reshape(-1, case.config.batch_size)
    assert [words.tolist() for words in taken] == [collate(text, i).words.tolist() for i in order]


def test_the_cases_of_core_speed_are_all_timed_the_informative_ones_first():
    selected = [case.name for case in timing.selected(replace(TINY, tiny=False))]
    assert set(selected) == {*cases(quick=False), timing.IW_AVG}
    assert tuple(selected[: len(timing.FIRST)]) == timing.FIRST
    on_gpu = replace(TINY, device="cuda")
    training = timing.variants(cases(quick=False)["ptb/lstm-vae/L1/standard"], on_gpu)
    assert training == [
        *("plain", "ours float32", "ours float32, graphs", "ours bfloat16", "ours bfloat16, graphs")
    ]


def test_graphs_come_after_all_other_timings_of_the_informative_cases():
    listed = timing.jobs(replace(TINY, device="cuda"))
    stages = [2 if case.name not in timing.FIRST else int(v.endswith(", graphs")) for case, v in listed]
    assert stages == sorted(stages)
    assert set(stages) == {0, 1, 2}
    uncaptured = {case.name for case, _ in listed} - {c.name for c, v in listed if v.endswith(", graphs")}
    assert {name.split("/")[1] for name in uncaptured if "iw500" not in name} == {
        *("cnn-lm", "cnn-vae", "lstm-iwae", "sa-vae", "lstm-vae-ain")
    }


def test_a_timing_is_compared_with_plain_code_and_with_the_peak():
    case = cases(quick=False)["ptb/lstm-lm/standard"]
    found = timing.Timing(tokens_per_second=1000.0, step_seconds=0.5, peak_bytes=2**21)
    record = timing.record("x", case, "ours bfloat16, graphs", found, 250.0, {"bfloat16": 1e12})
    # D = 100, H = 400, V = 10,000: three products for each of forward and backward.
    flops = 3 * (8 * 400 * 500 + 2 * 400 * 10_000)
    assert record["share_of_peak"] == pytest.approx(1000 * flops / 1e12)
    assert (record["ratio_to_plain"], record["steps_per_second"]) == (4.0, 2.0)
    assert record["text"] == "1,000 tokens/s, 500.00 ms/step, 4.00 × plain, 3% of peak, 2 MiB"


def test_the_time_that_batches_take_is_recorded_before_the_steps_it_belongs_to():
    records = timing.work(replace(TINY, only=["preparing batches"]))
    (found,) = [record for record in records if not record["name"].startswith("peak")]
    assert found["name"] == "preparing batches"
    assert found["text"] == (
        f"{found['seconds_per_step'] * 1e3:,.3f} ms/step to collate and send, ptb/lstm-vae/L1/standard"
    )
    assert found["seconds_per_step"] > 0


def test_the_memory_of_each_of_several_processes_is_their_share_of_the_sum():
    case = cases(quick=False)["ptb/lstm-vae/L1/standard"]
    record = packing.record("x", case, "ours float32", 8, 3000.0, 1000.0, [12 * 2**30])
    assert record["text"] == "3,000 tokens/s in all, 3.00 × one, 12,288 MiB on the device, 1,536 MiB each"
    assert (record["device_bytes"], record["bytes_per_process"]) == (12 * 2**30, 1.5 * 2**30)
    on_cpu = packing.record("x", case, "ours float32", 8, 3000.0, 1000.0, [])
    assert (on_cpu["device_bytes"], on_cpu["bytes_per_process"]) == (None, None)


def packed(monkeypatch, settings, speeds):
    """Return the records of packing, with ``speeds`` by number of processes; a missing one fails."""

    def measure(job, case, arguments):
        if job.mode.processes not in speeds:
            raise FailedError("out of memory")
        speed = speeds[job.mode.processes]
        return Figures(Spread(speed, speed, speed), None, 1.0, 0, "", "2")

    monkeypatch.setattr(packing, "measure", measure)
    monkeypatch.setattr(packing, "used", lambda device: 0)
    return list(packing.work(settings))


@pytest.mark.parametrize("only", [(), ("2 at once",)])
def test_several_processes_are_compared_with_one_only_if_that_was_measured(only, monkeypatch):
    speeds = {2: 300.0, 4: 600.0} | ({1: 100.0} if not only else {})
    settings = replace(TINY, device="cuda", only=only)
    found = {r["name"]: r for r in packed(monkeypatch, settings, speeds) if "case" in r}
    first = packing.SUBJECTS[0]
    two = found[f"{first[0]}, {first[1]}, 2 at once"]
    expected = "300 tokens/s in all, 0 MiB on the device, 0 MiB each"
    if only:
        assert (two["text"], "gain" in two) == (expected, False)
        return
    assert two["text"] == expected.replace(" all,", " all, 3.00 × one,")
    assert [r["gain"] for r in found.values()] == 2 * [1.0, 3.0, 6.0]


def test_no_number_of_processes_takes_the_place_of_a_single_one_that_failed(monkeypatch):
    records = packed(monkeypatch, replace(TINY, device="cuda"), {2: 300.0, 4: 600.0})
    assert [r["text"] for r in records[:1]] == ["failed: out of memory"]
    measured = [r for r in records if "case" in r]
    assert [r["processes"] for r in measured] == [2, 4, 2, 4]
    assert not [r for r in measured if "gain" in r or "× one" in r["text"]]


def test_a_measurement_that_the_rest_of_the_time_is_too_short_for_is_named(monkeypatch):
    short = Settings("cuda", packing.LONGEST_SECONDS / 2 - 1, True, ("8 at once",), time.monotonic())
    assert packed(monkeypatch, short, {}) == []
    assert short.left_out == [f"{name}, {variant}, 8 at once" for name, variant in packing.SUBJECTS]


def test_a_tiny_case_keeps_its_names_and_modes():
    case = cases(quick=False)["ptb/lstm-vae-avg/L10/standard"]
    assert case.tiny(Mode(1, 1)).modes == (Mode(1, 1),)
    assert (case.tiny().name, case.tiny().baseline) == (case.name, case.baseline)
