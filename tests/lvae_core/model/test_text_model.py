"""The training likelihood, with dropout and weights, against the likelihoods of sentences."""

import pytest
import torch

from lvae_core.rng import torch_generator

from .. import tiny

V = 7
SENTENCES = [[3, 1, 5, 0], [0], [2, 2, 6, 4, 1, 3, 0], [6, 0]]


def latents(draws: int, group: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(draws, group, len(SENTENCES), 2, dtype=torch.float64, generator=generator)


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_the_mean_nll_is_the_mean_over_sentences(dropout):
    model = tiny.double_model(tiny.config(dropout=dropout, init_scale=0.8), V)
    batch, z = tiny.batch(SENTENCES), latents(3, 1)
    with torch.no_grad():
        values = model.log_likelihood(batch, z, torch_generator(0, "dropout", 1))
        mean = model.mean_nll(batch, z, torch_generator(0, "dropout", 1))
        plain = model.log_likelihood(batch, z)
    assert mean.item() == pytest.approx(-values.mean().item(), rel=1e-12)
    assert torch.equal(values, plain) == (dropout == 0)


def test_weights_multiply_the_likelihood_of_each_draw_of_each_sentence():
    model = tiny.double_model(tiny.config(dropout=0.0, init_scale=0.8), V)
    batch, z = tiny.batch(SENTENCES), latents(3, 2)
    weights = torch.rand(3, len(SENTENCES), dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    ours = model.mean_nll(batch, z, None, lambda _: weights)
    with torch.no_grad():
        expected = -(weights * model.log_likelihood(batch, z)).mean()
    assert ours.item() == pytest.approx(expected.item(), rel=1e-12)
    ours.backward()
    whole = {name: p.grad.to_dense() for name, p in model.named_parameters() if p.grad is not None}
    # The gradient is the sum of those of each draw and sentence alone.
    model.zero_grad()
    for s in range(3):
        for b, sentence in enumerate(SENTENCES):
            alone = model.mean_nll(tiny.batch([sentence]), z[s : s + 1, :, b : b + 1], None)
            (alone * weights[s, b] / weights.numel()).backward()
    for name, parameter in model.named_parameters():
        if name in whole:
            torch.testing.assert_close(parameter.grad.to_dense(), whole[name], rtol=1e-9, atol=1e-12)
