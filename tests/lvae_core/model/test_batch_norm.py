"""Batch normalisation of the posterior's mean: against torch's own, and the bound on the KL."""

import pytest
import torch
import torch.nn.functional as F

from lvae_core import rng
from lvae_core.model.counts import parameter_count
from lvae_core.model.layers.batch_norm import BatchNorm
from lvae_core.model.text_model import TextModel

from .. import tiny

CLASSES = 6
SENTENCES = tiny.sentences(12, CLASSES, seed=4)


def model_of(gamma: float = 0.6, **fields) -> TextModel:
    config = tiny.config(mu_batch_norm=gamma, init_scale=0.8, latent_size=3, **fields)
    return tiny.double_model(config, CLASSES)


def masks() -> torch.Generator:
    return rng.torch_generator(0, "dropout", 0)


def test_it_is_torchs_batch_norm_with_a_fixed_scale():
    norm = BatchNorm(4, 0.7).double()
    mean, variance = torch.zeros(4, dtype=torch.float64), torch.ones(4, dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    bias, scale = torch.tensor([0.1, -0.2, 0.3, 0.0], dtype=torch.float64), torch.full((4,), 0.7).double()
    with torch.no_grad():
        norm.bias.copy_(bias)
    for rows in (5, 2, 9):
        x = 3 * torch.randn(rows, 4, dtype=torch.float64, generator=generator) + 1
        x.requires_grad_()
        found = norm(x, training=True)
        expected = F.batch_norm(x, mean, variance, scale, bias, training=True)
        torch.testing.assert_close(found, expected)
        upstream = torch.randn(rows, 4, dtype=torch.float64, generator=generator)
        torch.testing.assert_close(
            *(torch.autograd.grad((y * upstream).sum(), x)[0] for y in (found, expected))
        )
        torch.testing.assert_close(norm.running_mean, mean)
        torch.testing.assert_close(norm.running_variance, variance)
    torch.testing.assert_close(
        norm(x, training=False), F.batch_norm(x, mean, variance, scale, bias, training=False)
    )


@pytest.mark.parametrize("gamma", [0.5, 0.6, 0.7])
@pytest.mark.parametrize("scale", [1e-2, 1.0, 100.0])
def test_the_kl_in_training_is_at_least_half_gamma_squared_per_dimension(gamma, scale):
    model = model_of(gamma)
    assert model.encoder is not None
    with torch.no_grad():
        model.encoder.to_mean.weight.mul_(scale)  # however small the means are
        model.encoder.to_log_variance.weight.zero_()  # σ = 1 costs nothing
        bare = model.encoder.to_mean(model.encoder.states(tiny.batch(SENTENCES), None))
        share = bare.var(0, correction=0) / (bare.var(0, correction=0) + 1e-5)  # what ε leaves
        q = model.encoder(tiny.batch(SENTENCES), masks())
        bias = model.encoder.mean_norm.bias
        assert float(q.kl().mean()) == pytest.approx(float((gamma**2 * share + bias**2).sum() / 2))
        assert float(q.kl().mean()) >= float(gamma**2 / 2 * share.sum())
    if scale > 1:
        assert float(share.min()) > 0.999


def test_in_evaluation_a_posterior_does_not_depend_on_its_batch_and_in_training_it_does():
    model = model_of(dropout=0.0)
    assert model.encoder is not None
    with torch.no_grad():
        trained = model.encoder(tiny.batch(SENTENCES), masks())
        whole = model.encoder(tiny.batch(SENTENCES))
        kept = {name: value.clone() for name, value in model.state_dict().items()}
        for b, sentence in enumerate(SENTENCES):
            alone = model.encoder(tiny.batch([sentence]))
            torch.testing.assert_close(alone.mean[0], whole.mean[b])
        assert all(torch.equal(kept[name], value) for name, value in model.state_dict().items())
        half = model.encoder(tiny.batch(SENTENCES[:6]), masks())
    assert not torch.allclose(half.mean, trained.mean[:6])


def test_a_batch_of_one_sentence_uses_the_running_statistics_and_leaves_them():
    model = model_of()
    assert model.encoder is not None
    model.encoder(tiny.batch(SENTENCES), masks())
    kept = {name: value.clone() for name, value in model.state_dict().items()}
    one = model.encoder(tiny.batch(SENTENCES[:1]), masks())
    assert torch.equal(one.mean, model.encoder(tiny.batch(SENTENCES[:1])).mean)
    one.kl().sum().backward()
    assert model.encoder.to_mean.weight.grad.abs().max() > 0
    assert all(torch.equal(kept[name], value) for name, value in model.state_dict().items())


def test_only_the_shift_is_trained_and_the_statistics_are_in_the_state():
    plain, normed = model_of(0.0), model_of(0.6)
    names = {name for name, _ in normed.named_parameters()} - {name for name, _ in plain.named_parameters()}
    assert names == {"encoder.mean_norm.bias"}
    assert normed.state_dict().keys() - plain.state_dict().keys() == names | {
        "encoder.mean_norm.running_mean", "encoder.mean_norm.running_variance",
    }  # fmt: skip
    config = tiny.config(mu_batch_norm=0.6)
    count = sum(p.numel() for p in tiny.double_model(config, CLASSES).parameters())
    assert count == parameter_count(config, CLASSES)
    dtypes = {value.dtype for value in TextModel(config, CLASSES).state_dict().values()}
    assert dtypes == {torch.float32}
