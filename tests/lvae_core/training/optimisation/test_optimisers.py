"""The contract of optimisers, tested on every registered one."""

import io

import pytest
import torch
from torch.nn import Parameter

from lvae_core.training.optimisation.optimiser import Optimiser
from lvae_core.training.optimisation.parts import OPTIMISERS

from ... import tiny

SHAPES = {"a": (5,), "table": (6, 3), "rounded": (4, 6)}


@pytest.fixture(params=OPTIMISERS)
def name(request) -> str:
    return request.param


def make(name: str, seed: int = 0, **fields) -> tuple[Optimiser, dict[str, Parameter]]:
    generator = torch.Generator().manual_seed(seed)
    parameters = {n: Parameter(torch.randn(s, generator=generator)) for n, s in SHAPES.items()}
    parameters["rounded"].grad_dtype = None
    config = tiny.config(optimiser=name, **fields)
    return OPTIMISERS[name](parameters.items(), config), parameters


def differentiate(parameters: dict[str, Parameter], seed: int) -> None:
    """Give every parameter a gradient: one sparse with a row twice, one in bfloat16."""
    generator = torch.Generator().manual_seed(100 + seed)
    parameters["a"].grad = torch.randn(5, generator=generator)
    rows = torch.tensor([[4, 1, 4, 0]])
    values = torch.randn(4, 3, generator=generator)
    parameters["table"].grad = torch.sparse_coo_tensor(rows, values, (6, 3), check_invariants=True)
    parameters["rounded"].grad = torch.randn(4, 6, generator=generator).bfloat16()


def values(parameters: dict[str, Parameter]) -> dict[str, torch.Tensor]:
    return {name: parameter.detach().clone() for name, parameter in parameters.items()}


def assert_same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> None:
    assert all(torch.equal(a[name], b[name]) for name in b)


def test_a_step_moves_every_parameter_and_clears_the_gradients(name):
    optimiser, parameters = make(name)
    before = values(parameters)
    differentiate(parameters, 0)
    optimiser.step(0.1)
    assert all(not torch.equal(p.detach(), before[n]) for n, p in parameters.items())
    assert all(p.grad is None for p in parameters.values())


def test_only_the_named_parameters_move_and_only_their_state(name):
    optimiser, parameters = make(name)
    before, kept = values(parameters), optimiser.state()
    differentiate(parameters, 0)
    optimiser.step(0.1, only={"a"})
    assert not torch.equal(parameters["a"].detach(), before["a"])
    for other in ("table", "rounded"):
        assert torch.equal(parameters[other].detach(), before[other])
        after = optimiser.state().get(other, {})
        assert str(after) == str(kept.get(other, {}))
    assert all(p.grad is None for p in parameters.values())


def test_all_gradients_are_clipped_together_whichever_parameter_moves(name):
    """Gradients of another parameter that are a thousand times larger shrink the step."""
    steps = []
    for size in (1.0, 1000.0):
        optimiser, parameters = make(name, max_grad_norm=1.0)
        before = values(parameters)
        differentiate(parameters, 0)
        parameters["rounded"].grad = parameters["rounded"].grad * size
        optimiser.step(0.1, only={"a"})
        steps.append(float((parameters["a"].detach() - before["a"]).norm()))
    if name == "sgd":
        assert steps[1] < steps[0] / 100
    else:  # an adaptive rule divides by the gradient's own size
        assert steps[1] <= steps[0] * 1.001


def test_a_step_may_clip_the_gradients_of_what_it_moves_apart(name):
    moved = []
    for size in (1.0, 1000.0):
        optimiser, parameters = make(name, max_grad_norm=1.0)
        before = values(parameters)
        differentiate(parameters, 0)
        parameters["rounded"].grad = parameters["rounded"].grad * size
        optimiser.step(0.1, only={"a"}, clip_apart=True)
        moved.append(parameters["a"].detach() - before["a"])
    assert torch.equal(*moved)
    if name == "sgd":
        assert float(moved[0].norm()) == pytest.approx(0.1, rel=1e-4)


def test_a_step_is_proportional_to_the_learning_rate(name):
    moved = []
    for rate in (0.01, 0.02):
        optimiser, parameters = make(name)
        before = values(parameters)
        differentiate(parameters, 0)
        optimiser.step(rate)
        moved.append({n: p.detach() - before[n] for n, p in parameters.items()})
    for n in SHAPES:
        torch.testing.assert_close(moved[1][n], 2 * moved[0][n], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("stop", [1, 3])
def test_stopped_saved_and_loaded_continues_bit_for_bit(name, stop):
    optimiser, parameters = make(name)
    for k in range(5):
        differentiate(parameters, k)
        optimiser.step(0.1, only={"a", "table"} if k == 2 else None)
    stopped, before = make(name)
    for k in range(stop):
        differentiate(before, k)
        stopped.step(0.1, only={"a", "table"} if k == 2 else None)
    file = io.BytesIO()
    torch.save((values(before), stopped.state()), file)
    numbers, kept = torch.load(io.BytesIO(file.getvalue()), weights_only=True)
    resumed, after = make(name, seed=9)
    with torch.no_grad():
        for n, parameter in after.items():
            parameter.copy_(numbers[n])
    resumed.load(kept)
    for k in range(stop, 5):
        differentiate(after, k)
        resumed.step(0.1, only={"a", "table"} if k == 2 else None)
    assert_same(values(after), values(parameters))


def test_a_state_is_a_copy(name):
    optimiser, parameters = make(name)
    differentiate(parameters, 0)
    optimiser.step(0.1)
    kept = optimiser.state()
    text = str(kept)
    differentiate(parameters, 1)
    optimiser.step(0.1)
    assert str(kept) == text


def test_an_empty_state_is_the_initial_state(name):
    (one, first), (other, second) = make(name), make(name)
    other.load({})
    for optimiser, parameters in ((one, first), (other, second)):
        differentiate(parameters, 0)
        optimiser.step(0.1)
    assert_same(values(first), values(second))
