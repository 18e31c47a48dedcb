"""A run learns the toy language, whose truth is known, and never beats it."""

import math
from functools import cache

import pytest
import torch

from lvae_core.data import corpus as corpus_module
from lvae_core.data.batches import eval_order
from lvae_core.data.sources import toy
from lvae_core.evaluation.likelihood import COLUMNS, sentence_statistics
from lvae_core.model.text_model import TextModel
from lvae_core.training.state import load_checkpoint

from .. import tiny
from .runs import run, sentences_of


@cache
def toy_corpus() -> corpus_module.Corpus:
    return corpus_module.load("toy")


@pytest.mark.parametrize(
    ("system", "estimate"),
    [
        pytest.param("lstm-lm", "nll", marks=pytest.mark.slow),
        pytest.param("lstm-vae", "nll_iw", marks=pytest.mark.slow),
        ("lstm-vae-avg", "nll_iw_joint"),
    ],
)
def test_it_learns_the_toy_language_and_never_beats_the_truth(system, estimate, tmp_path):
    config = tiny.config(
        system, num_samples=1 + (system == "lstm-vae-avg"), embedding_size=8, hidden_size=16, dropout=0.0,
        batch_size=8, kl_anneal_epochs=2.0, lr_decay=0.8, patience=99, max_epochs=12, iw_samples=20, seed=1,
    )  # fmt: skip
    corpus, folder = toy_corpus(), tiny.folder(tmp_path)
    run(config, folder, corpus=corpus)
    found = folder.read_json("result.json")["estimates"][estimate]["value"]

    words = corpus.vocabulary.words
    sentences = sentences_of(corpus.test)
    truth = [-toy.log_likelihood([words[w] for w in sentence[:-1]]) for sentence in sentences]
    # Sentence by sentence, for the spread; the mean is that of the result.
    model = TextModel(config, len(words))
    model.load_state_dict(load_checkpoint(folder).best_parameters)
    batches = eval_order(corpus.test.lengths, config.eval_batch_size)
    rows = torch.cat(
        list(sentence_statistics(model, corpus.test, config, split_name="test", samples=config.iw_samples))
    )
    column = rows[:, COLUMNS.index("nll_elbo" if system == "lstm-lm" else estimate)]
    assert float(column.mean()) == pytest.approx(found, rel=1e-6)
    gaps = column - torch.tensor([truth[i] for batch in batches for i in batch])

    # The model knows nothing of the test sentences, so the expected gap is a KL divergence, plus what a
    # bound adds: never below 0. The mean over these hundred falls below it by chance alone.
    error = float(gaps.std()) / math.sqrt(len(gaps))
    assert float(gaps.mean()) > -4 * error
    # Learnt: uniform guessing lies 8 nats per sentence above the truth.
    uniform = corpus.test.num_tokens * math.log(len(words)) / len(truth)
    assert uniform - sum(truth) / len(truth) > 8
    assert float(gaps.mean()) < 1.6
