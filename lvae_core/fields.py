"""The declaration of config fields: their choices, the part and the stage that read each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import field
from typing import Any, Literal

Setting = Literal["standard", "inputless"]
Averaging = Literal["none", "loss", "hidden"]
Encoder = Literal["none", "lstm"]
Posterior = Literal["gaussian", "von_mises_fisher"]
Decoder = Literal["lstm", "cnn"]
Inference = Literal["amortised", "semi_amortised"]
ReverseClipping = Literal["consistent", "none"]
Step = Literal["joint", "aggressive"]
AggressiveMI = Literal["mi_batch32", "mi"]
AggressiveClip = Literal["joint", "separate"]
ObjectiveName = Literal["elbo", "importance_weighted"]
EncoderGradient = Literal["doubly_reparameterised", "reparameterised"]
KLSchedule = Literal["linear", "cyclical"]
DecoderStart = Literal["h0_linear_c0_zero", "c0_linear_h0_tanh"]
LRSchedule = Literal["plateau", "after_plateau", "every", "reload_best"]
PatienceRule = Literal["in_all", "in_a_row"]
ImprovementOver = Literal["best", "previous"]
TestedEpoch = Literal["best", "last"]
SampleMasks = Literal["softmax", "none", "words_and_softmax"]
Optimiser = Literal["sgd", "adam"]
Batching = Literal["bucketed", "shuffled", "equal_length"]
Precision = Literal["float32", "bfloat16", "auto"]
EvalPrecision = Literal["float32", "bfloat16"]

FEWEST_EXACT = 6
"""The least iw_exact_samples above 0: three estimates share them, and each needs two for a variance."""

ENCODER_SOURCES = ("lstm-lm", "autoencoder")
"""The runs that an encoder can start from by name; see ``parents.py``."""

MAX_KAPPA = 1e4
"""The largest vmf_kappa: beyond it the table of angles becomes too coarse for its 1e-8."""

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
    "averaged states": lambda config: config.encoder != "none" and config.averaging == "hidden",
    "hidden word": lambda config: config.setting == "inputless" or config.word_dropout > 0,
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
