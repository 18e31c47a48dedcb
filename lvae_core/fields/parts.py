"""The parts that a system can have: when a config has chosen one, and what it takes to have it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple


class Part(NamedTuple):
    """A part of a system. One that is not chosen reads none of its fields."""

    is_chosen: Callable[[Any], bool]
    """Whether a RunConfig has chosen it."""
    needs: str
    """What a config must have for it, in the words of an error message."""


def _latent(config: Any) -> bool:
    return bool(config.encoder != "none")


PARTS: dict[str, Part] = {
    "every run": Part(lambda config: True, "nothing more"),
    "latent variable": Part(_latent, "a system with a latent variable"),
    "decoder's words": Part(lambda config: config.setting == "standard", "setting=standard"),
    "encoder's and decoder's words": Part(
        lambda config: _latent(config) and config.setting == "standard",
        "a latent variable and setting=standard",
    ),
    "Gaussian posterior": Part(
        lambda config: _latent(config) and config.posterior == "gaussian",
        "a latent variable and posterior=gaussian",
    ),
    "von Mises-Fisher posterior": Part(
        lambda config: _latent(config) and config.posterior == "von_mises_fisher",
        "posterior=von_mises_fisher, as in lstm-vmf-vae",
    ),
    "hidden word under dropout": Part(
        lambda config: config.dropout > 0 and (config.setting == "inputless" or config.word_dropout > 0),
        "dropout above 0, with setting=inputless or word_dropout above 0",
    ),
    "words of several samples under dropout": Part(
        lambda config: (
            _latent(config) and config.num_samples > 1 and config.dropout + config.word_dropout > 0
        ),
        "a latent variable, num_samples above 1, and dropout or word_dropout above 0",
    ),
    "averaged states under dropout": Part(
        lambda config: (
            _latent(config)
            and config.num_samples > 1
            and config.dropout > 0
            and config.averaging == "hidden"
        ),
        "num_samples above 1, dropout above 0 and averaging=hidden, as in lstm-vae-avg",
    ),
    "states of several samples under dropout": Part(
        lambda config: (
            _latent(config)
            and config.num_samples > 1
            and config.dropout > 0
            and (config.averaging != "hidden" or config.dropout_before_average)
        ),
        "a latent variable, num_samples above 1, dropout above 0, and no averaging=hidden or "
        "dropout_before_average=true",
    ),
    "ELBO objective": Part(
        lambda config: _latent(config) and config.objective == "elbo",
        "a latent variable and objective=elbo",
    ),
    "importance-weighted objective": Part(
        lambda config: _latent(config) and config.objective == "importance_weighted",
        "objective=importance_weighted, as in lstm-iwae",
    ),
    "semi-amortised inference": Part(
        lambda config: _latent(config) and config.inference == "semi_amortised",
        "inference=semi_amortised, as in sa-vae",
    ),
    "clipped reverse pass": Part(
        lambda config: (
            _latent(config) and config.inference == "semi_amortised" and config.sa_clip != "none"
        ),
        "a sa_clip other than none and inference=semi_amortised, as in sa-vae",
    ),
    "cyclical annealing": Part(
        lambda config: _latent(config) and config.kl_schedule == "cyclical",
        "kl_schedule=cyclical, as in lstm-vae-cyclical",
    ),
    "linear annealing": Part(
        lambda config: _latent(config) and config.kl_schedule == "linear",
        "a latent variable and kl_schedule=linear",
    ),
    "LSTM state": Part(
        lambda config: _latent(config) or config.decoder == "lstm", "a latent variable or decoder=lstm"
    ),
    "LSTM decoder's start": Part(
        lambda config: _latent(config) and config.decoder == "lstm", "a latent variable and decoder=lstm"
    ),
    "CNN decoder": Part(lambda config: config.decoder == "cnn", "decoder=cnn, as in cnn-vae"),
    "aggressive step": Part(
        lambda config: _latent(config) and config.step == "aggressive",
        "step=aggressive, as in lstm-vae-ain",
    ),
    "Adam": Part(lambda config: config.optimiser == "adam", "optimiser=adam"),
    "plateau schedule": Part(lambda config: config.lr_schedule == "plateau", "lr_schedule=plateau"),
    "plateau while annealing": Part(
        lambda config: _latent(config) and config.lr_schedule == "plateau",
        "a latent variable and lr_schedule=plateau",
    ),
    "decay from an epoch": Part(
        lambda config: config.lr_schedule != "plateau", "lr_schedule=after_plateau, every or reload_best"
    ),
    "decay after a plateau": Part(
        lambda config: config.lr_schedule == "after_plateau", "lr_schedule=after_plateau"
    ),
    "decay at intervals": Part(lambda config: config.lr_schedule == "every", "lr_schedule=every"),
    "reload of the best": Part(
        lambda config: config.lr_schedule == "reload_best", "lr_schedule=reload_best"
    ),
}
"""Name -> part. Every field names the one that reads it."""

EFFECTS: dict[str, Part] = {
    "dropout_encoder": Part(lambda config: config.dropout > 0, "dropout above 0"),
    "dropout_latent_input": Part(lambda config: config.dropout > 0, "dropout above 0"),
    "kl_anneal_epochs": Part(
        lambda config: config.kl_schedule == "linear" and not config.kl_anneal_steps,
        "kl_schedule=linear and kl_anneal_steps=0",
    ),
    "kl_start": Part(
        lambda config: (
            config.kl_schedule == "cyclical" or config.kl_anneal_steps or config.kl_anneal_epochs
        ),
        "kl_anneal_epochs or kl_anneal_steps above 0",
    ),
    "free_bits": Part(lambda config: config.posterior == "gaussian", "posterior=gaussian"),
}
"""Field -> what it takes, beside the part that reads it, to have an effect on a model. Without that the
fingerprint of a run has the field all the same: to leave it out would rename finished runs."""
