"""The config of a run: one flat, frozen value that holds everything that can change its numbers.

A field belongs to :class:`RunConfig` if, and only if, changing it can change a digit of the result. Where a
run executes, how it logs and what runs beside it live elsewhere. Each field names the part and the stage
that read it. From that follow the fingerprint (``identity.py``), what ``--set`` refuses
(``settings.py``) and what a search may vary.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, Literal, get_args, get_origin, get_type_hints

from lvae_core.errors import InputError, check_name
from lvae_core.fields import (
    PARTS,
    AggressiveClip,
    AggressiveMI,
    Averaging,
    Batching,
    Decoder,
    DecoderStart,
    Encoder,
    EncoderGradient,
    EvalPrecision,
    ImprovementOver,
    Inference,
    KLSchedule,
    LRSchedule,
    ObjectiveName,
    Optimiser,
    PatienceRule,
    Posterior,
    Precision,
    ReverseClipping,
    SampleMasks,
    Setting,
    Step,
    TestedEpoch,
    option,
)
from lvae_core.ranges import check_ranges


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """One run, complete. Recipes (``systems.py``) start from these values and change some of them.

    The values are those of Kruengkrai (2019), §5, on Penn Treebank, but for ``patience_rule``, where the
    default is the rule of the first runs, because a fingerprint leaves out a field at its default.

    Raises:
        InputError: a value lies outside its field's range, or two fields contradict each other.
    """

    # Which run
    dataset: str = option("ptb", "a dataset's name, or the path of a folder of three splits", "run")
    system: str = option("lstm-vae", "row of the paper's tables that this run belongs to", "run")
    setting: Setting = option("standard", "inputless: the decoder reads no word, only z", "run")
    seed: int = option(0, "root of every random stream of the run", "run")

    # Data
    min_count: int = option(1, "training words seen less often become the unknown word", "data")
    max_vocabulary: int = option(0, "keep this many classes at most, </s> included; 0: all", "data")
    max_length: int = option(512, "a sentence of more predicted tokens is refused", "data")

    # Parts: what the model is assembled from, and how it is trained (§4)
    encoder: Encoder = option("lstm", "none: no latent variable, a language model", "run")
    posterior: Posterior = option("gaussian", "family of q(z|x)", "run", "latent variable", added=True)
    decoder: Decoder = option("lstm", "what reads z and the words so far", "run", added=True)
    inference: Inference = option(
        "amortised", "how q(z|x) of a sentence is found", "run", "latent variable", added=True
    )
    averaging: Averaging = option(
        "loss", "over the L samples: loss (Eq. 3) or hidden states (Eq. 7)", "run"
    )
    num_samples: int = option(1, "L, latent samples per sentence at a gradient step; 0: no latent", "run")
    objective: ObjectiveName = option(
        "elbo", "elbo, or the importance-weighted bound of L samples", "run", "latent variable", added=True
    )
    step: Step = option("joint", "what a gradient step updates", "run", "latent variable", added=True)
    optimiser: Optimiser = option("sgd", "sgd or adam", "run", added=True)

    # Model
    embedding_size: int = option(100, "D, word embedding", "model")
    hidden_size: int = option(400, "H, LSTM state of encoder and decoder", "model", "LSTM state")
    latent_size: int = option(32, "Z, latent variable", "model", "latent variable")
    vmf_kappa: float = option(
        25.0,
        "concentration of the von Mises-Fisher posterior, one for all sentences",
        "model",
        "von Mises-Fisher posterior",
        added=True,
    )
    mu_batch_norm: float = option(
        0.0,
        "scale of a batch normalisation of the posterior's mean, which keeps the KL up; 0: none",
        "model",
        "Gaussian posterior",
        added=True,
    )
    share_embeddings: bool = option(
        False, "encoder and decoder read one embedding table", "model", "encoder's and decoder's words"
    )
    init_encoder_from: str = option(
        "none",
        "trained run that the encoder starts from: lstm-lm, autoencoder, or a run folder of the same study",
        "model",
        "latent variable",
        added=True,
    )
    linear_bias: bool = option(False, "add a bias to M1..M4 (the paper's equations have none)", "model")
    init_scale: float = option(0.1, "every parameter starts as U(-a, a)", "model")
    embedding_init_scale: float = option(
        0.0, "a of the word embeddings; 0: the same as init_scale", "model", added=True
    )
    decoder_start: DecoderStart = option(
        "h0_linear_c0_zero",
        "the LSTM decoder's first state: h = M2 z and c = 0, or c = M2 z and h = tanh(c)",
        "model",
        "LSTM decoder's start",
        added=True,
    )
    dropout: float = option(0.5, "on the decoder's input embedding and on the softmax's input", "model")
    dropout_latent_input: bool = option(
        False, "the same dropout on z where it enters as input", "model", "latent variable"
    )
    dropout_encoder: bool = option(
        False, "the same dropout on the encoder's input embedding", "model", "latent variable"
    )
    word_dropout: float = option(
        0.0, "P(an input word is hidden from the decoder), Bowman 2016", "model", "decoder's words"
    )
    dropout_hidden_word: bool = option(
        True,
        "the same dropout on the vector that stands for a hidden word",
        "model",
        "hidden word",
        added=True,
    )
    sample_masks: SampleMasks = option(
        "softmax",
        "where each of the L samples has its own mask of dropout: on the softmax's input, nowhere, or on "
        "the words, too",
        "model",
        "latent variable",
        added=True,
    )
    dropout_before_average: bool = option(
        False,
        "dropout on each of the L states, not on their average",
        "model",
        "averaged states",
        added=True,
    )

    cnn_dilations: str = option(
        "1,2,4,8,16,1,2,4,8,16",
        "dilation of each block; SCNN 1,2,4; MCNN 1,2,4,8,16; LCNN twice, VLCNN three times that",
        "model",
        "CNN decoder",
        added=True,
    )
    cnn_channels: int = option(512, "channels inside a block", "model", "CNN decoder", added=True)
    cnn_external: int = option(
        1024, "channels between blocks; above embedding_size", "model", "CNN decoder", added=True
    )
    cnn_dropout: float = option(0.1, "dropout between blocks", "model", "CNN decoder", added=True)

    # Objective
    kl_weight: float = option(1.0, "beta after annealing", "objective", "latent variable")
    kl_anneal_epochs: float = option(
        10.0, "epochs over which beta rises linearly", "objective", "latent variable"
    )
    kl_anneal_steps: int = option(
        0,
        "gradient steps over which beta rises, instead of kl_anneal_epochs; 0: those",
        "objective",
        "linear annealing",
        added=True,
    )
    kl_start: float = option(
        0.0, "beta at the first step, as a share of kl_weight", "objective", "latent variable", added=True
    )
    kl_schedule: KLSchedule = option(
        "linear",
        "how beta rises: once, or anew in each of kl_cycles",
        "objective",
        "latent variable",
        added=True,
    )
    kl_cycles: int = option(
        4, "cycles of beta, each rising over its first half", "objective", "cyclical annealing", added=True
    )
    free_bits: float = option(
        0.0,
        "nats of KL per sentence that cost nothing, shared by the Z dimensions; 0: none",
        "objective",
        "ELBO objective",
        added=True,
    )
    encoder_gradient: EncoderGradient = option(
        "doubly_reparameterised",
        "estimator of the encoder's gradient (Tucker et al. 2019)",
        "objective",
        "importance-weighted objective",
        added=True,
    )

    # Semi-amortised inference
    svi_steps: int = option(
        20,
        "K, gradient steps from the encoder's posterior; 0: the encoder's posterior itself",
        "objective",
        "semi-amortised inference",
        stage="both",
        added=True,
    )
    svi_step_size: float = option(
        1.0,
        "alpha; a step moves a sentence by alpha/32 of its own gradient, whatever the batch",
        "objective",
        "semi-amortised inference",
        stage="both",
        added=True,
    )
    svi_momentum: float = option(
        0.5, "gamma of the K steps", "objective", "semi-amortised inference", stage="both", added=True
    )
    sa_clip: ReverseClipping = option(
        "consistent",
        "consistent: clip every product of the reverse pass at svi_max_grad_norm",
        "objective",
        "semi-amortised inference",
        added=True,
    )
    svi_max_grad_norm: float = option(
        5.0,
        "2-norm at which products of the reverse pass are clipped",
        "objective",
        "clipped reverse pass",
        added=True,
    )

    # Optimiser and schedule
    batch_size: int = option(32, "sentences per gradient step", "optimiser")
    batching: Batching = option(
        "bucketed", "which sentences share a batch: of similar, any or equal length", "optimiser"
    )
    learning_rate: float = option(1.0, "before any decay", "optimiser")
    max_grad_norm: float = option(
        5.0, "the gradient's 2-norm is clipped to this; 0: no clipping", "optimiser"
    )
    adam_beta1: float = option(0.9, "decay of Adam's first moment", "optimiser", "Adam", added=True)
    adam_beta2: float = option(0.999, "decay of Adam's second moment", "optimiser", "Adam", added=True)
    adam_epsilon: float = option(1e-8, "added to Adam's denominator", "optimiser", "Adam", added=True)
    lr_schedule: LRSchedule = option(
        "plateau",
        "when the rate is lowered: after each epoch without improvement; after every epoch from the first "
        "such one; every few epochs; or with a return to the best parameters",
        "optimiser",
        added=True,
    )
    lr_decay: float = option(0.5, "factor on the rate when it is lowered", "optimiser")
    lr_decay_from: int = option(
        15,
        "first epoch, from 1, after which the rate may be lowered",
        "optimiser",
        "decay from an epoch",
        added=True,
    )
    lr_decay_interval: int = option(
        2, "epochs between two decays of the rate", "optimiser", "decay at intervals", added=True
    )
    lr_smallest: float = option(
        0.03, "stop when the rate is below this", "optimiser", "decay after a plateau", added=True
    )
    lr_max_decays: int = option(
        5, "stop at this many decays of the rate", "optimiser", "reload of the best", added=True
    )
    reload_after: int = option(
        2,
        "epochs in a row above the reference perplexity before the best parameters are loaded",
        "optimiser",
        "reload of the best",
        added=True,
    )
    decay_while_annealing: bool = option(
        False,
        "an epoch with beta < 1, too, may lower the rate and count against patience",
        "optimiser",
        "plateau while annealing",
    )
    patience: int = option(
        3, "stop at this many epochs without improvement", "optimiser", "plateau schedule"
    )
    patience_rule: PatienceRule = option(
        "in_all", "which of them count: all, or those in a row", "optimiser", "plateau schedule", added=True
    )
    improvement_over: ImprovementOver = option(
        "best",
        "an epoch without improvement is not below the best so far, or not below the one before",
        "optimiser",
        "plateau schedule",
        added=True,
    )
    max_epochs: int = option(30, "epochs at most", "budget")
    max_steps: int = option(0, "gradient steps at most (a smoke test); 0: no limit", "budget")

    # The phase of aggressive steps (He et al. 2019)
    aggressive_mi: AggressiveMI = option(
        "mi_batch32",
        "validation mutual information whose fall ends the phase: within batches of 32, or over all",
        "optimiser",
        "aggressive step",
        added=True,
    )
    aggressive_clip: AggressiveClip = option(
        "joint",
        "whose gradients' norm is clipped when one side is updated: of both, or of that side",
        "optimiser",
        "aggressive step",
        added=True,
    )
    aggressive_max_epochs: int = option(
        0, "epochs of the phase at most; 0: no limit", "optimiser", "aggressive step", added=True
    )

    # Validation, after each epoch
    valid_samples: int = option(
        1,
        "draws (or, importance-weighted, sets of L) per sentence in validation",
        "validation",
        "latent variable",
    )
    valid_precision: EvalPrecision = option(
        "float32", "of validation's matrix products", "validation", added=True
    )
    eval_batch_size: int = option(
        32, "sentences encoded together in validation and evaluation", "validation", stage="both"
    )
    eval_chunk_tokens: int = option(
        16384, "decoder positions at once in validation and evaluation", "validation", stage="both"
    )

    valid_kl_weight: float = option(
        1.0,
        "beta of the validation score that the learning rate and the best epoch follow",
        "validation",
        "latent variable",
        added=True,
    )

    # Evaluation on the test split
    tested_epoch: TestedEpoch = option(
        "best",
        "whose parameters are evaluated: of the best epoch in validation, or of the last",
        "budget",
        added=True,
    )
    iw_samples: int = option(
        500,
        "S, importance samples per sentence for the test estimates",
        "evaluation",
        "latent variable",
        stage="evaluation",
    )
    iw_exact_samples: int = option(
        24,
        "score so many of the S draws in full and all roughly (see two_phase.py); 0: all in full",
        "evaluation",
        "latent variable",
        stage="evaluation",
    )
    mi_samples: int = option(
        8,
        "draws of z per sentence for the mutual information",
        "evaluation",
        "latent variable",
        stage="evaluation",
    )
    mi_batch_size: int = option(
        0,
        "also the mutual information within batches of so many test sentences of similar length; 0: no",
        "evaluation",
        "latent variable",
        stage="evaluation",
        added=True,
    )
    eval_precision: EvalPrecision = option(
        "float32", "of the estimates' matrix products", "evaluation", stage="evaluation"
    )

    # Arithmetic
    precision: Precision = option(
        "float32",
        "of training's matrix products; auto: bfloat16 where the processor is quick at it",
        "arithmetic",
    )
    deterministic: bool = option(
        True, "only algorithms whose result is the same every time", "arithmetic", stage="both"
    )

    def __post_init__(self) -> None:
        _check_types(self)
        dataset_label(self.dataset)
        check_ranges(self)

    def has(self, part: str) -> bool:
        """Whether the run has a part, one of :data:`lvae_core.fields.PARTS`."""
        return PARTS[part](self)

    @property
    def group(self) -> int:
        """G, latent samples whose decoder states are averaged before one softmax (Eq. 7)."""
        return self.num_samples if self.averaging == "hidden" else 1

    @property
    def draws(self) -> int:
        """S at a gradient step: draws of ``group`` samples each, their log-likelihoods averaged (Eq. 3)."""
        return max(1, self.num_samples) // self.group

    @property
    def dilations(self) -> tuple[int, ...]:
        """``cnn_dilations`` as numbers."""
        return tuple(map(int, self.cnn_dilations.split(",")))

    def to_dict(self) -> dict[str, Any]:
        """The config as a plain dictionary, fields in declaration order."""
        return dict(vars(self))


def from_dict(values: Mapping[str, Any]) -> RunConfig:
    """Build a config from a dictionary (a ``config.json``); absent fields take their default.

    Raises:
        InputError: an unknown field (the nearest valid name is given) or an invalid value.
    """
    for name in values:
        check_name(name, FIELD_TYPES, "config field")
    if "valid_precision" not in values and "eval_precision" in values:
        # One field for both, in the version before evaluations had an identity.
        values = {**values, "valid_precision": values["eval_precision"]}
    return RunConfig(**values)


@functools.lru_cache  # asked several times for each of thousands of configs
def dataset_label(dataset: str) -> str:
    """The dataset's name in tables and run names: for a folder's path, the folder's own name.

    Raises:
        InputError: the folder's name has characters that a run name cannot carry.
    """
    label = PurePath(dataset).name
    if not label:
        raise InputError(f"dataset {dataset!r}: give a dataset's name or a folder's path")
    # Run folders whose names start with a dot would be passed over as files still being written.
    if label.startswith(".") or not re.fullmatch(r"[A-Za-z0-9.-]+(_[A-Za-z0-9.-]+)*", label):
        raise InputError(
            f"dataset {dataset!r}: rename the folder so that its name has only letters, digits, "
            "'.', '-' and single '_', and no '.' in front"
        )
    return label


FIELD_TYPES: dict[str, Any] = get_type_hints(RunConfig)
"""Config field -> its type."""

_CHOICES: dict[str, tuple[str, ...]] = {
    name: get_args(type_) for name, type_ in FIELD_TYPES.items() if get_origin(type_) is Literal
}


def _check_types(config: RunConfig) -> None:
    for name, type_ in FIELD_TYPES.items():
        value = getattr(config, name)
        if name in _CHOICES:
            check_name(str(value), _CHOICES[name], name)
        elif type_ is float and type(value) is int:
            # One canonical JSON for 5 and 5.0, or the same run would have two fingerprints.
            try:
                value = float(value)
            except OverflowError:
                value = math.inf
            object.__setattr__(config, name, value)
        elif type(value) is not type_:
            raise InputError(f"{name} = {value!r}: must be of type {type_.__name__}")
        if type_ is float and not math.isfinite(value):
            raise InputError(f"{name} = {value!r}: must be finite")
