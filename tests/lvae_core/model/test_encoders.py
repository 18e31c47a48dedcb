"""The contract of encoders, tested on every registered one."""

from typing import get_args

import pytest
import torch

from lvae_core.fields import choices
from lvae_core.model import counts
from lvae_core.model.contracts import Encoder
from lvae_core.model.layers.embedding import Embedding
from lvae_core.model.parts import DECODERS, ENCODERS, INFERENCES, POSTERIORS
from lvae_core.rng import torch_generator

from .. import tiny

V, Z = 7, 3
SENTENCES = [[3, 1, 5, 2, 0], [0], [2, 6, 2, 4, 1, 3, 0], [6, 0]]


@pytest.fixture(params=ENCODERS)
def name(request) -> str:
    return request.param


def config_of(name: str, **fields):
    return tiny.config(encoder=name, latent_size=Z, hidden_size=6, **fields)


def encoder_of(name: str, **fields) -> Encoder:
    config = config_of(name, **fields)
    torch.manual_seed(0)
    table = Embedding(V, config.embedding_size)
    encoder = ENCODERS[name](config, table, POSTERIORS[config.posterior].head(config))
    for parameter in encoder.parameters():
        torch.nn.init.uniform_(parameter, -0.8, 0.8)
    return encoder.requires_grad_(False).double()


def mean(encoder: Encoder, sentences=SENTENCES, **options) -> torch.Tensor:
    return encoder(tiny.batch(sentences, **options)).mean


def close(a: torch.Tensor, b: torch.Tensor) -> None:
    torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize(
    ("choice", "registry"),
    [(choices.Encoder, ["none", *ENCODERS]), (choices.Decoder, DECODERS),
     (choices.Posterior, POSTERIORS), (choices.Inference, INFERENCES)],
    ids=["encoder", "decoder", "posterior", "inference"],
)  # fmt: skip
def test_a_config_can_choose_every_registered_part_and_no_other(choice, registry):
    assert set(get_args(choice)) == set(registry)


def test_an_encoder_is_counted_without_torch_under_the_same_name(name):
    assert counts.ENCODERS.keys() == ENCODERS.keys()
    for fields in ({}, {"linear_bias": True}):
        config = config_of(name, **fields)
        found = counts.ENCODERS[name](config)
        parameters = sum(p.numel() for p in encoder_of(name, **fields).parameters())
        head = sum(p.numel() for p in POSTERIORS[config.posterior].head(config).parameters())
        assert found.parameters == parameters - head - V * config.embedding_size
        assert found.operations > 0


def test_a_posterior_does_not_depend_on_padding_or_on_the_batch(name):
    encoder = encoder_of(name)
    together = mean(encoder)
    close(mean(encoder, pad=5), together)
    for sentence, expected in zip(SENTENCES, together, strict=True):
        close(mean(encoder, [sentence])[0], expected)
    close(mean(encoder, SENTENCES[::-1]), together.flip(0))


def test_every_word_and_its_place_have_an_influence(name):
    encoder = encoder_of(name)
    sentence = [3, 1, 5, 2, 0]
    changed = [[*sentence[:t], 6, *sentence[t + 1 :]] for t in range(len(sentence) - 1)]
    means = mean(encoder, [sentence, *changed, [1, 3, 5, 2, 0], [3, 1, 2, 5, 0]])
    assert torch.cdist(means, means).add(torch.eye(len(means))).min() > 1e-6


def test_words_are_read_from_the_table_that_is_given(name):
    encoder = encoder_of(name)
    before = mean(encoder)
    assert isinstance(encoder.embedding, Embedding)
    encoder.embedding.weight += 0.1
    assert not torch.equal(mean(encoder), before)


def test_dropout_takes_its_masks_from_the_generator_alone(name):
    encoder = encoder_of(name, dropout=0.5, dropout_encoder=True)
    first, again, other = (
        encoder(tiny.batch(SENTENCES), torch_generator(0, "dropout", step)).mean for step in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert not torch.equal(first, mean(encoder))
    assert torch.equal(mean(encoder), mean(encoder))


def test_the_layers_of_the_head_go_by_their_own_names(name):
    config = config_of(name)
    head = {key for key, _ in POSTERIORS[config.posterior].head(config).named_parameters()}
    assert head < {key for key, _ in encoder_of(name).named_parameters()}
