"""The conformance suite of inferences: every one that is registered in ``INFERENCES`` must pass it."""

import pytest
import torch

from lvae_core.model.noise import BatchNoise, SentenceNoise
from lvae_core.model.parts import INFERENCES
from lvae_core.rng import Key, torch_generator

from .. import tiny

V = 7
SENTENCES = [[3, 1, 5, 0], [0], [2, 2, 6, 4, 1, 3, 0], [6, 0]]
PLACES = (0, 1, 2, 3)


@pytest.fixture(params=INFERENCES)
def model(request):
    config = tiny.config(inference=request.param, latent_size=3, dropout=0.5, dropout_encoder=True)
    return tiny.double_model(config, V)


def noise_of(model, places=PLACES) -> SentenceNoise:
    keys = [Key(0, "evaluation", ("test", int(place))) for place in places]
    return SentenceNoise(model.posterior, model.latent_size, keys)


def infer(model, sentences=SENTENCES, places=PLACES):
    with torch.no_grad():
        return model.infer(tiny.batch(sentences), noise=noise_of(model, places))


def test_every_sentence_gets_a_finite_posterior(model):
    assert infer(model).mean.shape == (len(SENTENCES), 3)
    assert bool(torch.isfinite(infer(model).kl()).all())


def test_a_posterior_does_not_depend_on_the_other_sentences_of_the_batch(model):
    together = infer(model)
    order = [2, 0, 3, 1]
    shuffled = infer(model, [SENTENCES[i] for i in order], order)
    for name, value in together.parameters.items():
        torch.testing.assert_close(shuffled.parameters[name], value[order], rtol=1e-9, atol=1e-10)
        for i, sentence in enumerate(SENTENCES):
            alone = infer(model, [sentence], [i])
            torch.testing.assert_close(alone.parameters[name][0], value[i], rtol=1e-9, atol=1e-10)


def test_inference_in_evaluation_leaves_gradients_and_modes_unchanged(model):
    q = infer(model)
    assert not q.mean.requires_grad
    assert torch.is_grad_enabled()
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_the_posterior_can_be_used_in_inference_mode(model):
    q = infer(model)
    with torch.inference_mode():
        z = q.sample(noise_of(model)(size=(2, 1)).double())
        assert model.log_likelihood(tiny.batch(SENTENCES), z).shape == (2, len(SENTENCES))


def test_the_same_noise_gives_the_same_posterior(model):
    first, again = infer(model), infer(model)
    for name, value in first.parameters.items():
        assert torch.equal(again.parameters[name], value)


def test_training_gives_every_parameter_the_same_gradient_each_time(model):
    batch = tiny.batch(SENTENCES)
    noise = BatchNoise(model.posterior, model.latent_size, Key(0, "latent", (5,)), len(SENTENCES))
    results = []
    for _ in range(2):
        masks = torch_generator(0, "dropout", 5)
        q = model.infer(batch, masks, noise=noise, kl_weight=0.5)
        z = q.sample(noise(size=(1, 1)).double())
        (model.mean_nll(batch, z, masks) + 0.5 * q.kl().mean()).backward()
        results.append([p.grad.to_dense() for p in model.parameters()])
        for name, parameter in model.named_parameters():
            assert float(parameter.grad.to_dense().abs().max()) > 0, name
            parameter.grad = None
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))
