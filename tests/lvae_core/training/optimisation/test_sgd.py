"""The gradient step against the formula, with gradients that are rounded, sparse, or of either layout."""

import pytest
import torch
from torch.nn import Parameter

from lvae_core.model.layers import precision
from lvae_core.training.optimisation.optimiser import SGD

from ... import tiny


def of(values: torch.Tensor, gradient: torch.Tensor) -> Parameter:
    parameter = Parameter(values)
    if hasattr(parameter, "grad_dtype"):
        parameter.grad_dtype = None
    parameter.grad = gradient
    return parameter


@pytest.mark.parametrize("block", [1, 7, 2**18], ids=lambda n: f"blocks of {n}")
@pytest.mark.parametrize("limit", [0.0, 1.5, 1e6], ids=["no limit", "clipped", "below the limit"])
@pytest.mark.parametrize("rounded", [True, False], ids=["some rounded", "none rounded"])
def test_a_step_follows_the_formula(block, limit, rounded, monkeypatch):
    monkeypatch.setattr(precision, "BLOCK_NUMBERS", {"cpu": block})
    generator = torch.Generator().manual_seed(0)

    def normal(*size: int) -> torch.Tensor:
        return torch.randn(*size, generator=generator)

    read = torch.tensor([[4, 1, 4, 0]])  # a row twice, others never
    parameters = [
        of(normal(5), normal(5)),
        of(normal(6, 3), torch.sparse_coo_tensor(read, normal(4, 3), (6, 3), check_invariants=True)),
        of(normal(4, 6), normal(4, 6).bfloat16()),
        of(normal(6, 4).T, normal(6, 4).bfloat16().T),
    ]
    if not rounded:
        parameters = parameters[:2]
    before = [p.detach().double() for p in parameters]
    gradients = [p.grad.to_dense().double() for p in parameters]
    norm = torch.cat([g.flatten() for g in gradients]).norm()
    scale = min(1.0, limit / float(norm)) if limit else 1.0
    assert (scale < 1) == (limit == 1.5)
    named = [(str(number), parameter) for number, parameter in enumerate(parameters)]
    SGD(named, tiny.config(max_grad_norm=limit)).step(0.5)
    # The norms of rounded gradients are rounded, each by 2^-9 of itself at most.
    rtol = 2**-9 if rounded and scale < 1 else 1e-5
    for parameter, old, gradient in zip(parameters, before, gradients, strict=True):
        step = parameter.detach().double() - old
        torch.testing.assert_close(step, -0.5 * scale * gradient, rtol=rtol, atol=1e-6)
        assert parameter.grad is None
