"""The baseline computes the same numbers as our model, and the table shows what was measured."""

import io
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from core_speed import main
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from speed.cases import PLAIN, Case, Mode, cases
from speed.launch import Figures, Spread, combine
from speed.measure import repeated, synthetic_text, time_passes
from speed.output import check_writable
from speed.plain import OURS, PlainModel
from speed.present import records, table

from lvae_core import rng
from lvae_core.config import RunConfig
from lvae_core.data.batches import collate
from lvae_core.evaluation.likelihood import COLUMNS, sentence_statistics
from lvae_core.model.text_model import TextModel
from lvae_core.systems import recipe
from lvae_core.training.optimisation.objective import objective

V, LENGTHS = 23, (3, 5)


def small(system: str, setting: str, L: int) -> RunConfig:
    config = recipe(system, num_samples=L, setting=setting)
    sizes = {"embedding_size": 6, "hidden_size": 7, "latent_size": 4, "init_scale": 0.5}
    return replace(config, dropout=0.0, batch_size=4, eval_batch_size=4, iw_samples=9, **sizes)


def case_of(config: RunConfig, **changes) -> Case:
    return Case(name="small", config=config, num_classes=V, lengths=LENGTHS, baseline="small", **changes)


def plain_and_ours(config: RunConfig) -> tuple[PlainModel, TextModel]:
    """Return the plain model and our model with the same parameters."""
    plain, ours = PlainModel(config, V), TextModel(config, V)
    for name, parameter in plain.named_parameters():
        parameter.data.copy_(ours.get_parameter(renamed(name)))
    assert len(list(plain.parameters())) == len(list(ours.parameters()))
    return plain, ours


def renamed(name: str) -> str:
    part, dot, rest = name.partition(".")
    return OURS[part] + dot + rest


@pytest.mark.parametrize("setting", ["standard", "inputless"])
@pytest.mark.parametrize(("system", "L"), [("lstm-lm", 1), ("lstm-vae", 1), ("lstm-vae", 3)])
def test_the_baseline_has_our_loss_and_gradients(system, L, setting, monkeypatch):
    config = small(system, setting, L)
    plain, ours = plain_and_ours(config)
    batch = collate(synthetic_text(case_of(config)), np.arange(4))
    noise = iter(rng.normal(config.seed, "latent", 0, size=(L, 4, config.latent_size)))
    monkeypatch.setattr(torch, "randn_like", lambda like: next(noise))
    expected = plain.loss(batch.words, config.num_samples, kl_weight=0.7)
    expected.backward()
    loss = objective(ours, batch, config, kl_weight=0.7, step=0).loss
    loss.backward()
    torch.testing.assert_close(loss, expected)
    for name, parameter in plain.named_parameters():
        grad = ours.get_parameter(renamed(name)).grad.to_dense()
        torch.testing.assert_close(grad, parameter.grad, rtol=1e-4, atol=1e-6)


def test_the_baseline_has_our_importance_weighted_nll(monkeypatch):
    config = small("lstm-vae", "standard", 1)
    plain, ours = plain_and_ours(config)
    split = synthetic_text(case_of(config, task="iw"))
    S, Z = config.iw_samples, config.latent_size
    rows = torch.cat(list(sentence_statistics(ours, split, config, split_name="test", samples=S)))
    for first in range(0, len(split), 4):
        indices = np.arange(first, first + 4)
        noise = torch.stack(
            [rng.normal(config.seed, "evaluation", "test", int(i), size=(S, Z)) for i in indices], dim=1
        )
        chunks = iter(noise.split(4))  # the last is smaller
        monkeypatch.setattr(torch, "randn", lambda *size, device, parts=chunks: next(parts))
        nll = plain.importance_weighted_nll(collate(split, indices).words, S, draws=4)
        torch.testing.assert_close(rows[indices, COLUMNS.index("nll_iw")].float(), nll)


def test_the_text_has_one_length_per_batch_and_every_class_is_in_range():
    case = case_of(small("lstm-vae", "standard", 1))
    split = synthetic_text(case)
    assert split.lengths.tolist() == [3] * 4 + [5] * 4
    assert split.num_tokens == case.tokens
    ends = split.offsets[1:] - 1
    assert (split.tokens[ends] == 0).all()
    words = np.delete(split.tokens, ends)
    assert words.min() >= 1
    assert words.max() < V
    assert np.array_equal(split.tokens, synthetic_text(case).tokens)


def test_a_loss_that_is_not_finite_stops_the_measurement():
    values = iter([torch.tensor(1.0), torch.tensor(float("nan"))])
    passes = repeated(lambda: next(values), torch.device("cpu"))
    assert next(passes) >= 0
    with pytest.raises(FloatingPointError):
        next(passes)


def test_timing_stops_after_enough_passes():
    assert time_passes(iter([1.0, 2.0, 3.0]), at_least=2, seconds=0.0) == [1.0, 2.0]


def test_the_figures_of_several_processes_are_combined():
    case = replace(cases(quick=False)["ptb/lstm-vae/L1/standard"], lengths=(10, 20))  # 960 tokens per pass
    rest = {"gpu": "", "torch": "2"}
    one = {"seconds": [1.0, 2.0, 4.0], "peak_memory_bytes": 5, "flops_per_second": 3e10, **rest}
    two = {"seconds": [4.0], "peak_memory_bytes": 7, "flops_per_second": 2e10, **rest}
    figures = combine([one, two], case, "plain")
    # Quartiles of 1, 2, 4 by linear interpolation: 1.5, 2 and 3.
    assert figures.tokens_per_second == Spread(960 / 3 + 240, 960 / 2 + 240, 960 / 1.5 + 240)
    assert figures.step_seconds == (2 + 4) / 2 / 2
    assert figures.peak_memory_bytes == 7
    # D = 100, H = 400, Z = 32 and V = 10,000; forward and two gradients; 720 tokens/s at 5e10 FLOPs/s.
    products = 3 * (8 * 400 * 500 + 8 * 400 * 532 + 2 * 400 * 10_000)
    assert figures.of_limit == pytest.approx(720 * products / 5e10)
    unlimited = [report | {"flops_per_second": None} for report in (one, two)]
    assert combine(unlimited, case, "ours bfloat16").of_limit is None


def test_averaged_states_are_compared_with_plain_code_that_decodes_as_many_samples():
    known, mode = cases(quick=False), Mode(2, 1)
    case = replace(known["ptb/lstm-vae-avg/L5/inputless"], modes=(mode,))
    loss = known["ptb/lstm-vae/L5/inputless"]
    figures = {
        loss.job("plain", mode): Figures(Spread(90.0, 100.0, 110.0), 0.25, 0.5, 1000, "", "2"),
        case.job("ours bfloat16", mode): Figures(Spread(1400.0, 1500.0, 1600.0), None, 0.1, 600, "", "2"),
    }
    listed = json.loads(records([case], figures, "cpu"))
    keys = [
        "case",
        "variant",
        "device",
        "threads",
        "tokens_per_second",
        "ratio_to_plain",
        "of_limit",
        "peak_memory_bytes",
    ]
    assert listed == [
        dict(zip(keys, [case.name, "plain", "cpu", 1, 100.0, 1.0, 0.25, 1000], strict=True)),
        dict(zip(keys, [case.name, "ours bfloat16", "cpu", 1, 1500.0, 15.0, None, 600], strict=True)),
    ]
    lines = printed(table([case], figures))
    assert [line.split() for line in lines if line.startswith("   ") and " 2x1 " in line] == [
        ["plain", "2x1", "100", "90–110", "500.0", "1.00", "25%", "0"],
        ["ours", "bfloat16", "2x1", "1,500", "1,400–1,600", "100.0", "15.00", "0"],
    ]
    assert any(case.name in line for line in lines)


def printed(shown: Table) -> list[str]:
    """Return the lines of a table at its natural width, without its frame."""
    console = Console(width=200, file=io.StringIO())
    console.print(shown)
    return console.file.getvalue().replace("│", " ").splitlines()


def test_the_table_with_the_longest_names_fits_the_width_of_a_file():
    selected = list(cases(quick=False).values())
    spread = Spread(999_999.0, 999_999.0, 999_999.0)
    figures = {job: Figures(spread, 1.0, 99.9, 2**36, "", "2") for case in selected for job in case.jobs()}
    wide = Console(width=300)
    assert Measurement.get(wide, wide.options, table(selected, figures)).maximum <= 120


def test_semi_amortised_inference_which_refuses_bfloat16_is_measured_in_float32_alone():
    known = cases(quick=False)
    refused = {f"ptb/sa-vae/L1/{setting}" for setting in ("standard", "inputless")}
    assert {name for name, case in known.items() if "ours bfloat16" not in case.variants} == refused
    for case in known.values():
        for variant in set(case.variants) - set(PLAIN):
            case.our_config(variant)


def test_every_baseline_is_one_of_the_cases():
    for quick in (False, True):
        known = cases(quick=quick)
        assert {job.case for case in known.values() for job in case.jobs()} <= set(known)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--cases", "nope"], "--cases nope: matches none of ptb/"),
        (["--modes", "2"], "--modes 2: write PROCESSESxTHREADS"),
        (["--modes", "0x2"], "--modes 0x2: write PROCESSESxTHREADS"),
        (["--seconds", "-1"], "--seconds -1.0: must be"),
        (["--json", "/no/such/folder/figures.json"], "cannot be written (No such file or directory)"),
    ],
)
def test_bad_input_gets_one_line_and_leaves_no_file(arguments, message, capsys, tmp_path):
    file = tmp_path / "figures.json"
    assert main(["--json", str(file), *arguments]) == 2
    output = capsys.readouterr()
    assert message in output.err
    assert output.err.count("\n") == 1
    assert output.out == ""
    assert not file.exists()


def test_the_check_of_a_file_leaves_it_as_it_is(tmp_path):
    old, new = tmp_path / "old.json", tmp_path / "new.json"
    old.write_text("[1]")
    check_writable(old)
    check_writable(new)
    assert [path.name for path in tmp_path.iterdir()] == ["old.json"]
    assert old.read_text() == "[1]"


@pytest.mark.slow
def test_a_device_that_a_process_refuses_is_a_user_error(capsys, tmp_path):
    file = tmp_path / "figures.json"
    assert main(["--quick", "--device", "nowhere", "--json", str(file)]) == 2
    assert not file.exists()
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("error: device 'nowhere': not usable here")


@pytest.mark.slow
def test_the_command_measures_every_variant(tmp_path):
    file = tmp_path / "figures.json"
    case = "ptb/lstm-vae/L1/standard"
    assert main(["--quick", "--cases", case, "--modes", "2x1", "--seconds", "0", "--json", str(file)]) == 0
    listed = json.loads(file.read_text())
    assert [entry["variant"] for entry in listed] == [
        *("plain", "plain+malloc", "ours float32", "ours bfloat16")
    ]
    assert listed[0]["ratio_to_plain"] == 1.0
    assert all(entry["tokens_per_second"] > 0 and entry["peak_memory_bytes"] > 2**27 for entry in listed)
    assert [entry["of_limit"] is None for entry in listed] == [False, False, False, True]
