"""The conformance suite of decoders: every one that is registered in ``DECODERS``, and their variants."""

import pytest
import torch

from lvae_core.model import counts
from lvae_core.model.contracts import Decoder
from lvae_core.model.layers.embedding import Embedding
from lvae_core.model.parts import DECODERS

from .. import tiny

V, T, Z = 7, 9, 3
INPUTS = torch.tensor([[V, 3, 1, 5, 2, 6, 4, 1, 3], [V, 2, 2, 6, 4, 1, 3, 5, 5]])
B = len(INPUTS)

VARIANTS = {"lstm from its cell": {"decoder": "lstm", "decoder_start": "c0_linear_h0_tanh"}}
"""Further decoders: fields other than the name of one that is registered."""


def config_of(name: str, *, latent: bool = True, **fields):
    system = "lstm-vae" if latent else "lstm-lm"
    small = {"cnn_channels": 4, "cnn_external": 6, "cnn_dilations": "1,2,1"}
    chosen = VARIANTS.get(name, {"decoder": name})
    return tiny.config(system, latent_size=Z, hidden_size=6, **small, **chosen, **fields)


def decoder_of(name: str, *, setting: str = "standard", latent: bool = True, **fields) -> Decoder:
    config = config_of(name, latent=latent, setting=setting, **fields)
    torch.manual_seed(0)
    embedding = None if setting == "inputless" else Embedding(V + 1, config.embedding_size)
    decoder = DECODERS[config.decoder](config, embedding)
    for parameter in decoder.parameters():
        torch.nn.init.uniform_(parameter, -0.8, 0.8)
    return decoder.requires_grad_(False).double()


def latents(count: int = 2, seed: int = 3) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, B, Z, dtype=torch.float64, generator=generator)


def assert_close(a: torch.Tensor, b: torch.Tensor) -> None:
    torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-11)


@pytest.fixture(params=[*DECODERS, *VARIANTS])
def name(request) -> str:
    return request.param


def test_parameters_are_counted_without_torch_under_the_same_name(name):
    assert counts.DECODERS.keys() == DECODERS.keys()
    for latent in (True, False):
        for fields in ({}, {"setting": "inputless"}, {"word_dropout": 0.2}, {"linear_bias": True}):
            config = config_of(name, latent=latent, **fields)
            table = None if "setting" in fields else Embedding(V + 1, config.embedding_size)
            decoder = DECODERS[config.decoder](config, table)
            found = counts.DECODERS[config.decoder](config)
            parameters = [
                p.numel() for key, p in decoder.named_parameters() if not key.startswith("embedding")
            ]
            assert found.parameters == sum(parameters)
            assert found.output_size == decoder.output_size
            assert found.operations > 0


def test_states_have_the_shape_in_the_contract(name):
    decoder = decoder_of(name)
    assert decoder(INPUTS, latents(), None).shape == (2, B, T, decoder.output_size)
    alone = decoder_of(name, latent=False)
    assert alone(INPUTS, None, None).shape == (1, B, T, alone.output_size)


@pytest.mark.parametrize("setting", tiny.SETTINGS)
@pytest.mark.parametrize("latent", [True, False])
def test_decoding_word_by_word_gives_the_states_of_the_whole_sentence(name, setting, latent):
    decoder = decoder_of(name, setting=setting, latent=latent)
    z = latents(1) if latent else None
    whole = decoder(INPUTS, z, None)[0]
    rows = z[0] if z is not None else None
    state = decoder.start(rows, B)
    for t in range(T):
        hidden, state = decoder.step(INPUTS[:, t], rows, state)
        assert_close(hidden, whole[:, t])


def test_states_do_not_depend_on_later_words(name):
    decoder, z = decoder_of(name), latents()
    before = decoder(INPUTS, z, None)
    for t in range(1, T):
        changed = INPUTS.clone()
        changed[:, t:] = 1 + (changed[:, t:] % (V - 1))
        after = decoder(changed, z, None)
        assert_close(after[:, :, :t], before[:, :, :t])
        assert not torch.allclose(after[:, :, t], before[:, :, t])


def test_padding_changes_no_earlier_state(name):
    decoder, z = decoder_of(name), latents()
    short = decoder(INPUTS[:, :4], z, None)
    assert_close(decoder(INPUTS, z, None)[:, :, :4], short)


@pytest.mark.parametrize("setting", tiny.SETTINGS)
def test_every_state_depends_on_every_dimension_of_z(name, setting):
    decoder = decoder_of(name, setting=setting)
    before = decoder(INPUTS, latents(), None)
    for k in range(Z):
        z = latents()
        z[..., k] += 0.5
        after = decoder(INPUTS, z, None)
        assert ((after - before).abs().amax(-1) > 1e-9).all(), f"dimension {k}"


def test_inputless_states_do_not_depend_on_the_words(name):
    decoder = decoder_of(name, setting="inputless")
    others = torch.where(INPUTS == V, INPUTS, 1 + INPUTS % (V - 1))
    assert torch.equal(decoder(INPUTS, latents(), None), decoder(others, latents(), None))


def test_draws_and_sentences_of_a_batch_are_independent(name):
    decoder, z = decoder_of(name), latents()
    both = decoder(INPUTS, z, None)
    for n in range(2):
        for b in range(B):
            alone = decoder(INPUTS[b : b + 1], z[n : n + 1, b : b + 1], None)
            assert_close(alone[0, 0], both[n, b])


def test_selected_rows_continue_like_the_original_rows(name):
    decoder, z = decoder_of(name), latents(1)[0]
    state = decoder.start(z, B)
    for t in range(3):
        _, state = decoder.step(INPUTS[:, t], z, state)
    chosen = torch.tensor([1, 0, 1])
    picked = decoder.select(state, chosen)
    whole, _ = decoder.step(INPUTS[:, 3], z, state)
    some, _ = decoder.step(INPUTS[chosen, 3], z[chosen], picked)
    assert_close(some, whole[chosen])


def test_every_parameter_has_a_gradient(name):
    config = config_of(name, dropout=0.0)
    model = tiny.double_model(config, V)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.uniform_(-0.8, 0.8, generator=torch.Generator().manual_seed(parameter.numel()))
    batch = tiny.batch([[3, 1, 5, 0], [2, 2, 6, 4, 1, 3, 0]])
    z = latents(1).unsqueeze(1)  # (S, G, B, Z)
    model.mean_nll(batch, z, None).backward()
    for key, parameter in model.decoder.named_parameters():
        assert parameter.grad is not None, key
        assert float(parameter.grad.to_dense().abs().max()) > 1e-9, key


def test_draws_share_word_dropout_and_a_seed_determines_the_masks(name):
    # The CNN's own dropout is no mask of words, and each draw has its own.
    decoder = decoder_of(name, dropout=0.5, cnn_dropout=0.0, word_dropout=0.3)
    same = latents(1).expand(2, -1, -1)

    def states(seed: int) -> torch.Tensor:
        return decoder(INPUTS, same, torch.Generator().manual_seed(seed))

    first = states(1)
    assert torch.equal(first[0], first[1])
    assert torch.equal(states(1), first)
    assert not torch.equal(states(2), first)
    assert not torch.equal(decoder(INPUTS, same, None), first)
