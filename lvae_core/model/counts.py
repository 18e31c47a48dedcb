"""Count the operations and the storage of a run, without timing it, in order to compare cells.

No torch here. Each encoder, decoder and posterior has an entry, under its name in the config.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from lvae_core.config import RunConfig
from lvae_core.data.corpus import Corpus
from lvae_core.rough_scoring import chosen_draws, scored_in_full

_TRAINING = 3
"""Forward passes that a training step costs: one, and a gradient for both factors of each product."""

_DESCENT = 2
"""Passes of a step of semi-amortised inference: one forward, and a gradient for one factor per product."""

_RETURN = 2 * _TRAINING
"""Passes of the backward pass through such a step: two gradients of λ and of the parameters."""


_AGGRESSIVE_EPOCHS = 5
"""Epochs of aggressive steps if the config sets no limit: "usually within 5 epochs" (He et al. 2019)."""

_ENCODER_UPDATES = 55
"""Encoder updates in an aggressive step, from 30 to 99 as the losses decide; 62 and 53 in two epochs on
pydocs. Finished runs replace this estimate."""


class Counts(NamedTuple):
    """Operations and storage of a part of the model."""

    operations: int
    """Multiplications and additions in its matrix products for each predicted token, forward."""
    parameters: int
    """Trained parameters, without word embeddings."""
    output_size: int = 0
    """H of a decoder: numbers in a state."""


def _lstm_encoder(config: RunConfig) -> Counts:
    D, H = config.embedding_size, config.hidden_size
    return Counts(_lstm_operations(D, H), _lstm_parameters(D, H))


def _lstm_decoder(config: RunConfig) -> Counts:
    latent = config.encoder != "none"
    D, H, Z = config.embedding_size, config.hidden_size, config.latent_size if latent else 0
    parameters = _lstm_parameters(D + Z, H)
    if config.setting == "inputless" or config.word_dropout > 0:
        parameters += D  # the vector that replaces a hidden word
    if latent:
        parameters += (Z + int(config.linear_bias)) * H  # M2
    return Counts(_lstm_operations(D + Z, H), parameters, H)


def _cnn_decoder(config: RunConfig) -> Counts:
    D, E, C = config.embedding_size, config.cnn_external, config.cnn_channels
    if config.encoder != "none":
        inputs, weights = 0, (config.latent_size + 1) * (E - D)  # z is mapped once per sentence
    else:
        inputs, weights = D * E, (D + 1) * E
    if config.setting == "inputless" or config.word_dropout > 0:
        weights += D  # the vector that replaces a hidden word
    products = E * C + 3 * C * C + C * E
    blocks = len(config.dilations)
    return Counts(2 * (inputs + blocks * products), weights + blocks * (products + 2 * C + E), E)


def _gaussian(config: RunConfig) -> Counts:
    Z = config.latent_size
    bias = Z if config.mu_batch_norm else 0
    return Counts(0, 2 * (config.hidden_size + int(config.linear_bias)) * Z + bias)  # M3 and M4


def _von_mises_fisher(config: RunConfig) -> Counts:
    return Counts(0, (config.hidden_size + int(config.linear_bias)) * config.latent_size)  # M3


ENCODERS: dict[str, Callable[[RunConfig], Counts]] = {"lstm": _lstm_encoder}
"""Encoder -> its counts, without the posterior's head."""
DECODERS: dict[str, Callable[[RunConfig], Counts]] = {"lstm": _lstm_decoder, "cnn": _cnn_decoder}
POSTERIORS: dict[str, Callable[[RunConfig], Counts]] = {
    "gaussian": _gaussian,
    "von_mises_fisher": _von_mises_fisher,
}
"""Posterior -> the counts of its head."""


class Amount(NamedTuple):
    """Upper limits of the text that a run reads, in predicted tokens."""

    train: float
    """Each token once for every update of parameters; a validation counts as what its passes cost."""
    evaluate: float

    def seconds(self, train_rate: float, evaluate_rate: float) -> float:
        """Seconds for all of it, at numbers of tokens per second in training and evaluation."""
        return self.train / train_rate + self.evaluate / evaluate_rate


def amount(config: RunConfig, corpus: Corpus) -> Amount:
    """Count the tokens of a run that reaches the last epoch its config allows."""
    epochs = corpus.epochs_at_most(config)
    draws = config.valid_samples / config.draws  # for each of a gradient step
    if config.has("importance-weighted objective"):
        draws = config.valid_samples  # times L, of one bound
    svi = _svi_steps(config) / config.draws  # for each draw of a gradient step
    validation = draws + _DESCENT * svi
    scored = corpus.valid.num_tokens * validation / (_TRAINING + (_DESCENT + _RETURN) * svi)
    updates = epochs
    if config.has("aggressive step"):
        phase = min(epochs, _AGGRESSIVE_EPOCHS, config.aggressive_max_epochs or _AGGRESSIVE_EPOCHS)
        updates += phase * _ENCODER_UPDATES
    return Amount(updates * corpus.train.num_tokens + max(epochs, 1.0) * scored, corpus.test.num_tokens)


def operations(config: RunConfig, corpus: Corpus) -> float:
    """Multiplications and additions in the matrix products of a whole run.

    Evaluation counts as :func:`evaluation_operations` says.
    """
    classes = len(corpus.vocabulary)
    encoder, decoder, logits = _part_operations(config, classes)
    svi = _svi_steps(config)
    draw = config.group * decoder + logits
    train = _TRAINING * encoder + (_TRAINING * config.draws + (_DESCENT + _RETURN) * svi) * draw
    tokens = amount(config, corpus)
    return tokens.train * train + tokens.evaluate * evaluation_operations(config, classes)


def evaluation_operations(config: RunConfig, classes: int) -> int:
    """Multiplications and additions of the final evaluation, over V = ``classes`` words, per test token.

    The softmax counts for all draws if all are scored in full, else for those that are.
    """
    encoder, decoder, logits = _part_operations(config, classes)
    latent = config.encoder != "none"
    S = config.iw_samples if latent else 1
    full = scored_in_full(S, config.iw_exact_samples, classes)
    evaluate = encoder + S * config.group * decoder + full * logits
    if latent and config.inference == "semi_amortised":
        # Inference once for the likelihoods and once for the mutual information; the amortised ELBO.
        draw = config.group * decoder + logits
        few = chosen_draws(S, config.iw_exact_samples)
        evaluate += encoder + (2 * _DESCENT * _svi_steps(config) + few) * draw
    return evaluate


def _part_operations(config: RunConfig, classes: int) -> tuple[int, int, int]:
    """Operations of the encoder, the decoder and the softmax for each token and draw, forward."""
    encoder = ENCODERS[config.encoder](config).operations if config.encoder != "none" else 0
    decoder, _, H = DECODERS[config.decoder](config)
    return encoder, decoder, 2 * H * classes


def _svi_steps(config: RunConfig) -> int:
    """K, each step with one draw; 0 without semi-amortised inference."""
    return config.svi_steps if config.has("semi-amortised inference") else 0


def parameter_count(config: RunConfig, classes: int) -> int:
    """Trained parameters of the model that ``config`` describes over V = ``classes`` words."""
    D, V = config.embedding_size, classes
    reads_words = config.setting != "inputless"
    decoder = DECODERS[config.decoder](config)
    count = decoder.parameters + (decoder.output_size + int(config.linear_bias)) * V  # and M1
    if reads_words:
        count += (V + 1) * D  # <s> has a row, too
    if config.encoder != "none":
        count += ENCODERS[config.encoder](config).parameters
        count += POSTERIORS[config.posterior](config).parameters
        if not (config.share_embeddings and reads_words):
            count += V * D
    return count


def _lstm_operations(inputs: int, hidden: int) -> int:
    return 2 * 4 * hidden * (inputs + hidden)


def _lstm_parameters(inputs: int, hidden: int) -> int:
    """Four gates, each with both matrices and torch's two biases."""
    return 4 * hidden * (inputs + hidden + 2)
