"""The baselines of further systems compute the same numbers as our models."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from speed.cases import Case
from speed.measure import synthetic_text
from speed.plain_systems import PlainVonMisesFisher, plain_model

from lvae_core import rng
from lvae_core.config import RunConfig
from lvae_core.data.batches import Batch, collate
from lvae_core.model.text_model import TextModel
from lvae_core.systems import recipe
from lvae_core.training.optimisation.objective import objective

from .test_core_speed import OURS as OF_LSTM

V, B = 23, 4
OF_CNN = {**OF_LSTM, "project": "decoder.project", "initial": "decoder.from_latent"}


def small(system: str, L: int = 1, **fields) -> RunConfig:
    sizes = {"embedding_size": 6, "hidden_size": 7, "latent_size": 4, "init_scale": 0.5, "batch_size": B}
    sizes |= {"cnn_external": 11, "cnn_channels": 5, "cnn_dilations": "1,2"}
    off = {"dropout": 0.0, "cnn_dropout": 0.0}
    return replace(recipe(system, num_samples=L), **(sizes | off | fields))


def batch_of(config: RunConfig) -> Batch:
    case = Case(name="small", config=config, num_classes=V, lengths=(5,), baseline="small")
    return collate(synthetic_text(case), np.arange(B))


def compare(plain, ours, config, batch) -> None:
    expected = plain.loss(batch.words, config.num_samples, kl_weight=0.7)
    loss = objective(ours, batch, config, kl_weight=0.7, step=0).loss
    torch.testing.assert_close(loss, expected)
    expected.backward()
    loss.backward()


def noise_of(config: RunConfig, size: int) -> torch.Tensor:
    return rng.normal(config.seed, "latent", 0, size=(config.num_samples, B, size))


def like(own: torch.Tensor, parameter: torch.Tensor) -> torch.Tensor:
    """One of our convolutions' weights in the shape of ``nn.Conv1d``; ours has the newest input first."""
    if parameter.dim() < 3:
        return own
    if parameter.shape[2] == 1:
        return own.unsqueeze(2)
    return own.view(len(own), parameter.shape[2], -1).flip(1).transpose(1, 2)


@pytest.mark.parametrize("setting", ["standard", "inputless"])
def test_the_von_mises_fisher_baseline_has_our_loss_and_gradients(setting, monkeypatch):
    config = small("lstm-vmf-vae", setting=setting)
    plain, ours = plain_model(config, V), TextModel(config, V)
    for name, parameter in plain.named_parameters():
        part, dot, rest = name.partition(".")
        parameter.data.copy_(ours.get_parameter(OF_LSTM[part] + dot + rest))
    assert len(list(plain.parameters())) == len(list(ours.parameters()))
    batch, noise = batch_of(config), noise_of(config, config.latent_size + 1)
    angle = ours.encoder(batch)._angle(noise)
    monkeypatch.setattr(PlainVonMisesFisher, "_cosine", lambda *_: angle[0].cos().float())
    monkeypatch.setattr(torch, "randn_like", lambda like: noise[0, :, :-1])
    compare(plain, ours, config, batch)
    torch.testing.assert_close(ours.encoder.to_mean.weight.grad, plain.to_mean.weight.grad)


def test_cosines_by_rejection_have_the_mean_of_the_distribution():
    torch.manual_seed(0)
    plain = plain_model(small("lstm-vmf-vae", latent_size=3, vmf_kappa=5.0), V)
    drawn = plain._cosine(20_000, 3, torch.device("cpu"))
    # In three dimensions the mean is coth κ - 1/κ, and the variance 1 - 2A/κ - A².
    mean = 1 / np.tanh(5.0) - 1 / 5.0
    error = np.sqrt((1 - 2 * mean / 5.0 - mean**2) / 20_000)
    assert abs(float(drawn.mean()) - mean) < 4 * error


@pytest.mark.parametrize("setting", ["standard", "inputless"])
def test_the_importance_weighted_baseline_has_our_loss_and_gradients(setting, monkeypatch):
    config = small("lstm-iwae", 3, encoder_gradient="reparameterised", setting=setting)
    plain, ours = plain_model(config, V), TextModel(config, V)
    for name, parameter in plain.named_parameters():
        part, dot, rest = name.partition(".")
        parameter.data.copy_(ours.get_parameter(OF_LSTM[part] + dot + rest))
    noise = iter(noise_of(config, config.latent_size))
    monkeypatch.setattr(torch, "randn_like", lambda like: next(noise))
    compare(plain, ours, config, batch_of(config))
    for name, parameter in plain.named_parameters():
        part, dot, rest = name.partition(".")
        grad = ours.get_parameter(OF_LSTM[part] + dot + rest).grad.to_dense()
        torch.testing.assert_close(grad, parameter.grad, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("setting", ["standard", "inputless"])
@pytest.mark.parametrize("system", ["cnn-lm", "cnn-vae"])
def test_the_convolutional_baseline_has_our_loss_and_gradients(system, setting, monkeypatch):
    config = small(system, setting=setting)
    plain, ours = plain_model(config, V), TextModel(config, V)
    weights = dict(ours.named_parameters())
    pairs = []
    for name, parameter in plain.named_parameters():
        part, _, rest = name.partition(".")
        if part == "blocks":
            number, layer, kind = rest.split(".")
            own = weights[f"decoder.blocks.{number}.{('reduce', 'convolve', 'expand')[int(layer)]}.{kind}"]
        else:
            own = weights[".".join(filter(None, (OF_CNN[part], rest)))]
        parameter.data.copy_(like(own, parameter))
        pairs.append((parameter, own))
    assert len(pairs) == len(weights)
    noise = iter(noise_of(config, config.latent_size))
    monkeypatch.setattr(torch, "randn_like", lambda like: next(noise))
    compare(plain, ours, config, batch_of(config))
    for parameter, own in pairs:
        found = like(own.grad.to_dense(), parameter)
        torch.testing.assert_close(found, parameter.grad, rtol=1e-4, atol=1e-6)
