"""The topics model: probabilities sum to one, the entropy is known, and the splits are fixed."""

import itertools
import math

import pytest

from lvae_core.data.corpus import load
from lvae_core.data.sources import topics

SHA256 = {
    "train": "9d9a29138732fb2c89557695aa3dab5ceb52962d8ddd3b035e57833e8d9664bc",
    "valid": "a50685714e624256a5f79e1d5b30a6552cb8204917ca360dc517654bfc03b851",
    "test": "56ee90584ac6e2638b57ced156ff175c814d15c80a187c53cc604dd0c6622ef4",
}
WORDS = [word for topic in topics.TOPICS for word in topic]


def test_probabilities_of_all_sentences_of_three_words_sum_to_one() -> None:
    log_likelihoods = [topics.log_likelihood(x) for x in itertools.product(WORDS, repeat=3)]
    assert math.fsum(map(math.exp, log_likelihoods)) == pytest.approx(1.0, abs=1e-12)
    assert sum(v > -math.inf for v in log_likelihoods) == 8 * 4**3


def test_no_word_belongs_to_two_topics() -> None:
    assert len(set(WORDS)) == len(WORDS) == 32


@pytest.mark.parametrize(
    "words", [[], ["apple"] * 2, ["apple"] * 4, ["apple", "fox", "pear"], ["apple", "x", "pear"]]
)
def test_impossible_sentences_have_probability_zero(words: list[str]) -> None:
    assert topics.log_likelihood(words) == -math.inf


@pytest.mark.parametrize("split", SHA256)
def test_the_splits_have_fixed_sentences(split: str) -> None:
    text = topics.read(split)
    assert text.sha256 == SHA256[split]
    assert len(text.lines) == {"train": 8000, "valid": 1000, "test": 1000}[split]


def test_a_corpus_knows_the_true_nll_of_its_test_split() -> None:
    assert load("topics").true_nll == pytest.approx(math.log(8) + 3 * math.log(4), rel=1e-14)
    assert load("pydocs").true_nll is None
    # With an unknown word the sentences are other ones, of another probability.
    assert load("toy").true_nll is not None
    assert load("toy", max_vocabulary=6).true_nll is None
