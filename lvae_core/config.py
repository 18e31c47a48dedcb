"""What a run is: one flat, frozen value that holds everything that can change its numbers.

A field is in :class:`RunConfig` if, and only if, changing it can change a digit of the result; where a
run executes, how it logs and what runs beside it live elsewhere. The :func:`fingerprint` over that value
and the content of the data is the name under which a result is kept and found again.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any, Literal, get_args, get_origin, get_type_hints

from lvae_core.errors import InputError, check_name

NUMERICS_VERSION = 6
"""Raised by every change of the core that changes a run's numbers; part of the fingerprint."""

Setting = Literal["standard", "inputless"]
Averaging = Literal["none", "loss", "hidden"]
Encoder = Literal["none", "lstm"]
Batching = Literal["bucketed", "shuffled"]
Precision = Literal["float32", "bfloat16", "auto"]
EvalPrecision = Literal["float32", "bfloat16"]


def _option(default: Any, help: str) -> Any:
    return field(default=default, metadata={"help": help})


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """One run, complete. Defaults are Kruengkrai (2019) §5 on Penn Treebank; see ``recipes.py``.

    Raises:
        InputError: a value lies outside its field's range, or two fields contradict each other.
    """

    # Which run
    dataset: str = _option("ptb", "ptb, yahoo, pydocs, toy, or the path of a folder of three splits")
    system: str = _option("lstm-vae", "row of the paper's tables that this run belongs to")
    setting: Setting = _option("standard", "inputless: the decoder reads no word, only z")
    seed: int = _option(0, "root of every random stream of the run")

    # Data
    min_count: int = _option(1, "training words seen less often become the unknown word")
    max_vocabulary: int = _option(0, "keep this many classes at most, </s> included; 0: all")
    max_length: int = _option(512, "a sentence of more predicted tokens is refused")

    # Model (§4)
    encoder: Encoder = _option("lstm", "none: no latent variable, a language model")
    averaging: Averaging = _option("loss", "over the L samples: loss (Eq. 3) or hidden states (Eq. 7)")
    num_samples: int = _option(1, "L, latent samples a sentence at a gradient step; 0: no latent")
    embedding_size: int = _option(100, "D, word embedding")
    hidden_size: int = _option(400, "H, LSTM state of encoder and decoder")
    latent_size: int = _option(32, "Z, latent variable")
    share_embeddings: bool = _option(False, "encoder and decoder read one embedding table")
    linear_bias: bool = _option(False, "add a bias to M1..M4 (the paper's equations have none)")
    init_scale: float = _option(0.1, "every parameter starts as U(-a, a)")
    dropout: float = _option(0.5, "on the decoder's input embedding and on the softmax's input")
    dropout_latent_input: bool = _option(False, "the same dropout on z where it enters as input")
    dropout_encoder: bool = _option(False, "the same dropout on the encoder's input embedding")
    word_dropout: float = _option(0.0, "P(an input word is hidden from the decoder), Bowman 2016")

    # Objective
    kl_weight: float = _option(1.0, "beta after annealing")
    kl_anneal_epochs: float = _option(10.0, "epochs over which beta rises linearly from 0")

    # Optimiser and schedule
    batch_size: int = _option(32, "sentences a gradient step")
    batching: Batching = _option("bucketed", "bucketed: sentences of like length share a batch")
    learning_rate: float = _option(1.0, "of plain SGD, before any halving")
    max_grad_norm: float = _option(5.0, "the gradient's 2-norm is clipped to this; 0: no clipping")
    lr_decay: float = _option(0.5, "factor on the rate when validation perplexity does not improve")
    decay_while_annealing: bool = _option(
        False, "an epoch with beta < 1, too, may halve the rate and count against patience"
    )
    patience: int = _option(3, "stop at this many epochs without improvement, in all")
    max_epochs: int = _option(30, "epochs at most")
    max_steps: int = _option(0, "gradient steps at most (a smoke test); 0: no limit")

    # Evaluation
    valid_samples: int = _option(1, "draws a sentence for the validation ELBO of each epoch")
    iw_samples: int = _option(500, "S, importance samples a sentence for the test estimates")
    iw_exact_samples: int = _option(
        24, "score so many of the S draws in full and all roughly (see two_phase.py); 0: all in full"
    )
    mi_samples: int = _option(8, "draws of z a sentence for the mutual information")
    eval_batch_size: int = _option(32, "sentences encoded together in evaluation")
    eval_chunk_tokens: int = _option(16384, "decoder positions at once in evaluation: bounds memory")

    # Arithmetic
    precision: Precision = _option(
        "float32", "of training's matrix products; auto: bfloat16 where the processor is quick at it"
    )
    eval_precision: EvalPrecision = _option("float32", "of the estimates' matrix products")
    deterministic: bool = _option(True, "only algorithms whose result is the same every time")

    def __post_init__(self) -> None:
        _check_types(self)
        for name in ("min_count", "max_length", "embedding_size", "hidden_size", "latent_size",
                     "batch_size", "patience", "max_epochs", "valid_samples", "eval_batch_size",
                     "eval_chunk_tokens"):  # fmt: skip
            _require(self, name, getattr(self, name) >= 1, "at least 1")
        for name in ("iw_samples", "mi_samples"):
            _require(self, name, getattr(self, name) >= 2, "at least 2, or it has no standard error")
        for name in ("seed", "max_vocabulary", "max_steps", "max_grad_norm", "kl_weight",
                     "kl_anneal_epochs", "iw_exact_samples"):  # fmt: skip
            _require(self, name, getattr(self, name) >= 0, "0 or more")
        for name in ("init_scale", "learning_rate"):
            _require(self, name, getattr(self, name) > 0, "above 0")
        _require(self, "seed", self.seed < 10**18, "below 10**18")
        # Shared out among three estimates, of which each needs two for a variance.
        _require(self, "iw_exact_samples", self.iw_exact_samples not in range(1, 6), "0 or at least 6")
        _require(self, "num_samples", self.num_samples < 10**9, "below 10**9")
        _require(self, "dropout", 0 <= self.dropout < 1, "in [0, 1)")
        _require(self, "word_dropout", 0 <= self.word_dropout <= 1, "in [0, 1]")
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

    @property
    def cell(self) -> str:
        """Everything but the seed and the variant: ``<dataset>__<system>__<setting>__L<n>``."""
        label = dataset_label(self.dataset)
        return f"{label}__{self.system}__{self.setting}__L{self.num_samples}"

    def to_dict(self) -> dict[str, Any]:
        """The config as a plain dictionary, fields in declaration order."""
        return dict(vars(self))


def fields_help() -> dict[str, str]:
    """Name of every config field -> one line of documentation."""
    return {f.name: str(f.metadata["help"]) for f in dataclasses.fields(RunConfig)}


def from_dict(values: Mapping[str, Any]) -> RunConfig:
    """Build a config from a dictionary (a ``config.json``); absent fields take their default.

    Raises:
        InputError: an unknown field (the nearest valid name is given) or an invalid value.
    """
    for name in values:
        check_name(name, _TYPES, "config field")
    return RunConfig(**dict(values))


def apply_settings(config: RunConfig, settings: Iterable[str]) -> RunConfig:
    """Apply ``FIELD=VALUE`` strings, as ``--set`` takes them.

    Raises:
        InputError: a setting is malformed, its field unknown, or its value of the wrong type.
    """
    changes: dict[str, Any] = {}
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not equals:
            raise InputError(f"--set {setting}: write FIELD=VALUE, such as --set learning_rate=0.5")
        name = name.strip()
        check_name(name, _TYPES, "config field")
        changes[name] = _parse(name, text.strip())
    return dataclasses.replace(config, **changes)


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


def canonical_json(value: Any) -> str:
    """One text for one value: sorted keys, no spaces, shortest round-trip floats, no NaN."""
    return _CANONICAL.encode(value)


_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False)


def fingerprint(config: RunConfig, data_sha256: str) -> str:
    """SHA-256 (64 hex digits) of all that can change the run's numbers.

    A folder's path counts by its last name and its content, not by where it lies.
    """
    payload = {
        "config": config.to_dict() | {"dataset": dataset_label(config.dataset)},
        "data": data_sha256,
        "numerics": NUMERICS_VERSION,
    }
    return hashlib.sha256(canonical_json(payload).encode()).hexdigest()


_TYPES: dict[str, Any] = get_type_hints(RunConfig)
_CHOICES: dict[str, tuple[str, ...]] = {
    name: get_args(type_) for name, type_ in _TYPES.items() if get_origin(type_) is Literal
}


def _require(config: RunConfig, name: str, holds: bool, range_: str) -> None:
    if not holds:
        raise InputError(f"{name} = {getattr(config, name)!r}: must be {range_}")


def _check_types(config: RunConfig) -> None:
    for name, type_ in _TYPES.items():
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


def _parse(name: str, text: str) -> Any:
    type_ = _TYPES[name]
    try:
        if type_ is bool:
            return {"true": True, "1": True, "false": False, "0": False}[text.lower()]
        if type_ is int or type_ is float:
            return type_(text)
    except (KeyError, ValueError):
        kind = {bool: "true or false", int: "a whole number", float: "a number"}[type_]
        raise InputError(f"{name}={text}: must be {kind}") from None
    return text
