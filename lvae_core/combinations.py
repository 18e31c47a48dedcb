"""The fields of a config that exclude each other, and names that are no choices."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from lvae_core.errors import InputError
from lvae_core.fields.choices import ENCODER_SOURCES


def check_combinations(config: Any) -> None:
    """Check the fields of a config, each within its range, against each other.

    Args:
        config: a RunConfig; that class calls this function.

    Raises:
        InputError: two fields contradict each other, or a name is no name.
    """
    for problems in (_names, _latent_variable, _decoder, _inference, _optimisation):
        for problem in problems(config):
            raise InputError(problem)


def _names(config: Any) -> Iterator[str]:
    if not re.fullmatch(r"[A-Za-z0-9.-]+", config.system):
        yield f"system = {config.system!r}: use letters, digits, '.' and '-' only"
    source = config.init_encoder_from
    is_folder = re.fullmatch(r"[\w.-]+__seed[0-9]+__[0-9a-f]{8}", source) is not None
    if not is_folder and source not in ("none", *ENCODER_SOURCES):
        yield (
            f"init_encoder_from = {source!r}: give {', '.join(ENCODER_SOURCES)}, or the name (not the "
            "path) of a finished run's folder in the same study; copy a run of another study there"
        )


def _latent_variable(config: Any) -> Iterator[str]:
    has_none = config.encoder == "none"
    if has_none != (config.averaging == "none"):
        yield (
            f"encoder = {config.encoder!r} with averaging = {config.averaging!r}: both are 'none' "
            "(a language model) or neither is"
        )
    if has_none and config.num_samples:
        yield f"num_samples = {config.num_samples}: must be 0 where encoder = 'none'"
    if config.objective == "importance_weighted" and config.averaging == "hidden":
        yield (
            "objective = 'importance_weighted' with averaging = 'hidden': the L samples are weighted "
            "there, not averaged; use averaging = 'loss'"
        )
    normalises = not has_none and config.posterior == "gaussian" and config.mu_batch_norm > 0
    if normalises and config.batch_size == 1:
        yield (
            f"mu_batch_norm = {config.mu_batch_norm} with batch_size = 1: a batch of one sentence has no "
            "variance; use a batch_size of at least 2"
        )


def _decoder(config: Any) -> Iterator[str]:
    if config.setting == "inputless" and config.word_dropout > 0:
        yield (
            f"word_dropout = {config.word_dropout} with setting = 'inputless': the decoder reads "
            "no word there; leave word_dropout at 0"
        )
    # z takes the channels that the word leaves; a language model has no z.
    has_both = config.decoder == "cnn" and config.encoder != "none"
    if has_both and config.cnn_external <= config.embedding_size:
        yield f"cnn_external = {config.cnn_external}: must be above embedding_size, {config.embedding_size}"


def _inference(config: Any) -> Iterator[str]:
    if config.inference != "semi_amortised":
        return
    if config.posterior == "von_mises_fisher":
        yield (
            "inference = 'semi_amortised' with posterior = 'von_mises_fisher': its gradient steps "
            "would leave the sphere; use posterior = 'gaussian'"
        )
    if config.precision != "float32":
        yield (
            f"precision = {config.precision!r} with inference = 'semi_amortised': its reverse pass takes "
            "differences of gradients, which bfloat16 would round away; use precision = 'float32'"
        )


def _optimisation(config: Any) -> Iterator[str]:
    if config.lr_schedule == "after_plateau" and config.learning_rate < config.lr_smallest:
        most = f"learning_rate, {config.learning_rate:g}"
        yield f"lr_smallest = {config.lr_smallest!r}: must be at most {most}"
