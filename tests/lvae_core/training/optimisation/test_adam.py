"""Adam against torch.optim.Adam, in float64."""

import pytest
import torch
from torch.nn import Parameter

from lvae_core.training.optimisation.adam import Adam

from ... import tiny


@pytest.mark.parametrize("limit", [0.0, 1.5])
@pytest.mark.parametrize("fields", [{}, {"adam_beta1": 0.5, "adam_beta2": 0.9, "adam_epsilon": 1e-3}])
def test_ten_steps_equal_torchs(limit, fields):
    generator = torch.Generator().manual_seed(0)

    def normal(*size: int) -> torch.Tensor:
        return torch.randn(*size, generator=generator, dtype=torch.float64)

    start = {"a": normal(5), "b": normal(6, 3)}
    ours = {name: Parameter(value.clone()) for name, value in start.items()}
    theirs = [Parameter(value.clone()) for value in start.values()]
    config = tiny.config(optimiser="adam", max_grad_norm=limit, **fields)
    optimiser = Adam(ours.items(), config)
    judge = torch.optim.Adam(
        theirs,
        betas=(config.adam_beta1, config.adam_beta2),
        eps=config.adam_epsilon,
        foreach=False,
    )
    for step in range(10):
        rate = 0.01 / (1 + step)
        rows = torch.tensor([[4, 1, 4]])
        gradients = [normal(5), torch.sparse_coo_tensor(rows, normal(3, 3), (6, 3), check_invariants=True)]
        for parameter, gradient in zip(ours.values(), gradients, strict=True):
            parameter.grad = gradient
        for parameter, gradient in zip(theirs, gradients, strict=True):
            parameter.grad = gradient.to_dense().clone()
        if limit:
            torch.nn.utils.clip_grad_norm_(theirs, limit)
        judge.param_groups[0]["lr"] = rate
        judge.step()
        optimiser.step(rate)
        for a, b in zip(ours.values(), theirs, strict=True):
            torch.testing.assert_close(a.detach(), b.detach(), rtol=1e-12, atol=1e-14)
