"""The run that another run's encoder starts from: its parent.

``init_encoder_from`` names a recipe of the parent or the folder of a trained run. A recipe determines
the parent's complete config and so its fingerprint, which is part of the child's. A folder's name ends with
the fingerprint of its run, so the name itself identifies the parent.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from lvae_core.config import RunConfig
from lvae_core.fields.choices import ENCODER_SOURCES
from lvae_core.systems import recipe

_FIELDS = {f.name: f for f in dataclasses.fields(RunConfig)}
_GROUPS = ("data", "budget", "validation", "evaluation", "arithmetic")
_SHARED = [
    *("dataset", "seed", "embedding_size", "hidden_size", "patience_rule"),
    *(name for name, f in _FIELDS.items() if f.metadata["group"] in _GROUPS),
]
"""The fields that a language model takes from the child: not the decoder, and of the optimiser only the
stop rule, which comes from the dataset and not from the system."""
_OBJECTIVE: dict[str, Any] = {
    name: f.default for name, f in _FIELDS.items() if f.metadata["group"] == "objective"
}

AUTOENCODERS = ("lstm-ae", "cnn-ae")
"""The systems of parents that are a stage of another run's training and no rows of a table."""


def parent_of(config: RunConfig) -> RunConfig | None:
    """The config of the run that this run's encoder starts from.

    Returns:
        None if the encoder starts at random or from a folder that the config names, see
        :func:`parent_folder`. A parent has no parent.
    """
    make = _RECIPES.get(config.init_encoder_from)
    return make(config) if make is not None and config.encoder != "none" else None


def parent_folder(config: RunConfig) -> str | None:
    """The name of the run folder that this run's encoder starts from; None if the config names none."""
    named = config.encoder != "none" and config.init_encoder_from not in ("none", *ENCODER_SOURCES)
    return config.init_encoder_from if named else None


def language_model(child: RunConfig) -> RunConfig:
    """LSTM-LM over the same data with the encoder's sizes (Yang et al. 2017: "+ init").

    Its config is that of the LSTM-LM recipe with the child's seed and number of epochs, so a grid's run of
    LSTM-LM is the same run.
    """
    shared = {name: getattr(child, name) for name in _SHARED}
    return dataclasses.replace(recipe("lstm-lm", dataset=child.dataset), **shared)


def autoencoder(child: RunConfig) -> RunConfig:
    """The child's model with one latent sample, trained and selected without the KL (Li et al. 2019).

    Its estimates are not used, so they get as few draws as possible.
    """
    objective: dict[str, Any] = {
        **_OBJECTIVE,
        "kl_weight": 0.0,
        "kl_anneal_epochs": 0.0,
        "valid_kl_weight": 0.0,
    }
    return dataclasses.replace(
        child,
        system=f"{child.decoder}-ae",
        init_encoder_from="none",
        averaging="loss",
        num_samples=1,
        objective="elbo",
        step="joint",
        inference="amortised",
        iw_samples=2,
        iw_exact_samples=0,
        mi_samples=2,
        **objective,
    )


_RECIPES: dict[str, Callable[[RunConfig], RunConfig]] = {
    "lstm-lm": language_model,
    "autoencoder": autoencoder,
}
