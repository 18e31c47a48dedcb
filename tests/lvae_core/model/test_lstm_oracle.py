"""LSTM encoder and decoder against hand-written loops in float64, value by value."""

import pytest
import torch

from .. import tiny
from ..oracles import hand_model

CLASSES = 7
SENTENCES = [[3, 1, 5, 0], [0], [2, 2, 6, 4, 1, 3, 0], [6, 0]]


def assert_same(actual: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(actual, expected, rtol=1e-10, atol=1e-11)


@pytest.fixture(autouse=True)
def _no_gradients():
    with torch.no_grad():
        yield


def latent_systems():
    return [
        pytest.param(system, setting, fields, id=f"{system}-{setting}-{'-'.join(fields) or 'plain'}")
        for system in ("lstm-vae", "lstm-vae-avg")
        for setting in tiny.SETTINGS
        for fields in ({}, {"linear_bias": True}, {"share_embeddings": True})
        # Inputless decoders have no embedding that could be shared.
        if not ("share_embeddings" in fields and setting == "inputless")
    ]


@pytest.mark.parametrize(("system", "setting", "fields"), latent_systems())
def test_posterior_and_likelihood_equal_the_hand_written_loops(system, setting, fields):
    L, S, Z = 3, 2, 2
    config = tiny.config(system, setting=setting, num_samples=L, init_scale=0.9, **fields)
    model = tiny.double_model(config, CLASSES)
    p = tiny.parameters(model)
    share = "share_embeddings" in fields
    batch = tiny.batch(SENTENCES)

    q = model.encoder(batch)
    G = L if system == "lstm-vae-avg" else 1
    z = torch.randn(S, G, len(SENTENCES), Z, dtype=torch.float64, generator=torch.manual_seed(1))
    actual = model.log_likelihood(batch, z)

    for b, words in enumerate(SENTENCES):
        mean, log_variance = hand_model.posterior(p, words, share=share)
        assert_same(q.mean[b], mean)
        assert_same(q.log_variance[b], log_variance)
        assert_same(q.kl()[b], hand_model.kl(mean, log_variance))
        for s in range(S):
            value = hand_model.log_p_averaged(p, words, list(z[s, :, b]), hide=setting == "inputless")
            assert_same(actual[s, b], value)


@pytest.mark.parametrize("setting", tiny.SETTINGS)
def test_the_likelihood_of_a_language_model_equals_the_hand_written_loop(setting):
    config = tiny.config("lstm-lm", setting=setting, init_scale=0.9)
    model = tiny.double_model(config, CLASSES)
    p = tiny.parameters(model)
    actual = model.log_likelihood(tiny.batch(SENTENCES), None)
    assert actual.shape == (1, len(SENTENCES))
    for b, words in enumerate(SENTENCES):
        hide = setting == "inputless"
        assert_same(actual[0, b], hand_model.log_p(p, hand_model.states(p, words, None, hide=hide), words))


@pytest.mark.parametrize("setting", tiny.SETTINGS)
def test_a_decoder_that_starts_from_its_cell_equals_the_loop(setting):
    config = tiny.config(setting=setting, init_scale=0.9, decoder_start="c0_linear_h0_tanh")
    model = tiny.double_model(config, CLASSES)
    p = tiny.parameters(model)
    z = torch.randn(2, 1, len(SENTENCES), 2, dtype=torch.float64, generator=torch.manual_seed(2))
    actual = model.log_likelihood(tiny.batch(SENTENCES), z)
    for b, words in enumerate(SENTENCES):
        for s in range(2):
            hidden = hand_model.states(p, words, z[s, 0, b], hide=setting == "inputless", from_cell=True)
            assert_same(actual[s, b], hand_model.log_p(p, hidden, words))


@pytest.mark.parametrize("system", tiny.SYSTEMS)
def test_padding_changes_no_likelihood_and_no_posterior(system):
    model = tiny.double_model(tiny.config(system, init_scale=0.9), CLASSES)
    z = None
    if system != "lstm-lm":
        z = torch.randn(2, 2, len(SENTENCES), 2, dtype=torch.float64, generator=torch.manual_seed(2))
    zeros, others = tiny.batch(SENTENCES, pad=0), tiny.batch(SENTENCES, pad=4)
    assert torch.equal(model.log_likelihood(zeros, z), model.log_likelihood(others, z))
    if model.encoder is not None:
        assert torch.equal(model.encoder(zeros).mean, model.encoder(others).mean)


def test_probabilities_of_short_sentences_and_unfinished_prefixes_sum_to_one():
    # Sum over every sentence of up to 5 tokens over 3 classes; the rest is the mass of longer sentences.
    def of_length(n: int) -> list[list[int]]:
        bodies = [[]]
        for _ in range(n - 1):
            bodies = [[*body, w] for body in bodies for w in (1, 2)]
        return [[*body, 0] for body in bodies]

    model = tiny.double_model(tiny.config(init_scale=0.9), 3)
    z = torch.tensor([0.7, -1.2], dtype=torch.float64)
    open_ends = 1.0
    for n in range(1, 6):
        group = of_length(n)
        nodes = z.expand(1, 1, len(group), 2)
        mass = float(model.log_likelihood(tiny.batch(group), nodes).exp().sum())
        assert 0 < mass < open_ends
        open_ends -= mass
    # The same rest, computed as the mass of all unfinished prefixes of 5 tokens.
    p = tiny.parameters(model)
    survivors = 0.0
    for words in of_length(6):
        body = words[:-1]
        path = hand_model.states(p, [*body, 0], z, hide=False)[: len(body)]
        survivors += float(torch.exp(hand_model.log_p(p, path, body)))
    assert open_ends == pytest.approx(survivors, rel=1e-10)


@pytest.mark.parametrize("system", tiny.SYSTEMS)
@pytest.mark.parametrize("setting", tiny.SETTINGS)
def test_generation_steps_give_the_states_of_training(system, setting):
    model = tiny.double_model(tiny.config(system, setting=setting, init_scale=0.9), CLASSES)
    words = [3, 1, 5, 0]
    inputs = torch.tensor([[model.start_id, *words[:-1]]])
    z = None if system == "lstm-lm" else torch.tensor([[0.3, -0.8]], dtype=torch.float64)
    at_once = model.decoder(inputs, None if z is None else z.unsqueeze(0), None)[0, 0]
    state = model.decoder.start(z, 1)
    for t, word in enumerate(inputs[0]):
        hidden, state = model.decoder.step(word[None], z, state)
        assert_same(hidden[0], at_once[t])


def test_a_shared_embedding_is_one_parameter():
    shared = tiny.double_model(tiny.config(share_embeddings=True), CLASSES)
    apart = tiny.double_model(tiny.config(share_embeddings=False), CLASSES)
    D = tiny.SIZES["embedding_size"]
    count = {name: sum(p.numel() for p in m.parameters()) for name, m in (("s", shared), ("a", apart))}
    assert count["a"] - count["s"] == CLASSES * D  # the encoder's separate table, which has no <s>
    assert shared.encoder.embedding is shared.decoder.embedding


@pytest.mark.parametrize(
    ("system", "setting", "expected"),
    [
        # D = 3, H = 5, Z = 2, V = 7: an LSTM of n inputs has 4 H (n + H + 2) weights.
        ("lstm-lm", "standard", 8 * 3 + 20 * (3 + 5 + 2) + 7 * 5),
        ("lstm-lm", "inputless", 3 + 20 * (3 + 5 + 2) + 7 * 5),
        (
            "lstm-vae",
            "standard",
            8 * 3 + 20 * (5 + 5 + 2) + 7 * 5 + 5 * 2 + 7 * 3 + 20 * (3 + 5 + 2) + 2 * 2 * 5,
        ),
        (
            "lstm-vae-avg",
            "inputless",
            3 + 20 * (5 + 5 + 2) + 7 * 5 + 5 * 2 + 7 * 3 + 20 * (3 + 5 + 2) + 2 * 2 * 5,
        ),
    ],
)
def test_the_number_of_parameters_agrees_with_a_count_by_hand(system, setting, expected):
    model = tiny.double_model(tiny.config(system, setting=setting), CLASSES)
    assert sum(p.numel() for p in model.parameters()) == expected


def test_initial_parameters_are_uniform_and_depend_on_the_seed_only():
    sizes = {"embedding_size": 40, "hidden_size": 60, "latent_size": 8, "init_scale": 0.1}
    states = [tiny.double_model(tiny.config(seed=seed, **sizes), 50).state_dict() for seed in (3, 3, 4)]
    for name, value in states[0].items():
        assert torch.equal(value, states[1][name]), name
        assert not torch.equal(value, states[2][name]), name
    flat = torch.cat([value.flatten() for value in states[0].values()])
    n = len(flat)
    assert float(flat.abs().max()) <= 0.1
    # U(-a, a): mean 0 with variance a²/3, fourth moment a⁴/5.
    variance = 0.1**2 / 3
    assert abs(float(flat.mean())) < 5 * (variance / n) ** 0.5
    spread = ((0.1**4 / 5 - variance**2) / n) ** 0.5
    assert abs(float(flat.square().mean()) - variance) < 5 * spread
    # Every parameter has its own stream: no two start with the same numbers.
    starts = [tuple(value.flatten()[:4].tolist()) for value in states[0].values()]
    assert len(set(starts)) == len(starts)


@pytest.mark.parametrize("setting", tiny.SETTINGS)
def test_word_embeddings_may_start_with_another_scale(setting):
    sizes = {"embedding_size": 40, "hidden_size": 60, "latent_size": 8, "setting": setting}
    config = tiny.config(init_scale=0.01, embedding_init_scale=0.1, **sizes)
    largest = {name: float(p.abs().max()) for name, p in tiny.double_model(config, 50).named_parameters()}
    embeddings = {"encoder.embedding.weight"}
    embeddings |= {"decoder.hidden_word" if setting == "inputless" else "decoder.embedding.weight"}
    for name, value in largest.items():
        scale = 0.1 if name in embeddings else 0.01
        assert 0.8 * scale < value <= scale, name
    same = tiny.double_model(tiny.config(embedding_init_scale=0.1, **sizes), 50).state_dict()
    for name, value in tiny.double_model(tiny.config(**sizes), 50).state_dict().items():
        assert torch.equal(same[name], value)


def test_building_a_model_does_not_change_global_random_state():
    before = torch.random.get_rng_state()
    tiny.double_model(tiny.config(), CLASSES)
    assert torch.equal(before, torch.random.get_rng_state())
