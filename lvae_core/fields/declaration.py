"""The declaration of a config field: its help, and the part and the stage that read it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import field
from typing import Any, Literal

Group = Literal[
    "run", "data", "model", "objective", "optimiser", "budget", "validation", "evaluation", "arithmetic"
]
"""Subject of a field, by which help and tables group the fields."""

Stage = Literal["training", "evaluation", "both"]
"""Stage that reads a field. Training includes validation, which sets the learning rate and best epoch."""

PARTS: dict[str, Callable[[Any], bool]] = {
    "every run": lambda config: True,
    "latent variable": lambda config: config.encoder != "none",
    "decoder's words": lambda config: config.setting == "standard",
    "encoder's and decoder's words": lambda config: (
        config.encoder != "none" and config.setting == "standard"
    ),
    "Gaussian posterior": lambda config: config.encoder != "none" and config.posterior == "gaussian",
    "von Mises-Fisher posterior": lambda config: (
        config.encoder != "none" and config.posterior == "von_mises_fisher"
    ),
    "hidden word under dropout": lambda config: (
        config.dropout > 0 and (config.setting == "inputless" or config.word_dropout > 0)
    ),
    "words of several samples under dropout": lambda config: (
        config.encoder != "none" and config.num_samples > 1 and config.dropout + config.word_dropout > 0
    ),
    "averaged states under dropout": lambda config: (
        config.encoder != "none"
        and config.num_samples > 1
        and config.dropout > 0
        and config.averaging == "hidden"
    ),
    "states of several samples under dropout": lambda config: (
        config.encoder != "none"
        and config.num_samples > 1
        and config.dropout > 0
        and (config.averaging != "hidden" or config.dropout_before_average)
    ),
    "ELBO objective": lambda config: config.encoder != "none" and config.objective == "elbo",
    "importance-weighted objective": lambda config: (
        config.encoder != "none" and config.objective == "importance_weighted"
    ),
    "semi-amortised inference": lambda config: (
        config.encoder != "none" and config.inference == "semi_amortised"
    ),
    "clipped reverse pass": lambda config: (
        config.encoder != "none" and config.inference == "semi_amortised" and config.sa_clip == "consistent"
    ),
    "cyclical annealing": lambda config: config.encoder != "none" and config.kl_schedule == "cyclical",
    "linear annealing": lambda config: config.encoder != "none" and config.kl_schedule == "linear",
    "LSTM state": lambda config: config.encoder != "none" or config.decoder == "lstm",
    "LSTM decoder's start": lambda config: config.encoder != "none" and config.decoder == "lstm",
    "CNN decoder": lambda config: config.decoder == "cnn",
    "aggressive step": lambda config: config.encoder != "none" and config.step == "aggressive",
    "Adam": lambda config: config.optimiser == "adam",
    "plateau schedule": lambda config: config.lr_schedule == "plateau",
    "plateau while annealing": lambda config: config.encoder != "none" and config.lr_schedule == "plateau",
    "decay from an epoch": lambda config: config.lr_schedule != "plateau",
    "decay after a plateau": lambda config: config.lr_schedule == "after_plateau",
    "decay at intervals": lambda config: config.lr_schedule == "every",
    "reload of the best": lambda config: config.lr_schedule == "reload_best",
}
"""Part of a system -> whether a RunConfig has chosen it. A part not chosen reads none of its fields."""


def option(
    default: Any,
    help: str,
    group: Group,
    part: str = "every run",
    *,
    stage: Stage = "training",
    added: bool = False,
) -> Any:
    """Declare a field.

    Args:
        default: see above.
        help: one line of documentation.
        group: what it is about.
        part: what must be chosen for the field to be read, one of PARTS.
        stage: what reads it.
        added: whether it came after numerics version 6. Its default must then leave training as it was
            before, so that fingerprints of earlier runs stand.
    """
    metadata = {"help": help, "group": group, "part": part, "stage": stage, "added": added}
    return field(default=default, metadata=metadata)
