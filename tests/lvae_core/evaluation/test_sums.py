"""Sums over sentences, whatever the batches, the chunks, the seed and the attempts."""

import math
from dataclasses import replace

import pytest
import torch

from lvae_core.evaluation.latent import latent_estimates
from lvae_core.evaluation.likelihood import COLUMNS, likelihood_estimates, sentence_statistics

from .. import tiny
from ..oracles import hand_model
from .exact_model import (
    SENTENCES,
    estimates,
    frozen,
    model_of,
    statistics,
)


def test_perplexity_is_of_sums_over_very_unequal_batches():
    config = tiny.config("lstm-lm", eval_batch_size=2, init_scale=1.0)
    model = tiny.double_model(config, 5)
    sentences = [[0], [1, 0], *tiny.sentences(4, 5, seed=1), [*[1, 2, 3, 4] * 15, 0]]
    p = frozen(model)
    nats = [-float(hand_model.log_p(p, hand_model.states(p, w, None, hide=False), w)) for w in sentences]
    tokens = sum(map(len, sentences))
    found = estimates(model, config, samples=1, sentences=sentences)
    assert found == {
        "nll": {"value": pytest.approx(math.fsum(nats) / len(sentences), rel=1e-11)},
        "ppl": {"value": pytest.approx(math.exp(math.fsum(nats) / tokens), rel=1e-11)},
    }
    wrong = sum(math.exp(n / len(w)) for n, w in zip(nats, sentences, strict=True)) / len(sentences)
    assert abs(wrong / found["ppl"]["value"] - 1) > 0.01, "a mean of means would have been noticed"


@pytest.mark.parametrize("system", ["lstm-vae", "lstm-vae-avg", "sa-vae"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_batches_and_chunks_do_not_choose_the_draws(system, dtype):
    config = tiny.config(system, init_scale=0.8, dropout=0.5)
    model = tiny.double_model(config, 6).to(dtype)
    sentences = tiny.sentences(9, 6, seed=3)
    results = []
    for batch, chunk in ((32, 16384), (1, 16384), (4, 1), (2, 60), (9, 200)):
        changed = replace(config, eval_batch_size=batch, eval_chunk_tokens=chunk)
        found = estimates(model, changed, samples=7, sentences=sentences)
        found |= latent_estimates(model, tiny.split(sentences), changed)
        results.append({(n, k): v for n, entry in found.items() for k, v in entry.items()})
    for other in results[1:]:
        assert other == pytest.approx(results[0], rel=1e-10 if dtype is torch.float64 else 2e-5)


def test_suspended_evaluation_holds_no_global_mode():
    config = tiny.config("lstm-vae", eval_batch_size=2)
    model = tiny.double_model(config, 6)
    split = tiny.split(tiny.sentences(9, 6, seed=3))
    rows = sentence_statistics(model, split, config, split_name="test", samples=3)
    next(rows)
    assert not torch.is_inference_mode_enabled()
    assert torch.is_grad_enabled()


def test_noise_depends_on_seed_split_and_sentence():
    model, config = model_of("lstm-vae")
    # The same sentence thrice: another place, other draws.
    words = SENTENCES[0]
    first, _ = statistics(model, config, 4, sentences=[words] * 3, seed=1)
    again, _ = statistics(model, config, 4, sentences=[words] * 3, seed=1)
    other_seed, _ = statistics(model, config, 4, sentences=[words] * 3, seed=2)
    other_split, _ = statistics(model, config, 4, sentences=[words] * 3, seed=1, split_name="valid")
    values = [float(v) for c in (first, other_seed, other_split) for v in c["nll_iw"]]
    assert len(set(values)) == 9
    assert torch.equal(first["nll_iw"], again["nll_iw"])


def test_a_perplexity_beyond_the_range_of_floats_is_infinite():
    rows = torch.zeros(1, len(COLUMNS), dtype=torch.float64)
    rows[0, 0] = 5000.0
    found = likelihood_estimates(rows, 2, tiny.config("lstm-lm"), COLUMNS)
    assert found == {"nll": {"value": 5000.0}, "ppl": {"value": math.inf}}
