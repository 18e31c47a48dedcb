"""Count the matrix products that a variant cannot avoid, to compare its speed with the machine's limit.

The count is of multiplications and additions (FLOPs) in the products of LSTMs and softmax, without padding:

    one LSTM step           2 · 4H (inputs + H), inputs = D in the encoder, D + Z in the decoder
    one step of the CNN     see lvae_core/model/counts.py, which counts for every decoder
    one position's logits   2 · H V
    training                three times the forward pass: each product has gradients for two factors
    a step of inference     twice the forward pass of decoder and softmax: only λ has a gradient. The way
                            back costs that pass six times in ours, which takes two gradients of λ and θ,
                            and four times in plain code, which takes second derivatives
    an aggressive step      each update like a training step: the norm of all gradients is clipped
    evaluation              the forward pass only
    two-phase evaluation    for each of S draws: the decoder, K listed words, the target and the first-order
                            term; two products with all words for the list; and the exact draws in full

Averaging of hidden states (Eq. 7) takes L decoder passes and one softmax. Products made once per sentence
(M2, M3, M4) and everything that is not a product are not counted. Never imports torch.
"""

from __future__ import annotations

from lvae_core.model.counts import DECODERS, ENCODERS
from speed.cases import ENCODER_UPDATES, PLAIN, Case

LISTED = 256
"""K, words that two-phase evaluation scores for every draw; lvae_core's rough_scoring.SHORTLIST."""


def flops_per_token(case: Case, variant: str) -> float:
    """FLOPs of the matrix products that a variant needs per predicted token of the text."""
    config = case.config if variant in PLAIN else case.our_config(variant)
    counted = DECODERS[config.decoder](config)
    decoder, H = counted.operations, counted.output_size
    logits = 2 * H * case.num_classes
    encoder = ENCODERS[config.encoder](config).operations if config.encoder != "none" else 0
    if case.task == "train":
        draws = max(1, config.num_samples)
        softmaxes = 1 if config.averaging == "hidden" and variant not in PLAIN else draws
        updates = 1 + (ENCODER_UPDATES if config.step == "aggressive" else 0)
        inference = (6 if variant in PLAIN else 8) * config.svi_steps * (decoder + logits)
        inference *= config.has("semi-amortised inference")
        return updates * (3 * (encoder + draws * decoder + softmaxes * logits) + inference)
    S, exact = config.iw_samples, config.iw_exact_samples
    decoder *= config.group
    if variant in PLAIN or exact == 0:
        return encoder + S * (decoder + logits)
    return encoder + S * (decoder + 2 * H * (LISTED + 2)) + 2 * logits + exact * (decoder + logits)


def is_float32(case: Case, variant: str) -> bool:
    """Whether all products of a variant are in float32, like those of the measured limit."""
    if variant in PLAIN:
        return True
    config = case.our_config(variant)
    return config.precision == config.eval_precision == "float32"
