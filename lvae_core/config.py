"""The config of a run: one flat, frozen value that holds everything that can change its numbers.

A field belongs to :class:`RunConfig` if, and only if, changing it can change a digit of the result. Where a
run executes, how it logs and what runs beside it live elsewhere. Each field names the part and the stage
that read it. From that follow the fingerprint (``identity.py``), what ``--set`` refuses
(``settings.py``) and what a search may vary.
"""

from __future__ import annotations

import copy
import functools
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import PurePath
from typing import Any, Literal, get_args, get_origin, get_type_hints

from lvae_core.combinations import check_combinations
from lvae_core.errors import InputError, check_name
from lvae_core.fields.evaluation import EvaluationFields
from lvae_core.fields.model import ModelFields
from lvae_core.fields.objective import ObjectiveFields
from lvae_core.fields.optimisation import OptimisationFields
from lvae_core.fields.parts import PARTS
from lvae_core.fields.run import RunFields


@dataclass(frozen=True, kw_only=True)
class RunConfig(EvaluationFields, OptimisationFields, ObjectiveFields, ModelFields, RunFields):
    """One run, complete. Recipes (``systems.py``) start from these values and change some of them.

    The values are those of Kruengkrai (2019), §5, on Penn Treebank, but for ``patience_rule``, where the
    default is the rule of the first runs, because a fingerprint leaves out a field at its default.

    Raises:
        InputError: a value lies outside its field's range, or two fields contradict each other.
    """

    def __post_init__(self) -> None:
        _check_types(self)
        dataset_label(self.dataset)
        _check_ranges(self)
        check_combinations(self)

    def has(self, part: str) -> bool:
        """Whether the run has a part, one of :data:`lvae_core.fields.parts.PARTS`."""
        return PARTS[part].is_chosen(self)

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


def draft(config: RunConfig, changes: Mapping[str, Any]) -> RunConfig:
    """Change some fields of a config, and check nothing but the types of its values.

    Of several changes that belong together, some alone may contradict each other: the last step to the
    whole is ``dataclasses.replace``, which checks everything.

    Raises:
        InputError: a value has another type than its field, or is none of its choices.
    """
    changed = copy.copy(config)  # without __post_init__
    for name, value in changes.items():
        object.__setattr__(changed, name, value)
    _check_types(changed)
    return changed


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


TYPE_WORDS = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}
"""Type of a field -> what its value must be, for messages."""


_RANGES = {f.name: f.metadata["ranges"] for f in fields(RunConfig) if f.metadata["ranges"]}


def _check_ranges(config: RunConfig) -> None:
    for name, ranges in _RANGES.items():
        value = getattr(config, name)
        for range_ in ranges:
            if not range_.holds(value) and config.has(range_.part):
                raise InputError(f"{name} = {value!r}: must be {range_.text}")


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
            raise InputError(f"{name} = {value!r}: must be {TYPE_WORDS[type_]}")
        if type_ is float and not math.isfinite(value):
            raise InputError(f"{name} = {value!r}: must be finite")
        if type_ is float and value == 0:
            object.__setattr__(config, name, 0.0)  # and not -0.0, which JSON tells apart
