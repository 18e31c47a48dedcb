"""The dilated CNN decoder against a float64 loop by hand, and what each state can see."""

import pytest
import torch

from lvae_core.errors import InputError
from lvae_core.model.cnn_decoder import CNNDecoder
from lvae_core.model.layers.embedding import Embedding

from .. import tiny

V, D, Z = 6, 2, 3
FAMILIES = {
    "SCNN": ("1,2,4", 15),
    "MCNN": ("1,2,4,8,16", 63),
    "LCNN": ("1,2,4,8,16,1,2,4,8,16", 125),
    "VLCNN": ("1,2,4,8,16,1,2,4,8,16,1,2,4,8,16", 187),
}
"""Name -> dilations and number of inputs that a state sees (Yang et al. 2017)."""


def decoder_of(dilations: str, *, latent: bool = True, setting: str = "standard") -> CNNDecoder:
    config = tiny.config(
        "lstm-vae" if latent else "lstm-lm", setting=setting, decoder="cnn", cnn_dilations=dilations,
        cnn_channels=3, cnn_external=5, embedding_size=D, latent_size=Z,
    )  # fmt: skip
    torch.manual_seed(1)
    decoder = CNNDecoder(config, None if setting == "inputless" else Embedding(V + 1, D))
    for parameter in decoder.parameters():
        # Positive numbers keep every ReLU open, so that every visible input has an influence.
        torch.nn.init.uniform_(parameter, 0.05, 0.3)
    return decoder.requires_grad_(False).double()


def words(T: int) -> torch.Tensor:
    return torch.randint(0, V, (1, T), generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize(("dilations", "field"), FAMILIES.values(), ids=FAMILIES)
def test_the_last_state_sees_exactly_the_receptive_field(dilations, field):
    T = field + 3
    decoder, inputs = decoder_of(dilations, latent=False), words(T)
    before = decoder(inputs, None, None)[0, 0, -1]
    for back, seen in ((field - 1, True), (field, False), (field + 1, False)):
        changed = inputs.clone()
        changed[0, T - 1 - back] = (changed[0, T - 1 - back] + 1) % V
        after = decoder(changed, None, None)[0, 0, -1]
        assert torch.equal(after, before) != seen, f"the input {back} steps before"


def by_hand(decoder: CNNDecoder, inputs: list[int], z: torch.Tensor) -> list[torch.Tensor]:
    """States of one sentence: loops over blocks, time and taps."""
    p = dict(decoder.named_parameters())
    a = p["from_latent.weight"] @ z + p["from_latent.bias"]
    x = [torch.cat([p["embedding.weight"][w], a]) for w in inputs]
    for number, block in enumerate(decoder.blocks):
        layers = ("reduce", "convolve", "expand")
        w = {f"{k}.{part}": p[f"blocks.{number}.{k}.{part}"] for k in layers for part in ("weight", "bias")}
        C = len(w["reduce.bias"])
        u = [torch.clamp(w["reduce.weight"] @ x_t + w["reduce.bias"], min=0) for x_t in x]
        following = []
        for t in range(len(x)):
            total = w["convolve.bias"].clone()
            for k in range(3):
                if t - k * block.dilation >= 0:
                    total += w["convolve.weight"][:, k * C : (k + 1) * C] @ u[t - k * block.dilation]
            v = torch.clamp(total, min=0)
            following.append(torch.clamp(x[t] + w["expand.weight"] @ v + w["expand.bias"], min=0))
        x = following
    return x


def test_states_equal_the_loop_by_hand():
    decoder = decoder_of("1,2,4")
    for parameter in decoder.parameters():
        torch.nn.init.uniform_(parameter, -0.8, 0.8)
    inputs = words(12)
    z = torch.randn(2, 1, Z, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    states = decoder(inputs, z, None)
    for n in range(2):
        expected = torch.stack(by_hand(decoder, inputs[0].tolist(), z[n, 0]))
        torch.testing.assert_close(states[n, 0], expected, rtol=1e-12, atol=1e-13)


def test_without_words_states_stop_changing_at_the_end_of_the_receptive_field():
    decoder = decoder_of("1,2,4", setting="inputless")
    z = torch.ones(1, 1, Z, dtype=torch.float64)
    states = decoder(words(20), z, None)[0, 0]
    # The zeros before the first word alone show the position; after 15 inputs the state sees none.
    assert torch.equal(states[15:], states[14].expand(5, -1))
    assert not torch.equal(states[13], states[14])


def test_deep_stacks_start_with_states_of_moderate_size():
    config = tiny.config(
        "lstm-vae", decoder="cnn", cnn_dilations=FAMILIES["VLCNN"][0], cnn_channels=64,
        cnn_external=128, embedding_size=64, dropout=0.0,
    )  # fmt: skip
    model = tiny.double_model(config, V)
    z = torch.randn(1, 1, config.latent_size, dtype=torch.float64)
    with torch.no_grad():
        largest = float(model.decoder(words(30), z, None).abs().max())
    assert 1e-3 < largest < 10


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"cnn_dilations": "1,0"}, "cnn_dilations = '1,0': must be positive whole numbers"),
        ({"cnn_dilations": "1,,2"}, "must be positive whole numbers"),
        ({"cnn_dilations": "1.5"}, "must be positive whole numbers"),
        ({"cnn_dilations": "-1"}, "must be positive whole numbers"),
        ({"decoder": "cnn", "cnn_external": 3}, "cnn_external = 3: must be above embedding_size, 3"),
    ],
)
def test_impossible_stacks_are_refused(fields, says):
    with pytest.raises(InputError, match=says):
        tiny.config(**fields)
