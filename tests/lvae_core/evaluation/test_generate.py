"""Generation against enumeration: every sentence of a tiny model scored, nothing taken on trust."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from lvae_core import rng
from lvae_core.config import RunConfig
from lvae_core.data.batches import make_batch
from lvae_core.data.vocabulary import Vocabulary
from lvae_core.errors import InputError
from lvae_core.evaluation import generate
from lvae_core.evaluation.decoding import Decoding
from lvae_core.evaluation.generate import Trained
from lvae_core.model.noise import SentenceNoise
from lvae_core.model.text_model import TextModel

WORDS = ("</s>", "a", "b", "<unk>")
LENGTH = 4

BASE = RunConfig(
    dataset="toy", embedding_size=3, hidden_size=5, latent_size=2, init_scale=1.5, num_samples=1
)
SYSTEMS = {
    "lm": replace(BASE, encoder="none", averaging="none", num_samples=0),
    "loss": replace(BASE, num_samples=3),
    "semi": replace(BASE, inference="semi_amortised", svi_steps=3, svi_step_size=8.0),
    "hidden": replace(BASE, averaging="hidden", num_samples=3),
    "from the cell": replace(BASE, averaging="hidden", num_samples=2, decoder_start="c0_linear_h0_tanh"),
    "inputless": replace(BASE, averaging="hidden", num_samples=2, setting="inputless"),
}


@pytest.fixture(params=SYSTEMS)
def trained(request: pytest.FixtureRequest) -> Trained:
    return made(request.param)


def made(system: str, seed: int = 5) -> Trained:
    config = replace(SYSTEMS[system], seed=seed)
    model = TextModel(config, len(WORDS)).requires_grad_(False)
    return Trained(config, model, Vocabulary(WORDS, 3))


def score(trained: Trained, ids: list[int], z: torch.Tensor | None) -> float:
    """Log p of these words in this order, whether or not they end in </s>; z is (G, Z)."""
    batch = make_batch(torch.tensor([ids]), torch.tensor([len(ids)]), np.zeros(1, dtype=np.int64))
    latent = None if z is None else z.reshape(1, -1, 1, z.shape[-1])
    return float(trained.model.log_likelihood(batch, latent))


def latents(trained: Trained, count: int) -> torch.Tensor | None:
    if trained.model.encoder is None:
        return None
    generator = torch.Generator().manual_seed(1)
    return torch.randn(count, trained.config.group, 2, generator=generator)


def sentences() -> list[list[int]]:
    """Every sentence of at most LENGTH predicted tokens that ends in </s>."""
    return [
        [*words, 0]
        for length in range(LENGTH)
        for words in itertools.product(range(1, len(WORDS)), repeat=length)
    ]


def decoded(trained: Trained, z: torch.Tensor | None, count: int, **how: object) -> list[str]:
    decoding = Decoding(max_length=LENGTH, **how)  # type: ignore[arg-type]
    return generate._decode(trained, z, count, decoding, "test")


def test_a_beam_as_wide_as_the_tree_finds_the_best_sentence(trained: Trained) -> None:
    z = latents(trained, 6)
    found = decoded(trained, z, 6, method="beam", beam_width=len(WORDS) ** LENGTH)
    for n, sentence in enumerate(found):
        here = None if z is None else z[n]
        best = max(sentences(), key=lambda ids, here=here: score(trained, ids, here))  # type: ignore[misc]
        assert sentence == " ".join(trained.vocabulary.decode(best))


def test_greedy_takes_the_likeliest_next_word(trained: Trained) -> None:
    z = latents(trained, 6)
    for n, sentence in enumerate(decoded(trained, z, 6, method="greedy")):
        path: list[int] = []
        while len(path) < LENGTH and 0 not in path:
            here = None if z is None else z[n]
            path.append(max(range(len(WORDS)), key=lambda w: score(trained, [*path, w], here)))
        assert sentence == " ".join(trained.vocabulary.decode(path))


def test_a_beam_of_one_is_greedy(trained: Trained) -> None:
    z = latents(trained, 8)
    greedy = decoded(trained, z, 8, method="greedy")
    assert decoded(trained, z, 8, method="beam", beam_width=1) == greedy


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_samples_have_the_models_frequencies(temperature: float) -> None:
    trained, count = made("hidden"), 4000
    z = latents(trained, 1)
    assert z is not None
    found = decoded(
        trained, z.expand(count, -1, -1), count, method="sample", temperature=temperature, seed=3
    )
    first = [sentence.split()[0] if sentence else "</s>" for sentence in found]
    weights = [math.exp(score(trained, [w], z[0]) / temperature) for w in range(len(WORDS))]
    for word, weight in zip(WORDS, weights, strict=True):
        p = weight / sum(weights)
        assert abs(first.count(word) / count - p) < 4.5 * math.sqrt(p * (1 - p) / count)


def test_the_seed_chooses_the_samples_and_nothing_else_does() -> None:
    trained = made("loss")

    def sample(seed: int) -> list[str]:
        torch.manual_seed(seed)
        return generate.from_prior(trained, 20, Decoding(method="sample", seed=seed, max_length=9))

    assert sample(1) == sample(1)
    assert sample(1) != sample(2)


def test_greedy_from_the_prior_varies_with_z_and_a_language_model_cannot() -> None:
    greedy = Decoding(max_length=LENGTH)
    assert len(set(generate.from_prior(made("loss"), 30, greedy))) > 1
    assert len(set(generate.from_prior(made("lm"), 30, greedy))) == 1


def test_an_interpolation_runs_between_the_reconstructions_of_its_ends() -> None:
    trained, greedy = made("hidden"), Decoding(max_length=LENGTH)
    ends = generate.reconstruct(trained, ["a a b", "b"], greedy)
    line = generate.interpolate(trained, "a a b", "b", 5, greedy)
    assert [line[0], line[-1]] == ends
    assert len(line) == 5


def test_an_interpolation_on_a_sphere_follows_the_great_circle(monkeypatch: pytest.MonkeyPatch) -> None:
    config = replace(BASE, system="lstm-vmf-vae", posterior="von_mises_fisher", latent_size=3, seed=6)
    model = TextModel(config, len(WORDS)).requires_grad_(False)
    assert model.encoder is not None
    for weight in model.encoder.parameters():
        weight.mul_(3)  # so that the two means are far apart
    trained, seen = Trained(config, model, Vocabulary(WORDS, 3)), []
    decode = generate._decode
    monkeypatch.setattr(generate, "_decode", lambda t, z, *rest: (seen.append(z), decode(t, z, *rest))[1])
    generate.interpolate(trained, "a a b", "b", 5, Decoding(max_length=LENGTH))
    points = seen[0].squeeze(1).double()
    ends = generate.posterior(trained, ["a a b", "b"]).mean
    assert torch.equal(seen[0].squeeze(1)[[0, -1]], ends)
    whole = math.acos(float(points[0] @ points[-1]))
    assert whole > 0.5
    torch.testing.assert_close(points.norm(dim=-1), torch.ones(5, dtype=torch.double), atol=1e-6, rtol=0)
    steps = [math.acos(float(a @ b)) for a, b in itertools.pairwise(points)]
    assert steps == pytest.approx([whole / 4] * 4, abs=1e-3)


def test_blanks_between_words_do_not_change_a_posterior() -> None:
    trained = made("semi")
    once = generate.posterior(trained, ["a a b"]).mean
    assert torch.equal(generate.posterior(trained, [" a  a\tb "]).mean, once)
    # The key of the noise is the sentence itself if its words stand between single blanks.
    model, key = trained.model, rng.Key(trained.config.seed, "generation", ("posterior", "a a b"))
    batch = make_batch(torch.tensor([[1, 1, 2, 0]]), torch.tensor([4]), np.zeros(1, dtype=np.int64))
    with torch.no_grad():
        by_hand = model.infer(batch, noise=SentenceNoise(model.posterior, model.latent_size, [key]))
    assert torch.equal(by_hand.mean, once)


def test_a_posterior_does_not_see_the_padding_of_its_neighbours() -> None:
    trained = made("loss")
    alone = generate.posterior(trained, ["b"]).mean
    padded = generate.posterior(trained, ["b", "a b a b a"]).mean[:1]
    torch.testing.assert_close(alone, padded)


def test_unknown_words_become_the_unknown_word() -> None:
    trained = made("loss")
    assert generate.as_read(trained, "a zebra") == "a <unk>"
    torch.testing.assert_close(
        generate.posterior(trained, ["a zebra"]).mean, generate.posterior(trained, ["a <unk>"]).mean
    )


def test_unknown_words_are_named_and_known_ones_are_not(caplog: pytest.LogCaptureFixture) -> None:
    trained = made("loss")
    generate.reconstruct(trained, ["a b", "<unk> a"], Decoding())
    assert caplog.messages == []
    generate.interpolate(trained, "a zebra b gnu", "gnu", 2, Decoding())
    assert caplog.messages == ["not in the vocabulary, so read as the unknown word: zebra gnu"]


def test_a_no_break_space_inside_a_word_separates_no_words() -> None:
    before = made("loss")
    words = ("</s>", "a", "b\u00a0c", "<unk>")
    trained = Trained(before.config, before.model, Vocabulary(words, 3))
    assert generate.as_read(trained, " a  b\u00a0c\tb ") == "a b\u00a0c <unk>"
    torch.testing.assert_close(
        generate.posterior(trained, ["a b\u00a0c"]).mean, generate.posterior(before, ["a b"]).mean
    )


def test_no_sentences_have_no_reconstructions() -> None:
    assert generate.reconstruct(made("loss"), [], Decoding()) == []
    with pytest.raises(InputError, match="no latent variable"):
        generate.reconstruct(made("lm"), [], Decoding())


def test_impossible_requests_are_refused() -> None:
    with pytest.raises(InputError, match="no latent variable"):
        generate.reconstruct(made("lm"), ["a"], Decoding())
    with pytest.raises(InputError, match="two ends"):
        generate.interpolate(made("loss"), "a", "b", 1, Decoding())
    with pytest.raises(InputError, match="sentence ' ': has no word; give at least one"):
        generate.reconstruct(made("loss"), ["a", " "], Decoding())
    for wrong in (
        {"temperature": 0.0},
        {"temperature": 1e-320},
        {"beam_width": 0},
        {"max_length": 0},
        {"seed": -1},
    ):
        with pytest.raises(InputError, match=next(iter(wrong))):
            Decoding(**wrong)  # type: ignore[arg-type]
