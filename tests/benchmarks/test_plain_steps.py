"""The baselines of systems with a longer step of training compute the same numbers as our steps."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from speed import ours, plain_aggressive, plain_systems
from speed.cases import ENCODER_UPDATES, Case
from speed.measure import synthetic_text

from lvae_core import rng
from lvae_core.config import RunConfig
from lvae_core.data.batches import collate, epoch_order
from lvae_core.data.corpus import Corpus, Split
from lvae_core.data.vocabulary import Vocabulary
from lvae_core.model.text_model import TextModel
from lvae_core.training.optimisation.objective import objective
from lvae_core.training.optimisation.parts import make_learner
from lvae_core.training.optimisation.step import Moment

from .test_core_speed import renamed
from .test_plain_systems import B, V, noise_of, small

SETTINGS = pytest.mark.parametrize("setting", ["standard", "inputless"])


def text_of(config: RunConfig) -> Split:
    case = Case(name="small", config=config, num_classes=V, lengths=(5,), baseline="small")
    return synthetic_text(case)


def with_parameters_of(model: TextModel, config: RunConfig) -> plain_systems.PlainModel:
    """Return the plain model with the parameters of ours."""
    plain = plain_systems.plain_model(config, V).to(next(model.parameters()).dtype)
    for name, parameter in plain.named_parameters():
        parameter.data.copy_(model.get_parameter(renamed(name)))
    assert len(list(plain.parameters())) == len(list(model.parameters()))
    return plain


def give_noise(noise: Iterator[torch.Tensor], monkeypatch) -> None:
    monkeypatch.setattr(torch, "randn_like", lambda like: next(noise).to(like.dtype))


@SETTINGS
@pytest.mark.parametrize(
    "clipping",
    [
        {"sa_clip": "none"},
        {"sa_clip": "consistent", "svi_max_grad_norm": 1e-2},
        {"sa_clip": "per_sentence"},
        {"sa_clip": "per_sentence", "svi_max_grad_norm": 1e-2},
        {"svi_max_sentence_norm": 0.0},
        {"svi_max_sentence_norm": 0.1},
    ],
)
def test_the_semi_amortised_baseline_has_our_loss_and_gradients(clipping, setting, monkeypatch):
    # In float64, where our differences of gradients have six digits. A step so large that the way back
    # contributes to every gradient.
    fields = {"svi_steps": 3, "svi_step_size": 8.0, "setting": setting, **clipping}
    config = small("sa-vae", 2, **fields)
    model = TextModel(config, V).double()
    plain = with_parameters_of(model, config)
    size, seed = (1, B, config.latent_size), config.seed
    steps = [rng.normal(seed, "latent", 0, "inference", k, size=size)[0] for k in range(3)]
    give_noise(iter([*steps, *noise_of(config, config.latent_size)]), monkeypatch)
    batch = collate(text_of(config), np.arange(B))
    found = plain.differentiate(batch.words, config.num_samples, kl_weight=0.7)
    loss = objective(model, batch, config, kl_weight=0.7, step=0).loss
    loss.backward()
    torch.testing.assert_close(found, loss.detach())
    for name, parameter in plain.named_parameters():
        grad = model.get_parameter(renamed(name)).grad.to_dense()
        torch.testing.assert_close(parameter.grad, grad, rtol=1e-5, atol=1e-8)


@SETTINGS
def test_the_aggressive_baseline_moves_the_parameters_as_our_step_does(setting, monkeypatch):
    config = replace(small("lstm-vae-ain", setting=setting), learning_rate=0.3, max_grad_norm=0.5)
    split = text_of(config)
    corpus = Corpus("small", Vocabulary(tuple(map(str, range(V))), None), split, split, split, "", ())
    learner = make_learner(config, corpus, "cpu")
    learner.model.double()
    plain = with_parameters_of(learner.model, config)
    # The only batch of the epoch, so that both draw it each time.
    batch = collate(split, epoch_order(split.lengths, B, config.batching, config.seed, 0)[0])
    numbers = [*([update] for update in range(1, ENCODER_UPDATES + 1)), []]
    size = (B, config.latent_size)
    give_noise((rng.normal(config.seed, "latent", 0, *n, size=size) for n in numbers), monkeypatch)
    before = [parameter.detach().clone() for parameter in plain.parameters()]
    memory = {}
    terms = ours.FixedAggressiveStep().take(learner, batch, Moment(0, 1.0, 0.3), memory)
    step = plain_aggressive.training(config, V, [batch.words], lambda *_: plain)
    torch.testing.assert_close(step(), terms.loss)
    assert memory == {"steps": 1, "updates": ENCODER_UPDATES}
    for (name, parameter), old in zip(plain.named_parameters(), before, strict=True):
        own = learner.model.get_parameter(renamed(name))
        torch.testing.assert_close(parameter, own, rtol=1e-9, atol=1e-11)
        assert not torch.equal(parameter, old)


@pytest.mark.parametrize(
    "config", [small("sa-vae", svi_steps=2), small("lstm-vae-ain")], ids=lambda c: c.system
)
def test_a_pass_takes_the_step_that_the_config_names(config, monkeypatch):
    passes = []
    forward = torch.nn.functional.cross_entropy
    monkeypatch.setattr(
        torch.nn.functional, "cross_entropy", lambda *a, **k: passes.append(1) or forward(*a, **k)
    )
    batches = [collate(text_of(config), np.arange(B)).words]
    plain_systems.training(config, V, batches)()
    assert len(passes) == (3 if config.system == "sa-vae" else ENCODER_UPDATES + 1)
