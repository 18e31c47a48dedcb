"""The nats of single tokens add up to the test NLL that the run itself reports."""

from dataclasses import replace

import numpy as np
import pytest
from unknown_words import GROUPS, measure, token_groups, token_nats

from lvae_core import recipe, train
from lvae_core.data import datasets
from lvae_core.data.corpus import load_for
from lvae_core.data.spelling import Speller


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "mine"
    path.mkdir()
    texts = {"train": "a b a c\nb a\nb\n", "valid": "a new b\n", "test": "newer b a c\nb\n"}
    for split, text in texts.items():
        (path / f"{split}.txt").write_text(text)
    return path


def test_tokens_are_grouped_by_their_count_in_training(folder):
    assert [group.tolist() for group in token_groups(folder)] == [[0, 2, 2, 1, 2], [2, 2]]


@pytest.mark.parametrize("min_count", [1, 2])
def test_the_nats_of_the_tokens_add_up_to_the_reported_nll(folder, tmp_path, min_count):
    config = replace(
        recipe("lstm-lm", dataset=str(folder)), min_count=min_count, hidden_size=4, max_epochs=1
    )
    run = train(config, tmp_path / f"{min_count}-0")
    nats = token_nats(run.trained)
    assert nats.sum() / 2 == pytest.approx(run.estimates["nll"]["value"], rel=1e-5)
    classes, *means, share, total, spelled = measure(config, tmp_path, token_groups(folder))
    assert classes == (5 if min_count == 1 else 4)
    assert means[0] == pytest.approx(nats[0], rel=1e-6)
    assert means[1] == pytest.approx(nats[3], rel=1e-6)
    assert (share, total) == pytest.approx((nats[0] / nats.sum(), nats.sum() / 2))
    corpus = load_for(config, data_dir=None)
    q = Speller(corpus.vocabulary, datasets.read(str(folder), "train").sentences())
    sentences = list(datasets.read(str(folder), "test").sentences())
    unlisted = [q.nats(word) for words in sentences for word in corpus.vocabulary.unlisted(words)]
    characters = sum(len(" ".join(words)) + 1 for words in sentences)
    assert spelled == pytest.approx((nats.sum() + sum(unlisted)) / characters)
    assert np.isfinite(means).all()
    assert len(means) == len(GROUPS)
