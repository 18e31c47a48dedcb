"""Gradients in every precision compared with float64, at very small sizes."""

import re
from dataclasses import replace

import gradient_error
import pytest
from gradient_error import main, relative_errors
from speed.cases import Case, cases

from lvae_core.model.text_model import TextModel
from lvae_core.systems import recipe
from lvae_core.training.runtime import Runtime


def small(system: str = "lstm-vae", L: int = 2, setting: str = "standard") -> Case:
    config = recipe(system, num_samples=L, setting=setting)
    config = replace(config, embedding_size=5, hidden_size=16, latent_size=3, batch_size=4, init_scale=0.5)
    return Case(name="small", config=config, num_classes=70, lengths=(3, 6, 9), baseline="small")


@pytest.mark.parametrize("setting", ["standard", "inputless"])
@pytest.mark.parametrize(("system", "L"), [("lstm-lm", 1), ("lstm-vae", 2), ("lstm-vae-avg", 2)])
def test_every_gradient_is_as_near_to_float64_as_its_precision_allows(system, L, setting):
    case = small(system, L, setting)
    found = dict(relative_errors(case, 2, Runtime()))
    names = [name for name, _ in TextModel(case.config, case.num_classes).named_parameters()]
    assert list(found) == ["loss", *names, "all gradients"]
    # float32 has 24 binary digits and bfloat16 has 8. If the dropout masks differed, no digit would agree.
    for name in (*names, "all gradients"):
        plain, ours, real, emulated = found[name]
        assert 0 < plain < 2e-5
        assert 0 < ours < 2e-5
        assert 2**-11 < real < 2**-4
        assert 2**-11 < emulated < 2**-4
    assert real != emulated
    assert max(found["loss"][:2]) < 1e-6
    assert 1e-7 < max(found["loss"][2:]) < 1e-2


def test_the_command_prints_a_row_for_every_tensor(monkeypatch, capsys):
    monkeypatch.setattr(gradient_error, "cases", lambda quick: {"s": replace(small(), name=NAME)})
    assert main(["--systems", "lstm-vae/L2", "--steps", "0"]) == 0
    out = capsys.readouterr().out
    rows = re.findall(r"^│   (\S+(?: gradients)?) +" + r"│ +\d\.\de[-+]\d\d " * 4 + "│$", out, re.M)
    model = TextModel(small().config, 70)
    assert rows == ["loss", *(name for name, _ in model.named_parameters()), "all gradients"]
    assert "…" not in out
    assert "torch 2" in out
    assert out.endswith("python benchmarks/gradient_error.py --systems lstm-vae/L2 --steps 0\n")


NAME = "ptb/lstm-vae/L2/standard"


def test_the_default_cases_exist():
    options = gradient_error.Options()
    for setting in ("standard", "inputless"):
        chosen = replace(options, setting=setting).selected()
        assert [case.name for case in chosen] == [f"ptb/{name}/{setting}" for name in options.systems]
        assert chosen == [cases(quick=False)[case.name] for case in chosen]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--systems", "lstm-vae/10"], "unknown system 'lstm-vae/10': did you mean 'lstm-vae/L10'?"),
        (["--setting", "none"], "unknown setting 'none': choose from standard, inputless"),
        (["--steps", "-1"], "--steps -1: must be at least 0"),
        (["--threads", "0"], "--threads 0: must be at least 1"),
        (["--device", "nowhere"], "device 'nowhere': not usable here"),
    ],
)
def test_bad_input_gets_one_line(arguments, message, capsys):
    assert main(arguments) == 2
    output = capsys.readouterr()
    assert output.err.startswith(f"error: {message}")
    assert output.err.count("\n") == 1
    assert output.out == ""
