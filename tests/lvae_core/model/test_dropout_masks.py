"""Which tensors are dropped out in training, and which samples share a mask."""

import pytest
import torch

from lvae_core import rng
from lvae_core.model.layers.embedding import Embedding
from lvae_core.model.layers.softmax import Softmax
from lvae_core.model.parts import DECODERS

from .. import tiny

V = 7
WORDS = torch.randint(0, V, (40, 25), generator=torch.Generator().manual_seed(1))
SAMPLES = 3


@pytest.fixture(params=DECODERS)
def decoder_of(request):
    """Return a function from fields of a config to a decoder."""

    def make(**fields):
        small = {"cnn_channels": 4, "cnn_external": 6, "cnn_dilations": "1"}
        config = tiny.config("lstm-vae", decoder=request.param, **small, **fields)
        table = None if config.setting == "inputless" else Embedding(V + 1, config.embedding_size)
        decoder = DECODERS[config.decoder](config, table).requires_grad_(False)
        for parameter in decoder.parameters():
            parameter.uniform_(0.5, 1.0)  # far from 0, so that a 0 is a dropped number
        return decoder

    return make


def masks():
    return rng.torch_generator(0, "dropout", 1)


def read(decoder):
    return decoder.read(WORDS, masks(), SAMPLES)


def test_by_default_all_samples_read_words_under_one_mask(decoder_of):
    assert read(decoder_of(dropout=0.5)).shape == (1, *WORDS.shape, 3)
    assert decoder_of(dropout=0.5, shared_state_masks=True).read(WORDS, masks(), SAMPLES).shape[0] == 1


@pytest.mark.parametrize("setting", tiny.SETTINGS)
def test_samples_can_read_words_under_masks_of_their_own(decoder_of, setting):
    decoder = decoder_of(setting=setting, dropout=0.25, separate_word_masks=True)
    found = read(decoder)
    assert found.shape == (SAMPLES, *WORDS.shape, 3)
    kept = found != 0
    torch.testing.assert_close(found[kept], (decoder.embed(WORDS) / 0.75).expand_as(found)[kept])
    n = kept.numel()
    assert abs(float(kept.double().mean()) - 0.75) < 5 * (0.25 * 0.75 / n) ** 0.5
    both = float((kept[0] & kept[1]).double().mean())
    assert abs(both - 0.75**2) < 5 * (0.25 / (n / SAMPLES)) ** 0.5


def test_samples_of_their_own_masks_hide_words_of_their_own(decoder_of):
    decoder = decoder_of(dropout=0.0, word_dropout=0.3, separate_word_masks=True)
    hidden = (read(decoder) == decoder.hidden_word).all(-1)
    assert hidden.shape == (SAMPLES, *WORDS.shape)
    assert bool((hidden[0] != hidden[1]).any())


def test_without_masks_samples_read_the_same_words_once(decoder_of):
    decoder = decoder_of(dropout=0.5, separate_word_masks=True)
    assert torch.equal(decoder.read(WORDS, None, SAMPLES), decoder.embed(WORDS).unsqueeze(0))


def test_the_hidden_word_of_the_inputless_setting_can_be_kept_whole(decoder_of):
    decoder = decoder_of(setting="inputless", dropout=0.5, dropout_hidden_word=False)
    assert bool((read(decoder) == decoder.hidden_word).all())
    assert bool((read(decoder_of(setting="inputless", dropout=0.5)) == 0).any())


def test_the_hidden_word_under_word_dropout_can_be_kept_whole(decoder_of):
    whole = decoder_of(dropout=0.5, word_dropout=0.3, dropout_hidden_word=False)
    found = read(whole)
    hidden = (found == whole.hidden_word).all(-1)
    n = hidden.numel()
    assert abs(float(hidden.double().mean()) - 0.3) < 5 * (0.3 * 0.7 / n) ** 0.5
    assert not bool((found[hidden] == 0).any())
    assert abs(float((found[~hidden] == 0).double().mean()) - 0.5) < 5 * 0.5 / (3 * n * 0.7) ** 0.5
    dropped = read(decoder_of(dropout=0.5, word_dropout=0.3))
    assert abs(float((dropped == 0).double().mean()) - 0.5) < 5 * 0.5 / (3 * n) ** 0.5


def factors(monkeypatch, *, averaging: str, **fields) -> torch.Tensor:
    """Factors of dropout on the softmax's input for one z drawn L = 3 times, (S, words, H)."""
    config = tiny.config(
        f"lstm-vae{'-avg' if averaging == 'hidden' else ''}", num_samples=SAMPLES, dropout=0.5, **fields
    )
    model = tiny.double_model(config, V).requires_grad_(False)
    # What the words are read through must not differ, or the states would.
    model.decoder.dropout = 0.0
    batch = tiny.batch([[3, 1, 5, 2, 0], [2, 4, 0]] * 20)
    size = (config.draws, config.group, 40, config.latent_size)
    z = torch.ones(size, dtype=torch.float64)
    seen = []
    whole = Softmax.log_likelihood

    def spy(self, hidden, targets):
        seen.append(hidden)
        return whole(self, hidden, targets)

    monkeypatch.setattr(Softmax, "log_likelihood", spy)
    model.log_likelihood(batch, z, masks())
    return seen[0].view(config.draws, -1, config.hidden_size) / model.hidden(batch, z)


def test_by_default_each_sample_enters_the_softmax_under_a_mask_of_its_own(monkeypatch):
    found = factors(monkeypatch, averaging="loss")
    assert set(found.unique().tolist()) == {0.0, 2.0}
    assert abs(float((found[0] == found[1]).double().mean()) - 0.5) < 5 * 0.5 / found[0].numel() ** 0.5


def test_samples_can_share_the_mask_of_the_softmax(monkeypatch):
    found = factors(monkeypatch, averaging="loss", shared_state_masks=True)
    assert set(found.unique().tolist()) == {0.0, 2.0}
    assert torch.equal(found, found[:1].expand_as(found))


def thirds(found: torch.Tensor) -> set[int]:
    """The factors in thirds of 2, the steps that an average of three has."""
    return set((found * 1.5).round(decimals=9).unique().tolist())


def test_by_default_the_average_of_the_states_is_dropped_out(monkeypatch):
    assert thirds(factors(monkeypatch, averaging="hidden")) == {0, 3}


def test_each_state_can_be_dropped_out_before_the_average(monkeypatch):
    found = factors(monkeypatch, averaging="hidden", dropout_before_average=True)
    assert thirds(found) == {0, 1, 2, 3}
    assert abs(float(found.mean()) - 1) < 5 / (3 * found.numel()) ** 0.5


def test_one_mask_before_the_average_is_one_mask_on_the_average(monkeypatch):
    found = factors(monkeypatch, averaging="hidden", dropout_before_average=True, shared_state_masks=True)
    assert thirds(found) == {0, 3}


def test_a_language_model_keeps_its_one_mask():
    losses = []
    for fields in ({}, {"shared_state_masks": True}, {"separate_word_masks": True}):
        config = tiny.config("lstm-lm", dropout=0.5, **fields)
        model = tiny.double_model(config, V)
        losses.append(model.mean_nll(tiny.batch([[3, 1, 0], [2, 0]]), None, masks()).item())
    assert losses[0] == losses[1] == losses[2]
