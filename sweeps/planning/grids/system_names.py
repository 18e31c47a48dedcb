"""Check that the changes of a grid leave every run the system that it is named after."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from functools import cache
from typing import Any

from lvae_core.config import RunConfig
from lvae_core.errors import InputError
from lvae_core.fields import Setting
from lvae_core.identity import fields_read
from lvae_core.systems import SYSTEMS, recipe

_NO_PART = {"dataset", "system", "setting", "seed", "num_samples", "optimiser"}
"""Fields of the group "run" that choose no part of the model or of its training that a system is named
after. Several systems are trained by Adam only because their authors did so."""


def check_system(base: RunConfig, changes: Mapping[str, Any]) -> None:
    """Check that changed fields do not turn a system into another that has a name.

    Args:
        base: the recipe.
        changes: field -> value.

    Raises:
        InputError: with these changes the run is another system, which the message names.
    """
    changed = {**base.to_dict(), **changes}
    found = [
        ((sum(changed[field] != value for field, value in full.items()), -len(full)), name, defining)
        for name, (defining, full) in _others(base.system, base.setting).items()
        if all(changed[field] == value for field, value in defining.items())
    ]
    if found:
        # The one that agrees in most: with free bits and an autoencoder's encoder, that of both.
        _, name, defining = min(found, key=lambda other: other[0])
        cause = " ".join(f"{field}={value}" for field, value in defining.items())
        raise InputError(
            f"{cause}: turns {base.system} into {name}, which tables would then call {base.system}; use "
            f"--systems {name} instead"
        )


@cache
def _others(system: str, setting: Setting) -> dict[str, tuple[dict[str, Any], dict[str, Any]]]:
    """The other systems: the fields and values that define each next to ``system``, and all that differ.

    If the two have different parts, these define it. Otherwise all differing fields that both read do.
    """
    own = recipe(system, setting=setting)
    others = {}
    for name in SYSTEMS:
        other = recipe(name, setting=setting)
        read = fields_read(own, "training") & fields_read(other, "training")
        differing = {
            f.name: getattr(other, f.name)
            for f in fields(RunConfig)
            if getattr(own, f.name) != getattr(other, f.name) and f.name not in ("system", "num_samples")
        }
        parts = {n: v for n, v in differing.items() if _GROUPS[n] == "run" and n not in _NO_PART}
        if defining := parts or {n: v for n, v in differing.items() if n in read}:
            others[name] = defining, differing
    return others


_GROUPS = {f.name: f.metadata["group"] for f in fields(RunConfig)}
