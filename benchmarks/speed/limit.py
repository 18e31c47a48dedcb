"""How near a variant comes to the machine's limit: the matrix products that it cannot do without.

Counted are multiplications and additions (FLOPs) of the products of LSTMs and softmax, without padding:

    one LSTM step           2 · 4H (inputs + H), inputs = D in the encoder, D + Z in the decoder
    one position's logits   2 · H V
    training                three times that of the forward pass: a gradient each for both factors
    evaluation              the forward pass alone
    two-phase evaluation    for each of S draws the decoder, K listed words, the target and the drift; two
                            products with all words to make the list; the exact draws in full besides

Averaged states (Eq. 7) take L decoders and one softmax. What is made once a sentence (M2, M3, M4), and all
that is not a product, counts nothing. No torch here.
"""

from __future__ import annotations

from lvae_core.config import RunConfig
from speed.cases import PLAIN, Case

LISTED = 256
"""K, words that two-phase evaluation scores for every draw: what lvae_core's shortlist.SIZE is."""


def flops_per_token(case: Case, variant: str) -> float:
    """Of the matrix products that a variant needs for a predicted word of the text."""
    config = case.config if variant in PLAIN else case.our_config(variant)
    H, logits = config.hidden_size, 2 * config.hidden_size * case.num_classes
    encoder = decoder_input = 0
    if config.encoder != "none":
        encoder = _lstm_step(config, config.embedding_size)
        decoder_input = config.latent_size
    decoder = _lstm_step(config, config.embedding_size + decoder_input)
    if case.task == "train":
        draws = max(1, config.num_samples)
        softmaxes = 1 if config.averaging == "hidden" and variant not in PLAIN else draws
        return 3 * (encoder + draws * decoder + softmaxes * logits)
    S, exact = config.iw_samples, config.iw_exact_samples
    if variant in PLAIN or exact == 0:
        return encoder + S * (decoder + logits)
    return encoder + S * (decoder + 2 * H * (LISTED + 2)) + 2 * logits + exact * (decoder + logits)


def is_float32(case: Case, variant: str) -> bool:
    """Whether all its products are in float32, in which the limit is measured."""
    if variant in PLAIN:
        return True
    config = case.our_config(variant)
    return config.precision == config.eval_precision == "float32"


def _lstm_step(config: RunConfig, inputs: int) -> int:
    return 2 * 4 * config.hidden_size * (inputs + config.hidden_size)
