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
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any, Literal, get_args, get_origin, get_type_hints

from lvae_core.errors import InputError, check_name

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

PARTS: dict[str, Callable[[RunConfig], bool]] = {
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
"""Part of a system -> whether a config has chosen it. One that is not chosen reads none of its fields."""


def _option(
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


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """One run, complete. Defaults are Kruengkrai (2019) §5 on Penn Treebank; see ``systems.py``.

    Raises:
        InputError: a value lies outside its field's range, or two fields contradict each other.
    """

    # Which run
    dataset: str = _option("ptb", "a dataset's name, or the path of a folder of three splits", "run")
    system: str = _option("lstm-vae", "row of the paper's tables that this run belongs to", "run")
    setting: Setting = _option("standard", "inputless: the decoder reads no word, only z", "run")
    seed: int = _option(0, "root of every random stream of the run", "run")

    # Data
    min_count: int = _option(1, "training words seen less often become the unknown word", "data")
    max_vocabulary: int = _option(0, "keep this many classes at most, </s> included; 0: all", "data")
    max_length: int = _option(512, "a sentence of more predicted tokens is refused", "data")

    # Parts: what the model is assembled from, and how it is trained (§4)
    encoder: Encoder = _option("lstm", "none: no latent variable, a language model", "run")
    posterior: Posterior = _option("gaussian", "family of q(z|x)", "run", "latent variable", added=True)
    decoder: Decoder = _option("lstm", "what reads z and the words so far", "run", added=True)
    inference: Inference = _option(
        "amortised", "how q(z|x) of a sentence is found", "run", "latent variable", added=True
    )
    averaging: Averaging = _option(
        "loss", "over the L samples: loss (Eq. 3) or hidden states (Eq. 7)", "run"
    )
    num_samples: int = _option(1, "L, latent samples per sentence at a gradient step; 0: no latent", "run")
    objective: ObjectiveName = _option(
        "elbo", "elbo, or the importance-weighted bound of L samples", "run", "latent variable", added=True
    )
    step: Step = _option("joint", "what a gradient step updates", "run", "latent variable", added=True)
    optimiser: Optimiser = _option("sgd", "sgd or adam", "run", added=True)

    # Model
    embedding_size: int = _option(100, "D, word embedding", "model")
    hidden_size: int = _option(400, "H, LSTM state of encoder and decoder", "model", "LSTM state")
    latent_size: int = _option(32, "Z, latent variable", "model", "latent variable")
    vmf_kappa: float = _option(
        25.0,
        "concentration of the von Mises-Fisher posterior, one for all sentences",
        "model",
        "von Mises-Fisher posterior",
        added=True,
    )
    mu_batch_norm: float = _option(
        0.0,
        "scale of a batch normalisation of the posterior's mean, which keeps the KL up; 0: none",
        "model",
        "Gaussian posterior",
        added=True,
    )
    share_embeddings: bool = _option(
        False, "encoder and decoder read one embedding table", "model", "encoder's and decoder's words"
    )
    init_encoder_from: str = _option(
        "none",
        "trained run that the encoder starts from: lstm-lm, autoencoder, or a run folder of the same study",
        "model",
        "latent variable",
        added=True,
    )
    linear_bias: bool = _option(False, "add a bias to M1..M4 (the paper's equations have none)", "model")
    init_scale: float = _option(0.1, "every parameter starts as U(-a, a)", "model")
    embedding_init_scale: float = _option(
        0.0, "a of the word embeddings; 0: the same as init_scale", "model", added=True
    )
    decoder_start: DecoderStart = _option(
        "h0_linear_c0_zero",
        "the LSTM decoder's first state: h = M2 z and c = 0, or c = M2 z and h = tanh(c)",
        "model",
        "LSTM decoder's start",
        added=True,
    )
    dropout: float = _option(0.5, "on the decoder's input embedding and on the softmax's input", "model")
    dropout_latent_input: bool = _option(
        False, "the same dropout on z where it enters as input", "model", "latent variable"
    )
    dropout_encoder: bool = _option(
        False, "the same dropout on the encoder's input embedding", "model", "latent variable"
    )
    word_dropout: float = _option(
        0.0, "P(an input word is hidden from the decoder), Bowman 2016", "model", "decoder's words"
    )

    cnn_dilations: str = _option(
        "1,2,4,8,16,1,2,4,8,16",
        "dilation of each block; SCNN 1,2,4; MCNN 1,2,4,8,16; LCNN twice, VLCNN three times that",
        "model",
        "CNN decoder",
        added=True,
    )
    cnn_channels: int = _option(512, "channels inside a block", "model", "CNN decoder", added=True)
    cnn_external: int = _option(
        1024, "channels between blocks; above embedding_size", "model", "CNN decoder", added=True
    )
    cnn_dropout: float = _option(0.1, "dropout between blocks", "model", "CNN decoder", added=True)

    # Objective
    kl_weight: float = _option(1.0, "beta after annealing", "objective", "latent variable")
    kl_anneal_epochs: float = _option(
        10.0, "epochs over which beta rises linearly", "objective", "latent variable"
    )
    kl_anneal_steps: int = _option(
        0,
        "gradient steps over which beta rises, instead of kl_anneal_epochs; 0: those",
        "objective",
        "linear annealing",
        added=True,
    )
    kl_start: float = _option(
        0.0, "beta at the first step, as a share of kl_weight", "objective", "latent variable", added=True
    )
    kl_schedule: KLSchedule = _option(
        "linear",
        "how beta rises: once, or anew in each of kl_cycles",
        "objective",
        "latent variable",
        added=True,
    )
    kl_cycles: int = _option(
        4, "cycles of beta, each rising over its first half", "objective", "cyclical annealing", added=True
    )
    free_bits: float = _option(
        0.0,
        "nats of KL per sentence that cost nothing, shared by the Z dimensions; 0: none",
        "objective",
        "ELBO objective",
        added=True,
    )
    encoder_gradient: EncoderGradient = _option(
        "doubly_reparameterised",
        "estimator of the encoder's gradient (Tucker et al. 2019)",
        "objective",
        "importance-weighted objective",
        added=True,
    )

    # Semi-amortised inference
    svi_steps: int = _option(
        20,
        "K, gradient steps from the encoder's posterior; 0: the encoder's posterior itself",
        "objective",
        "semi-amortised inference",
        stage="both",
        added=True,
    )
    svi_step_size: float = _option(
        1.0,
        "alpha; a step moves a sentence by alpha/32 of its own gradient, whatever the batch",
        "objective",
        "semi-amortised inference",
        stage="both",
        added=True,
    )
    svi_momentum: float = _option(
        0.5, "gamma of the K steps", "objective", "semi-amortised inference", stage="both", added=True
    )
    sa_clip: ReverseClipping = _option(
        "consistent",
        "consistent: clip every product of the reverse pass at svi_max_grad_norm",
        "objective",
        "semi-amortised inference",
        added=True,
    )
    svi_max_grad_norm: float = _option(
        5.0,
        "2-norm at which products of the reverse pass are clipped",
        "objective",
        "clipped reverse pass",
        added=True,
    )

    # Optimiser and schedule
    batch_size: int = _option(32, "sentences per gradient step", "optimiser")
    batching: Batching = _option(
        "bucketed", "which sentences share a batch: of similar, any or equal length", "optimiser"
    )
    learning_rate: float = _option(1.0, "before any decay", "optimiser")
    max_grad_norm: float = _option(
        5.0, "the gradient's 2-norm is clipped to this; 0: no clipping", "optimiser"
    )
    adam_beta1: float = _option(0.9, "decay of Adam's first moment", "optimiser", "Adam", added=True)
    adam_beta2: float = _option(0.999, "decay of Adam's second moment", "optimiser", "Adam", added=True)
    adam_epsilon: float = _option(1e-8, "added to Adam's denominator", "optimiser", "Adam", added=True)
    lr_schedule: LRSchedule = _option(
        "plateau",
        "when the rate is lowered: after each epoch without improvement; after every epoch from the first "
        "such one; every few epochs; or with a return to the best parameters",
        "optimiser",
        added=True,
    )
    lr_decay: float = _option(0.5, "factor on the rate when it is lowered", "optimiser")
    lr_decay_from: int = _option(
        15,
        "first epoch, from 1, after which the rate may be lowered",
        "optimiser",
        "decay from an epoch",
        added=True,
    )
    lr_decay_interval: int = _option(
        2, "epochs between two decays of the rate", "optimiser", "decay at intervals", added=True
    )
    lr_smallest: float = _option(
        0.03, "stop when the rate is below this", "optimiser", "decay after a plateau", added=True
    )
    lr_max_decays: int = _option(
        5, "stop at this many decays of the rate", "optimiser", "reload of the best", added=True
    )
    reload_after: int = _option(
        2,
        "epochs in a row above the reference perplexity before the best parameters are loaded",
        "optimiser",
        "reload of the best",
        added=True,
    )
    decay_while_annealing: bool = _option(
        False,
        "an epoch with beta < 1, too, may lower the rate and count against patience",
        "optimiser",
        "plateau while annealing",
    )
    patience: int = _option(
        3, "stop at this many epochs without improvement", "optimiser", "plateau schedule"
    )
    patience_rule: PatienceRule = _option(
        "in_all", "which of them count: all, or those in a row", "optimiser", "plateau schedule", added=True
    )
    max_epochs: int = _option(30, "epochs at most", "budget")
    max_steps: int = _option(0, "gradient steps at most (a smoke test); 0: no limit", "budget")

    # The phase of aggressive steps (He et al. 2019)
    aggressive_mi: AggressiveMI = _option(
        "mi_batch32",
        "validation mutual information whose fall ends the phase: within batches of 32, or over all",
        "optimiser",
        "aggressive step",
        added=True,
    )
    aggressive_clip: AggressiveClip = _option(
        "joint",
        "whose gradients' norm is clipped when one side is updated: of both, or of that side",
        "optimiser",
        "aggressive step",
        added=True,
    )
    aggressive_max_epochs: int = _option(
        0, "epochs of the phase at most; 0: no limit", "optimiser", "aggressive step", added=True
    )

    # Validation, after each epoch
    valid_samples: int = _option(
        1,
        "draws (or, importance-weighted, sets of L) per sentence in validation",
        "validation",
        "latent variable",
    )
    valid_precision: EvalPrecision = _option(
        "float32", "of validation's matrix products", "validation", added=True
    )
    eval_batch_size: int = _option(
        32, "sentences encoded together in validation and evaluation", "validation", stage="both"
    )
    eval_chunk_tokens: int = _option(
        16384, "decoder positions at once in validation and evaluation", "validation", stage="both"
    )

    valid_kl_weight: float = _option(
        1.0,
        "beta of the validation score that the learning rate and the best epoch follow",
        "validation",
        "latent variable",
        added=True,
    )

    # Evaluation of the best epoch on the test split
    iw_samples: int = _option(
        500,
        "S, importance samples per sentence for the test estimates",
        "evaluation",
        "latent variable",
        stage="evaluation",
    )
    iw_exact_samples: int = _option(
        24,
        "score so many of the S draws in full and all roughly (see two_phase.py); 0: all in full",
        "evaluation",
        "latent variable",
        stage="evaluation",
    )
    mi_samples: int = _option(
        8,
        "draws of z per sentence for the mutual information",
        "evaluation",
        "latent variable",
        stage="evaluation",
    )
    mi_batch_size: int = _option(
        0,
        "also the mutual information within batches of so many test sentences of similar length; 0: no",
        "evaluation",
        "latent variable",
        stage="evaluation",
        added=True,
    )
    eval_precision: EvalPrecision = _option(
        "float32", "of the estimates' matrix products", "evaluation", stage="evaluation"
    )

    # Arithmetic
    precision: Precision = _option(
        "float32",
        "of training's matrix products; auto: bfloat16 where the processor is quick at it",
        "arithmetic",
    )
    deterministic: bool = _option(
        True, "only algorithms whose result is the same every time", "arithmetic", stage="both"
    )

    def __post_init__(self) -> None:
        _check_types(self)
        for name in ("min_count", "max_length", "embedding_size", "hidden_size", "latent_size",
                     "batch_size", "patience", "max_epochs", "valid_samples", "eval_batch_size",
                     "eval_chunk_tokens", "cnn_channels", "cnn_external", "kl_cycles", "lr_decay_from",
                     "lr_decay_interval", "lr_max_decays", "reload_after"):  # fmt: skip
            _require(self, name, getattr(self, name) >= 1, "at least 1")
        for name in ("iw_samples", "mi_samples"):
            _require(self, name, getattr(self, name) >= 2, "at least 2, or it has no standard error")
        for name in ("seed", "max_vocabulary", "max_steps", "max_grad_norm", "kl_weight",
                     "kl_anneal_epochs", "kl_anneal_steps", "iw_exact_samples", "free_bits",
                     "lr_smallest", "valid_kl_weight", "aggressive_max_epochs", "svi_steps",
                     "embedding_init_scale", "mu_batch_norm"):  # fmt: skip
            _require(self, name, getattr(self, name) >= 0, "0 or more")
        for name in ("init_scale", "learning_rate", "adam_epsilon", "svi_step_size", "svi_max_grad_norm"):
            _require(self, name, getattr(self, name) > 0, "above 0")
        _require(
            self, "mi_batch_size", self.mi_batch_size == 0 or self.mi_batch_size >= 2, "0 or at least 2"
        )
        _require(self, "seed", self.seed < 10**18, "below 10**18")
        exact = self.iw_exact_samples
        _require(self, "iw_exact_samples", exact not in range(1, FEWEST_EXACT), "0 or at least 6")
        _require(self, "num_samples", self.num_samples < 10**9, "below 10**9")
        _require(self, "cnn_dropout", 0 <= self.cnn_dropout < 1, "in [0, 1)")
        whole = all(re.fullmatch("[1-9][0-9]{0,5}", part) for part in self.cnn_dilations.split(","))
        _require(self, "cnn_dilations", whole, "positive whole numbers with commas between, such as 1,2,4")
        if self.decoder == "cnn":
            inside = self.cnn_external > self.embedding_size
            _require(self, "cnn_external", inside, f"above embedding_size, {self.embedding_size}")
        _require(self, "dropout", 0 <= self.dropout < 1, "in [0, 1)")
        _require(self, "word_dropout", 0 <= self.word_dropout <= 1, "in [0, 1]")
        source = self.init_encoder_from
        is_folder = re.fullmatch(r"[\w.-]+__seed[0-9]+__[0-9a-f]{8}", source) is not None
        if not is_folder and source not in ("none", *ENCODER_SOURCES):
            raise InputError(
                f"init_encoder_from = {source!r}: give {', '.join(ENCODER_SOURCES)}, or the name (not the "
                "path) of a finished run's folder in the same study; copy a run of another study there"
            )
        if self.objective == "importance_weighted" and self.averaging == "hidden":
            raise InputError(
                "objective = 'importance_weighted' with averaging = 'hidden': the L samples are weighted "
                "there, not averaged; use averaging = 'loss'"
            )
        _require(self, "vmf_kappa", 0 < self.vmf_kappa <= MAX_KAPPA, f"above 0 and at most {MAX_KAPPA:g}")
        if self.posterior == "von_mises_fisher":
            _require(self, "latent_size", self.latent_size >= 2, "at least 2 for a sphere")
        for name in ("adam_beta1", "adam_beta2", "svi_momentum"):
            _require(self, name, 0 <= getattr(self, name) < 1, "in [0, 1)")
        _require(self, "kl_start", 0 <= self.kl_start <= 1, "in [0, 1]")
        if self.lr_schedule == "after_plateau":
            enough = self.learning_rate >= self.lr_smallest
            _require(self, "lr_smallest", enough, f"at most learning_rate, {self.learning_rate:g}")
        if self.inference == "semi_amortised":
            self._check_semi_amortised()
        _require(self, "lr_decay", 0 < self.lr_decay <= 1, "in (0, 1]")
        _require(self, "max_vocabulary", self.max_vocabulary != 1, "0 (all) or at least 2")
        dataset_label(self.dataset)
        if not re.fullmatch(r"[A-Za-z0-9.-]+", self.system):
            raise InputError(f"system = {self.system!r}: use letters, digits, '.' and '-' only")
        if (self.encoder == "none") != (self.averaging == "none"):
            raise InputError(
                f"encoder = {self.encoder!r} with averaging = {self.averaging!r}: both are 'none' "
                "(a language model) or neither is"
            )
        if self.encoder == "none":
            _require(self, "num_samples", self.num_samples == 0, "0 where encoder = 'none'")
        else:
            _require(self, "num_samples", self.num_samples >= 1, "at least 1 (the L of the paper)")
        if self.setting == "inputless" and self.word_dropout > 0:
            raise InputError(
                f"word_dropout = {self.word_dropout} with setting = 'inputless': the decoder reads "
                "no word there; leave word_dropout at 0"
            )

    def _check_semi_amortised(self) -> None:
        if self.posterior == "von_mises_fisher":
            raise InputError(
                "inference = 'semi_amortised' with posterior = 'von_mises_fisher': its gradient steps "
                "would leave the sphere; use posterior = 'gaussian'"
            )
        if self.precision != "float32":
            raise InputError(
                f"precision = {self.precision!r} with inference = 'semi_amortised': its reverse pass takes "
                "differences of gradients, which bfloat16 would round away; use precision = 'float32'"
            )

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


def _require(config: RunConfig, name: str, holds: bool, range_: str) -> None:
    if not holds:
        raise InputError(f"{name} = {getattr(config, name)!r}: must be {range_}")


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
