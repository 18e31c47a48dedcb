"""Identity of a run's training and of an evaluation: hashes of exactly what each of them reads.

:func:`fingerprint` names a run. It covers the fields that this system reads while it trains, the content of
its data and the numerics version of its parts. Fields of parts that are not chosen and fields that only the
estimates read are not in it, so a new part, a new evaluation field or another number of importance samples
orphans no finished run. :func:`evaluation_id` names a set of estimates of a trained run.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from typing import Any, Literal

from lvae_core.config import RunConfig, dataset_label
from lvae_core.fields.parts import PARTS
from lvae_core.parents import parent_of
from lvae_core.rough_scoring import may_validate_roughly

NUMERICS_VERSION = 6
"""Incremented by every change to the core that changes the numbers of a run's training."""

EVALUATION_VERSION = 1
"""Incremented by every change to the core that changes the estimates of a trained model."""

PART_VERSIONS: dict[tuple[str, str], int] = {
    ("objective", "importance_weighted"): 2,  # validation takes the bound of L samples; it was the ELBO
}
"""(selector field, its value) -> numerics version of a part that was added after version 6, for example
``("posterior", "von_mises_fisher"): 1``. Incrementing one renames only the runs that use the part."""

# Version 6 hashed every field, read or not. A field that is not read is hashed with the value that the
# recipes gave it then, so that those fingerprints stay valid.
_STAND_INS: dict[str, Any] = {
    "hidden_size": 400,
    "share_embeddings": False,
    "dropout_latent_input": False,
    "dropout_encoder": False,
    "word_dropout": 0.0,
    "kl_weight": 1.0,
    "kl_anneal_epochs": 10.0,
    "decay_while_annealing": False,
    "patience": 3,
    "valid_samples": 1,
    "iw_samples": 500,
    "iw_exact_samples": 24,
    "mi_samples": 8,
}
_LATENT_SIZES = {"pydocs": 16, "toy": 2}
_LATENT_SIZE = 32

_HASHED_AT_DEFAULT = {"svi_steps", "svi_step_size", "svi_momentum"}
"""Added fields that an evaluation hashes at their defaults, too: the first that read them did so."""

_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False)


def canonical_json(value: Any) -> str:
    """One text for one value: sorted keys, no spaces, shortest round-trip floats, no NaN."""
    return _CANONICAL.encode(value)


def fields_read(config: RunConfig, stage: Literal["training", "evaluation"]) -> frozenset[str]:
    """Names of the config fields that this run reads in a stage; validation belongs to training."""
    chosen = {name for name, part in PARTS.items() if part.is_chosen(config)}
    read = {
        f.name
        for f in dataclasses.fields(RunConfig)
        if f.metadata["part"] in chosen and f.metadata["stage"] in (stage, "both")
    }
    if stage == "training" and "valid_samples" in read and may_validate_roughly(config.valid_samples):
        read.add("iw_exact_samples")
    return frozenset(read)


def training_fields(config: RunConfig) -> list[str]:
    """The fields that set this run's training apart from other runs', in declaration order.

    A field that was added after version 6 is among them only if it differs from its default, because every
    run before it trained as the default does.
    """
    read = fields_read(config, "training")
    return [
        f.name
        for f in dataclasses.fields(RunConfig)
        if f.name in read and not (f.metadata["added"] and getattr(config, f.name) == f.default)
    ]


def training_differences(config: RunConfig, other: RunConfig) -> list[str]:
    """The fields in which the training of two configs differs, in declaration order.

    They are enough to tell why two runs on the same data differ. The location of a folder is no difference.
    """
    read = fields_read(config, "training") | fields_read(other, "training")
    a, b = (vars(c) | {"dataset": dataset_label(c.dataset)} for c in (config, other))
    return [f.name for f in dataclasses.fields(RunConfig) if f.name in read and a[f.name] != b[f.name]]


def fingerprint(config: RunConfig, data_sha256: str) -> str:
    """SHA-256 (64 hex digits) of all that a run's training depends on.

    If the run starts from a parent, the parent's fingerprint is included. Of a dataset's folder, the last
    part of the path and the content are included, but not its location.
    """
    payload: dict[str, Any] = {
        "config": _training_values(config),
        "data": data_sha256,
        "numerics": NUMERICS_VERSION,
    }
    versions = {
        f"{field}={value}": version
        for (field, value), version in PART_VERSIONS.items()
        if getattr(config, field) == value and field in fields_read(config, "training")
    }
    if versions:
        payload["parts"] = versions
    if (parent := parent_of(config)) is not None:
        payload["parent"] = fingerprint(parent, data_sha256)
    return hashlib.sha256(canonical_json(payload).encode()).hexdigest()


def is_fingerprint(recorded: str, config: RunConfig, data_sha256: str) -> bool:
    """Whether a fingerprint that a folder records is that of this config over this data.

    Folders of version 6 record a hash over every field that there was then, read or not.
    """
    if recorded == fingerprint(config, data_sha256):
        return True
    return NUMERICS_VERSION == 6 and recorded == _fingerprint_of_version_6(config, data_sha256)


def is_same_training(recorded: str, present: RunConfig, key: str, data_sha256: str) -> bool:
    """Whether a folder holds the training that a fingerprint names.

    Args:
        recorded: the fingerprint that the folder records.
        present: the config that the folder holds.
        key: the fingerprint of the run that is looked for.
        data_sha256: content hash of that run's data.
    """
    return fingerprint(present, data_sha256) == key and is_fingerprint(recorded, present, data_sha256)


def evaluation_id(config: RunConfig, version: int | None = None) -> str:
    """SHA-256 (64 hex digits) of all that the estimates depend on, apart from the trained run itself.

    Args:
        config: the run's config.
        version: the version of the estimates; None: the current one.
    """
    # A field that came later is hashed only if it differs from its default, as in training.
    added = {
        f.name: f.default
        for f in dataclasses.fields(RunConfig)
        if f.metadata["added"] and f.name not in _HASHED_AT_DEFAULT
    }
    values = evaluation_values(config)
    payload = {
        "config": {n: v for n, v in values.items() if n not in added or v != added[n]},
        "version": EVALUATION_VERSION if version is None else version,
    }
    return hashlib.sha256(canonical_json(payload).encode()).hexdigest()


def evaluation_values(config: RunConfig) -> dict[str, Any]:
    """The fields that this run's estimates read, with their values, in declaration order."""
    read = fields_read(config, "evaluation")
    return {
        f.name: getattr(config, f.name)
        for f in dataclasses.fields(RunConfig)
        if f.name in read and f.metadata["stage"] != "training"
    }


def _fingerprint_of_version_6(config: RunConfig, data_sha256: str) -> str | None:
    """The fingerprint by the rule of version 6; None if version 6 had no such training."""
    added = {f.name for f in dataclasses.fields(RunConfig) if f.metadata["added"]}
    if config.valid_precision != config.eval_precision or added.intersection(training_fields(config)) - {
        "valid_precision"
    }:
        return None
    values = {name: value for name, value in config.to_dict().items() if name not in added}
    payload = {
        "config": values | {"dataset": dataset_label(config.dataset)},
        "data": data_sha256,
        "numerics": 6,
    }
    return hashlib.sha256(canonical_json(payload).encode()).hexdigest()


def _training_values(config: RunConfig) -> dict[str, Any]:
    """Field -> value as it is hashed."""
    values = {name: getattr(config, name) for name in training_fields(config)}
    # Version 6 had one field for the precision of validation and of the estimates.
    values.pop("valid_precision", None)
    latent_size = _LATENT_SIZES.get(dataset_label(config.dataset), _LATENT_SIZE)
    stand_ins = _STAND_INS | {"latent_size": latent_size, "eval_precision": config.valid_precision}
    return stand_ins | values | {"dataset": dataset_label(config.dataset)}
