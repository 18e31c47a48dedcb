"""The toy model: probabilities sum to one, log-likelihoods agree with hand computation, fixed splits."""

import math
from collections.abc import Iterator

import pytest

from lvae_core.data.sources import toy

SHA256 = {
    "train": "d74bffa82f0da1d304959cdfe9081f5d1f42c2b19e9838cbb8d396859c747411",
    "valid": "e3ac172d03d6bb621e0d6cfbe8049c709986fa3dd9de22bc5ea2a6be36f650c8",
    "test": "9bbcafbd9c227451158ee85995a099af55f199234f86c2382d31af5dfc8b9a0c",
}


def sentences(prefix: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield every sentence the model can produce: four first words, then steps of one to three places."""
    n = len(toy.WORDS)
    if len(prefix) >= 2:
        yield prefix
    if len(prefix) < 9:
        places = [(toy.WORDS.index(prefix[-1]) + s) % n for s in (1, 2, 3)] if prefix else range(4)
        for place in places:
            yield from sentences((*prefix, toy.WORDS[place]))


@pytest.fixture(scope="module")
def log_likelihoods() -> list[float]:
    return [toy.log_likelihood(sentence) for sentence in sentences()]


def test_probabilities_sum_to_one(log_likelihoods: list[float]) -> None:
    assert len(log_likelihoods) == 4 * sum(3**n for n in range(1, 9))
    assert math.fsum(map(math.exp, log_likelihoods)) == pytest.approx(1.0, abs=1e-12)


def test_the_mean_nll_of_the_samples_is_the_entropy_of_the_model(log_likelihoods: list[float]) -> None:
    moments = [math.fsum(math.exp(v) * (-v) ** k for v in log_likelihoods) for k in (1, 2)]
    nll = [-toy.log_likelihood(s) for split in SHA256 for s in toy.read(split).sentences()]
    error = math.sqrt((moments[1] - moments[0] ** 2) / len(nll))
    assert abs(sum(nll) / len(nll) - moments[0]) < 4 * error


def test_log_likelihoods_agree_with_computation_by_hand() -> None:
    # ash, one place on to bay; stop. Classes: prior, first word, step.
    by_class = 0.5 * 0.7 * 0.8 + 0.3 * 0.1 * 0.05 + 0.2 * 0.25 * 0.15
    assert toy.log_likelihood(["ash", "bay"]) == pytest.approx(math.log(by_class * 0.25), rel=1e-14)
    # One more step, of two places; the sentence did not stop at the first chance.
    by_class = 0.5 * 0.7 * 0.8 * 0.15 + 0.3 * 0.1 * 0.05 * 0.8 + 0.2 * 0.25 * 0.15 * 0.05
    expected = math.log(by_class * 0.75 * 0.25)
    assert toy.log_likelihood(["ash", "bay", "elm"]) == pytest.approx(expected, rel=1e-14)


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["ash"],
        ["ash"] * 2,
        ["rowan", "yew"],
        ["ash", "tree"],
        ["ash", "fir"],
        [toy.WORDS[i % 12] for i in range(10)],
    ],
)
def test_impossible_sentences_have_probability_zero(words: list[str]) -> None:
    assert toy.log_likelihood(words) == -math.inf


@pytest.mark.parametrize("split", SHA256)
def test_the_splits_have_fixed_sentences(split: str) -> None:
    text = toy.read(split)
    assert text.sha256 == SHA256[split]
    assert len(text.lines) == {"train": 400, "valid": 100, "test": 100}[split]
    assert {len(s) for s in text.sentences()} <= set(range(2, 10))
