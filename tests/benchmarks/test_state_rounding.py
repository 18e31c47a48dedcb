"""The rounded LSTM keeps, or loses, what its name says; the table pairs runs by seed."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from state_rounding import VARIANTS, Options, Rounding, main, rounding_of, stepwise, table

from lvae_core.model.layers.lstm import LSTM
from lvae_core.model.layers.precision import compute_in, multiplies_bfloat16
from lvae_core.model.layers.softmax import Softmax

native = pytest.mark.skipif(
    not multiplies_bfloat16(torch.device("cpu")), reason="this processor emulates bfloat16"
)
"""For variants that the processor itself rounds."""


def filled(bias: tuple[float, float, float, float]) -> LSTM:
    """A layer of one unit whose gates i, f, g, o have constant inputs."""
    layer = LSTM(1, 1)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.zero_()
        layer.bias_ih_l0.copy_(torch.tensor(bias))
    return layer


@pytest.mark.parametrize(("round_c", "last"), [(False, 1 + 100 * 2**-10), (True, 1.0)])
def test_a_rounded_cell_loses_small_increments(round_c, last):
    # Gates of 1 add tanh(g) = 2^-10 to c = 1 at each step; the next bfloat16 above 1 is 1 + 2^-7.
    layer = filled((60.0, 60.0, 2.0**-10, 0.0))
    state = (torch.zeros(1, 1, 1), torch.ones(1, 1, 1))
    _, (_, c) = stepwise(Rounding(c=round_c))(layer, torch.zeros(1, 100, 1), state)
    assert c.item() == pytest.approx(last, abs=1e-5)


@native
@pytest.mark.parametrize(
    ("variant", "last"), [("bfloat16", 1.0), ("bfloat16, c in float32", 1 + 100 * 2**-10)]
)
def test_the_processor_loses_small_increments_unless_the_cell_is_in_float32(variant, last):
    layer = filled((60.0, 60.0, 2.0**-10, 0.0))
    layer.arithmetic = "bfloat16"
    state = (torch.zeros(1, 1, 1), torch.ones(1, 1, 1))
    with rounding_of(VARIANTS[variant]):
        _, (_, c) = layer(torch.zeros(1, 100, 1), state)
    assert c.item() == pytest.approx(last, abs=1e-5)


def test_a_rounded_output_has_eight_bits():
    layer = filled((60.0, 60.0, 0.3, 0.4))
    for round_h in (False, True):
        outputs, (h, _) = stepwise(Rounding(c=True, h=round_h))(layer, torch.zeros(1, 3, 1))
        assert h[0].equal(outputs[:, -1])
        assert outputs.equal(outputs.bfloat16().float()) == round_h


def test_without_rounding_to_do_it_is_torch_s_lstm():
    torch.manual_seed(0)
    layer = LSTM(3, 4)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.copy_(parameter.bfloat16())
    inputs = torch.randn(2, 1, 3).bfloat16().float().requires_grad_()
    ours, (h, c) = stepwise(Rounding())(layer, inputs)
    outputs, (last_h, last_c) = torch.nn.LSTM.forward(layer, inputs)
    for mine, theirs in ((ours, outputs), (h, last_h), (c, last_c)):
        torch.testing.assert_close(mine, theirs)
    mine, theirs = (torch.autograd.grad(x.sum(), [inputs, *layer.parameters()]) for x in (ours, outputs))
    torch.testing.assert_close(mine, theirs)


def test_gradients_are_rounded_only_if_asked_for():
    torch.manual_seed(0)
    layer = LSTM(3, 4)
    gradients = {}
    for asked in (False, True):
        inputs = torch.full((2, 1, 3), 0.5, requires_grad=True)
        outputs, _ = stepwise(Rounding(gradients=asked))(layer, inputs)
        (gradients[asked],) = torch.autograd.grad(outputs.sum(), inputs)
    assert not gradients[False].equal(gradients[False].bfloat16().float())
    assert gradients[True].equal(gradients[False].bfloat16().float())


def arithmetics(name: str) -> tuple[bool, bool]:
    """Whether a layer of LSTM and of softmax in bfloat16 arithmetic round under a variant."""
    torch.manual_seed(0)
    lstm, softmax = LSTM(3, 4), Softmax(4, 5, bias=False)
    inputs, hidden, words = torch.randn(2, 3, 3), torch.randn(6, 4), torch.arange(5).repeat(2)[:6]
    states, values = lstm(inputs)[0], softmax.log_likelihood(hidden, words)
    with rounding_of(VARIANTS[name]):
        compute_in(torch.nn.ModuleList([lstm, softmax]), "float32" if name == "float32" else "bfloat16")
        found = lstm(inputs)[0], softmax.log_likelihood(hidden, words)
    return not torch.allclose(found[0].float(), states), not torch.allclose(found[1], values)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=native if "bfloat16" in name else ()) for name in VARIANTS]
)
def test_a_variant_rounds_the_layers_that_it_names(name):
    assert arithmetics(name) == (name not in ("float32", "softmax"), name not in ("float32", "LSTM"))


def test_differences_are_paired_by_seed():
    float32 = np.array([[3.0, 100.0], [5.0, 102.0]])
    values = {name: float32 - [1.0, 0.0] for name in VARIANTS} | {"float32": float32}
    columns = [list(column.cells) for column in table(Options(seeds=2), values).columns]
    assert columns[1] == ["4.00", *["3.00"] * (len(VARIANTS) - 1)]
    assert columns[2] == ["", *["-1.00 ± 0.00"] * (len(VARIANTS) - 1)]


def test_one_seed_is_refused(capsys):
    assert main(Options(seeds=1)) == 2
    assert capsys.readouterr().err == "error: --seeds 1: must be at least 2 for an interval\n"


def test_an_unknown_variant_is_refused(capsys):
    assert main(Options(variants=("h",))) == 2
    assert capsys.readouterr().err.startswith("error: --variants h: choose from float32; bfloat16; ")
