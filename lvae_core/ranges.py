"""The ranges of config fields, and the fields that exclude each other."""

from __future__ import annotations

import re
from typing import Any

from lvae_core.errors import InputError
from lvae_core.fields.choices import ENCODER_SOURCES, FEWEST_EXACT, MAX_KAPPA

_MOST_SAMPLES = {
    "num_samples": 100_000,
    "valid_samples": 100_000,
    "iw_samples": 1_000_000,
    "mi_samples": 10_000,
}
"""The largest numbers of draws per sentence. Those of the mutual information are in memory for a whole
split at once: 10,000 of Penn Treebank's test split take 10 GB. The other limits only catch slips: a run
would take weeks."""

_MOST = {
    **dict.fromkeys(
        ("embedding_size", "hidden_size", "latent_size", "cnn_channels", "cnn_external", "batch_size",
         "eval_batch_size", "eval_chunk_tokens", "max_epochs", "max_steps", "kl_anneal_steps", "kl_cycles",
         "patience", "lr_decay_from", "lr_decay_interval", "lr_max_decays", "reload_after", "svi_steps",
         "aggressive_max_epochs", "iw_exact_samples", "mi_batch_size"),
        10**9,
    ),
    **dict.fromkeys(
        ("init_scale", "embedding_init_scale", "free_bits", "kl_weight", "valid_kl_weight",
         "svi_step_size", "svi_max_sentence_norm", "mu_batch_norm"),
        1e30,
    ),
}  # fmt: skip
"""The largest values of fields that have no other limit: beyond them float32 or indices overflow, and a run
fails for a reason that does not name the field."""

_LEAST_KAPPA = 1e-300
"""Below it float64 has no 2/κ, which the mean of the von Mises-Fisher posterior needs."""

_LARGEST_SPHERE = 10_000
"""Like MAX_KAPPA: in more dimensions the table of angles becomes too coarse."""


def check_ranges(config: Any) -> None:
    """Check the values of a config whose types are right.

    Args:
        config: a RunConfig; that class calls this function.

    Raises:
        InputError: a value lies outside its field's range, or two fields contradict each other.
    """
    for name in ("min_count", "max_length", "embedding_size", "hidden_size", "latent_size",
                 "batch_size", "patience", "max_epochs", "valid_samples", "eval_batch_size",
                 "eval_chunk_tokens", "cnn_channels", "cnn_external", "kl_cycles", "lr_decay_from",
                 "lr_decay_interval", "lr_max_decays", "reload_after"):  # fmt: skip
        _require(config, name, getattr(config, name) >= 1, "at least 1")
    for name in ("iw_samples", "mi_samples"):
        _require(config, name, getattr(config, name) >= 2, "at least 2, or it has no standard error")
    for name, most in (_MOST_SAMPLES | _MOST).items():
        _require(config, name, getattr(config, name) <= most, f"at most {most:,.15g}")
    for name in ("seed", "max_vocabulary", "max_steps", "max_grad_norm", "kl_weight",
                 "kl_anneal_epochs", "kl_anneal_steps", "iw_exact_samples", "free_bits",
                 "lr_smallest", "valid_kl_weight", "aggressive_max_epochs", "svi_steps",
                 "embedding_init_scale", "mu_batch_norm", "svi_max_sentence_norm"):  # fmt: skip
        _require(config, name, getattr(config, name) >= 0, "0 or more")
    for name in ("init_scale", "learning_rate", "adam_epsilon", "svi_step_size", "svi_max_grad_norm"):
        _require(config, name, getattr(config, name) > 0, "above 0")
    # Below that float32 has no such number, and a word that was not read would be moved by 0/0.
    _require(config, "adam_epsilon", config.adam_epsilon >= 1e-38, "at least 1e-38")
    _require(
        config, "mi_batch_size", config.mi_batch_size == 0 or config.mi_batch_size >= 2, "0 or at least 2"
    )
    _require(config, "seed", config.seed < 10**18, "below 10**18")
    is_enough = config.iw_exact_samples not in range(1, FEWEST_EXACT)
    _require(config, "iw_exact_samples", is_enough, f"0 or at least {FEWEST_EXACT}")
    _require(config, "cnn_dropout", 0 <= config.cnn_dropout < 1, "in [0, 1)")
    whole = all(re.fullmatch("[1-9][0-9]{0,5}", part) for part in config.cnn_dilations.split(","))
    _require(config, "cnn_dilations", whole, "positive whole numbers with commas between, such as 1,2,4")
    if config.decoder == "cnn" and config.encoder != "none":  # z takes the rest; a language model has none
        inside = config.cnn_external > config.embedding_size
        _require(config, "cnn_external", inside, f"above embedding_size, {config.embedding_size}")
    _require(config, "dropout", 0 <= config.dropout < 1, "in [0, 1)")
    _require(config, "word_dropout", 0 <= config.word_dropout <= 1, "in [0, 1]")
    source = config.init_encoder_from
    is_folder = re.fullmatch(r"[\w.-]+__seed[0-9]+__[0-9a-f]{8}", source) is not None
    if not is_folder and source not in ("none", *ENCODER_SOURCES):
        raise InputError(
            f"init_encoder_from = {source!r}: give {', '.join(ENCODER_SOURCES)}, or the name (not the "
            "path) of a finished run's folder in the same study; copy a run of another study there"
        )
    if config.objective == "importance_weighted" and config.averaging == "hidden":
        raise InputError(
            "objective = 'importance_weighted' with averaging = 'hidden': the L samples are weighted "
            "there, not averaged; use averaging = 'loss'"
        )
    _require(config, "vmf_kappa", 0 < config.vmf_kappa <= MAX_KAPPA, f"above 0 and at most {MAX_KAPPA:g}")
    _require(config, "vmf_kappa", config.vmf_kappa >= _LEAST_KAPPA, f"at least {_LEAST_KAPPA:g}")
    if config.posterior == "von_mises_fisher":
        is_sphere = 2 <= config.latent_size <= _LARGEST_SPHERE
        _require(
            config, "latent_size", is_sphere, f"at least 2 and at most {_LARGEST_SPHERE:,} for a sphere"
        )
    for name in ("adam_beta1", "adam_beta2", "svi_momentum"):
        _require(config, name, 0 <= getattr(config, name) < 1, "in [0, 1)")
    _require(config, "kl_start", 0 <= config.kl_start <= 1, "in [0, 1]")
    if config.lr_schedule == "after_plateau":
        enough = config.learning_rate >= config.lr_smallest
        _require(config, "lr_smallest", enough, f"at most learning_rate, {config.learning_rate:g}")
    normalises = config.encoder != "none" and config.posterior == "gaussian" and config.mu_batch_norm > 0
    if normalises and config.batch_size == 1:
        raise InputError(
            f"mu_batch_norm = {config.mu_batch_norm} with batch_size = 1: a batch of one sentence has no "
            "variance; use a batch_size of at least 2"
        )
    if config.inference == "semi_amortised":
        _check_semi_amortised(config)
    _require(config, "lr_decay", 0 < config.lr_decay <= 1, "in (0, 1]")
    _require(config, "max_vocabulary", config.max_vocabulary not in (1, 2), "0 (all) or at least 3")
    if not re.fullmatch(r"[A-Za-z0-9.-]+", config.system):
        raise InputError(f"system = {config.system!r}: use letters, digits, '.' and '-' only")
    if (config.encoder == "none") != (config.averaging == "none"):
        raise InputError(
            f"encoder = {config.encoder!r} with averaging = {config.averaging!r}: both are 'none' "
            "(a language model) or neither is"
        )
    if config.encoder == "none":
        _require(config, "num_samples", config.num_samples == 0, "0 where encoder = 'none'")
    else:
        _require(config, "num_samples", config.num_samples >= 1, "at least 1 (the L of the paper)")
    if config.setting == "inputless" and config.word_dropout > 0:
        raise InputError(
            f"word_dropout = {config.word_dropout} with setting = 'inputless': the decoder reads "
            "no word there; leave word_dropout at 0"
        )


def _check_semi_amortised(config: Any) -> None:
    if config.posterior == "von_mises_fisher":
        raise InputError(
            "inference = 'semi_amortised' with posterior = 'von_mises_fisher': its gradient steps "
            "would leave the sphere; use posterior = 'gaussian'"
        )
    if config.precision != "float32":
        raise InputError(
            f"precision = {config.precision!r} with inference = 'semi_amortised': its reverse pass takes "
            "differences of gradients, which bfloat16 would round away; use precision = 'float32'"
        )


def _require(config: Any, name: str, holds: bool, range_: str) -> None:
    if not holds:
        raise InputError(f"{name} = {getattr(config, name)!r}: must be {range_}")
