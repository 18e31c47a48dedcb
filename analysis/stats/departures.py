"""Departures of runs from the recipes of their systems, because of which cells are trained differently.

A comparison of systems shows the effect of the differences of their recipes. A field that somebody changed
for one of them is a further difference, whose effect the comparison cannot separate.
"""

from __future__ import annotations

import functools
from dataclasses import fields
from typing import Any, cast

from analysis.reading.frame import CONFIG_FIELDS, EVALUATION_FIELDS
from analysis.stats.cells import Cell
from lvae_core.config import RunConfig
from lvae_core.systems import SYSTEMS, recipe

OF_SYSTEM = frozenset(f.name for f in fields(RunConfig) if f.metadata["group"] == "run")
"""Fields that identify the system, not its training."""

TRAINING_FIELDS = tuple(name for name in CONFIG_FIELDS if name not in {*OF_SYSTEM, *EVALUATION_FIELDS})
"""The fields in which training can depart from a recipe."""


@functools.lru_cache
def recipe_of(system: str, dataset: str, setting: str) -> RunConfig:
    """The recipe that a run is held to; for an unknown system that of the ordinary model."""
    return recipe(system if system in SYSTEMS else "lstm-vae", dataset=dataset, setting=cast(Any, setting))


def unequal_fields(a: Cell, b: Cell) -> list[str]:
    """The training fields in which two systems differ by more than their recipes.

    The list is empty for two variants of one system: their names say in what they differ.
    """
    if a.system == b.system:
        return []
    return [
        name
        for name, value in a.training.items()
        if b.training.get(name, value) != value and not (_follows(a, name) and _follows(b, name))
    ]


def _follows(cell: Cell, name: str) -> bool:
    planned = recipe_of(cell.system, cell.dataset, cell.setting)
    return bool(cell.training[name] == getattr(planned, name))
