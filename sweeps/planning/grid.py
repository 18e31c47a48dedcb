"""A grid of runs: every combination of datasets, systems, settings and seeds, as complete configs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import product
from typing import cast

from lvae_core.config import RunConfig, Setting, dataset_label
from lvae_core.errors import InputError
from lvae_core.settings import apply_where_read, parse_settings, system_name
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
    """The axes of a grid, and changes to every run.

    Raises:
        InputError: a list is empty, there is no seed, two datasets would share one name, or ``changes``
            holds a field that is an axis of the grid.
    """

    datasets: tuple[str, ...]
    """Names, or paths of folders."""
    systems: Mapping[str, tuple[int, ...]]
    """System -> its values of L; a system without a latent variable has one cell for all of them."""
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
        """One config per run, seed by seed, so that a grid cut short has every cell.

        Raises:
            InputError: an unknown system, setting or field, a value out of its range, or a field that no
                run of the grid reads.
        """
        cells = [cell for cell, _ in self._cells()]
        return [replace(config, seed=seed) for seed in range(self.seeds) for config in cells]

    def notes(self, changes: Iterable[str]) -> list[str]:
        """A line for each field of ``changes``, a part of the grid's, that some systems do not have."""
        lines = []
        cells = self._cells()
        for field in parse_settings(changes):
            ignoring = [cell for cell, ignored in cells if field in ignored]
            if ignoring:
                names = ", ".join(dict.fromkeys(system_name(cell, field) for cell in ignoring))
                count, total = self.seeds * len(ignoring), self.seeds * len(cells)
                lines.append(f"{names}: no {field}; {count} of {total} runs ignore it")
        return lines

    def _cells(self) -> list[tuple[RunConfig, list[str]]]:
        """Each distinct cell's config of seed 0, and the changed fields that it does not read."""
        changes = parse_settings(self.changes)
        cells = {}
        for dataset, (system, samples), setting in product(
            self.datasets, self.systems.items(), self.settings
        ):
            for num_samples in samples:
                base = recipe(
                    system, dataset=dataset, setting=cast(Setting, setting), num_samples=num_samples
                )
                config, ignored = apply_where_read(base, changes)
                cells[config] = ignored
        for field in changes:
            if all(field in ignored for ignored in cells.values()):
                raise InputError(f"--set {field}: no run of the grid has {field}; leave it out")
        return list(cells.items())


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
