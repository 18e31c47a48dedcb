"""How much there is to compute in a run, counted and not timed: for comparing cells."""

from __future__ import annotations

from typing import NamedTuple

from lvae_core.config import RunConfig
from lvae_core.data.corpus import Corpus

_TRAINING = 3
"""A training step costs so many forward passes: one, and a gradient for both factors of each product."""


class Amount(NamedTuple):
    """What a run goes through at most, in predicted tokens of the text."""

    train: float
    """A validation counts as what its forward passes cost."""
    evaluate: float


def amount(config: RunConfig, corpus: Corpus) -> Amount:
    """The tokens of a run that goes on to the last epoch its config allows."""
    epochs = float(config.max_epochs)
    if config.max_steps:
        steps = -(-len(corpus.train) // config.batch_size)
        epochs = min(epochs, config.max_steps / steps)
    draws = config.valid_samples / max(1, config.num_samples)
    scored = corpus.valid.num_tokens * draws / _TRAINING
    return Amount(epochs * corpus.train.num_tokens + max(epochs, 1.0) * scored, corpus.test.num_tokens)


def operations(config: RunConfig, corpus: Corpus) -> float:
    """Multiplications and additions in the matrix products of LSTMs and softmax over a whole run.

    Evaluation counts as if all draws were scored in full where they are, else those that are.
    """
    V, H, D = len(corpus.vocabulary), config.hidden_size, config.embedding_size
    latent = config.encoder != "none"
    encoder = _lstm_step(D, H) if latent else 0
    decoder, logits = _lstm_step(D + (config.latent_size if latent else 0), H), 2 * H * V
    L = max(1, config.num_samples)
    softmaxes = 1 if config.averaging == "hidden" else L
    group = L if config.averaging == "hidden" else 1
    train = _TRAINING * (encoder + L * decoder + softmaxes * logits)
    S = config.iw_samples if latent else 1
    full = config.iw_exact_samples if latent and 0 < config.iw_exact_samples < S else S
    evaluate = encoder + S * group * decoder + full * logits
    tokens = amount(config, corpus)
    return tokens.train * train + tokens.evaluate * evaluate


def _lstm_step(inputs: int, hidden: int) -> int:
    return 2 * 4 * hidden * (inputs + hidden)


def parameter_count(config: RunConfig, classes: int) -> int:
    """Trained parameters of the model that ``config`` describes over V = ``classes`` words."""
    D, H, V = config.embedding_size, config.hidden_size, classes
    latent = config.encoder != "none"
    Z = config.latent_size if latent else 0
    reads_words = config.setting != "inputless"
    biases = int(config.linear_bias)

    count = _lstm(D + Z, H) + (H + biases) * V  # decoder and M1
    if reads_words:
        count += (V + 1) * D  # <s> is a row of its own
    if not reads_words or config.word_dropout > 0:
        count += D  # what stands for a hidden word
    if latent:
        count += (Z + biases) * H  # M2
        count += _lstm(D, H) + 2 * (H + biases) * Z  # encoder, M3 and M4
        if not (config.share_embeddings and reads_words):
            count += V * D
    return count


def _lstm(inputs: int, hidden: int) -> int:
    """Four gates, each with both matrices and torch's two biases."""
    return 4 * hidden * (inputs + hidden + 2)
