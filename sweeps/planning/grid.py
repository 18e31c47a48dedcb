"""A grid of runs: every combination of datasets, systems, settings and seeds, as complete configs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import product
from typing import cast

from lvae_core.config import RunConfig, Setting, apply_settings, dataset_label
from lvae_core.errors import InputError
from lvae_core.systems import recipe

_OWN_OPTIONS = {
    "dataset": "--datasets",
    "system": "--systems",
    "setting": "--settings",
    "seed": "--seeds",
    "num_samples": "--num-samples",
}


@dataclass(frozen=True, kw_only=True)
class Grid:
    """What to run.

    Raises:
        InputError: a list is empty, there is no seed, two datasets would share one name, or ``changes``
            holds a field that is an axis of the grid.
    """

    datasets: tuple[str, ...]
    """Names or paths."""
    systems: Mapping[str, tuple[int, ...]]
    """System -> its L; a system without a latent variable has one cell whatever L."""
    settings: tuple[str, ...] = ("standard", "inputless")
    seeds: int = 5
    """Seeds 0 to ``seeds`` - 1."""
    changes: tuple[str, ...] = ()
    """``FIELD=VALUE`` for every run, applied over the recipe in this order."""

    def __post_init__(self) -> None:
        for values, option in (
            (self.datasets, "--datasets"),
            (self.systems, "--systems"),
            (self.settings, "--settings"),
            (all(self.systems.values()), "--num-samples"),
        ):
            if not values:
                raise InputError(f"{option}: give at least one value")
        if self.seeds < 1:
            raise InputError(f"--seeds {self.seeds}: must be at least 1")
        places: dict[str, str] = {}
        for dataset in self.datasets:
            other = places.setdefault(dataset_label(dataset), dataset)
            if other != dataset:
                raise InputError(
                    f"--datasets {other} {dataset}: both would be called {dataset_label(dataset)!r} in the "
                    "tables; rename a folder, or give them different studies"
                )
        for change in self.changes:
            field = change.partition("=")[0].strip()
            if field in _OWN_OPTIONS:
                raise InputError(f"--set {change}: the grid chooses {field}; use {_OWN_OPTIONS[field]}")

    def configs(self) -> list[RunConfig]:
        """One config a run, seed by seed, so that a grid cut short has every cell.

        Raises:
            InputError: an unknown system, setting or field, or a value out of its range.
        """
        cells = [
            apply_settings(
                recipe(system, dataset=dataset, setting=cast(Setting, setting), num_samples=num_samples),
                self.changes,
            )
            for dataset, (system, samples), setting in product(
                self.datasets, self.systems.items(), self.settings
            )
            for num_samples in samples
        ]
        return [replace(config, seed=seed) for seed in range(self.seeds) for config in dict.fromkeys(cells)]


PRESETS: Mapping[str, Grid] = {
    # Kruengkrai (2019), Tables 2 and 3: 2 datasets x 6 systems with their L x 2 settings x 5 seeds.
    "paper": Grid(
        datasets=("ptb", "yahoo"),
        systems={"lstm-lm": (1,), "lstm-vae": (1, 5, 10), "lstm-vae-avg": (5, 10)},
    ),
    # The same comparison in a few minutes on two cores, on text that every Python carries: half the
    # sizes of the recipe and few epochs, so smaller batches for more steps in them.
    "demo": Grid(
        datasets=("pydocs",),
        systems={"lstm-lm": (1,), "lstm-vae": (1, 5), "lstm-vae-avg": (5,)},
        seeds=2,
        changes=(
            *("embedding_size=32", "hidden_size=64", "batch_size=16"),
            *("max_epochs=6", "kl_anneal_epochs=3", "iw_samples=20"),
        ),
    ),
}
