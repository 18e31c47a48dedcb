"""Check that the changes of a config leave the run the system that it is named after."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from functools import cache
from typing import Any

from lvae_core.config import RunConfig
from lvae_core.errors import InputError
from lvae_core.fields.choices import Setting
from lvae_core.identity import fields_read
from lvae_core.systems import SYSTEMS, recipe

_NO_PART = {"dataset", "system", "setting", "seed", "num_samples", "optimiser"}
"""Fields of the group "run" that choose no part of the model or of its training that a system is named
after. Several systems are trained by Adam only because their authors did so."""

RECIPE = "the recipe of "
"""Begins the advice to choose another system, if the command or the call has no option for it."""


def check_system(base: RunConfig, changes: Mapping[str, Any], option: str = RECIPE) -> None:
    """Check that changed fields do not turn a system into another that has a name.

    A config that has another system's fields already, as an earlier version could make it, is accepted.

    Args:
        base: the recipe, or another config.
        changes: field -> value.
        option: what stands before the name of the other system in the remedy.

    Raises:
        InputError: with these changes the run is another system, or is called one; the message names it.
    """
    if changes.get("system", base.system) != base.system and changes["system"] in SYSTEMS:
        name = changes["system"]
        raise InputError(
            f"system={name}: only renames {base.system}, which tables would then call {name}; use "
            f"{option}{name} instead"
        )
    if found := _found(base, changes):
        name, defining = found
        cause = " ".join(f"{field}={value}" for field, value in defining.items())
        raise InputError(
            f"{cause}: turns {base.system} into {name}, which tables would then call {base.system}; use "
            f"{option}{name} instead"
        )


def system_with(base: RunConfig, changes: Mapping[str, Any]) -> str | None:
    """The system that these changes turn a config into; None if it has no name."""
    found = _found(base, changes)
    return found[0] if found else None


def check_named_rightly(config: RunConfig) -> None:
    """Raise InputError if a config is another system than it is called; a name of yours may be any."""
    if config.system in SYSTEMS:
        check_system(recipe(config.system, setting=config.setting), config.to_dict())


def _found(base: RunConfig, changes: Mapping[str, Any]) -> tuple[str, dict[str, Any]] | None:
    """The system that these changes turn a config into, and the fields that define it."""
    if base.system not in SYSTEMS:
        return None
    before = base.to_dict()
    changed = {**before, **changes}
    found = [
        ((sum(changed[field] != value for field, value in full.items()), -len(full)), name, defining)
        for name, (defining, full) in _others(base.system, base.setting).items()
        if all(changed[field] == value for field, value in defining.items())
        and any(before[field] != value for field, value in defining.items())
    ]
    if not found:
        return None
    # The one that agrees in most: with free bits and an autoencoder's encoder, that of both.
    _, name, defining = min(found, key=lambda other: other[0])
    return name, defining


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
