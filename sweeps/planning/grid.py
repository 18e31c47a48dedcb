"""A grid of runs: every combination of datasets, systems, settings and seeds, as complete configs."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import product
from typing import NamedTuple, cast

from lvae_core.config import RunConfig, dataset_label
from lvae_core.errors import InputError
from lvae_core.fields import Setting
from lvae_core.protocols import Protocol, with_protocol
from lvae_core.settings import apply_where_read, parse_settings, system_name
from lvae_core.systems import recipe

_OWN_OPTIONS = {
    "dataset": "--datasets",
    "system": "--systems",
    "setting": "--settings",
    "seed": "--seeds",
    "num_samples": "--num-samples",
}


class Limit(NamedTuple):
    """The part of a grid that has a system."""

    settings: tuple[str, ...]
    not_on: tuple[str, ...] = ()
    """Labels of datasets."""


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
    protocol: Protocol = "matched"
    """How the systems are trained; see ``lvae_core/protocols.py``."""
    limits: Mapping[str, Limit] = dataclasses.field(default_factory=dict)
    """System -> the part of the grid that has it; a system that is not listed is in all parts."""
    also: tuple[Grid, ...] = ()
    """Further grids whose runs belong to this one. The axes and changes above do not apply to them."""

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
        for dataset in (dataset for grid in self._grids for dataset in grid.datasets):
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
        cells = self._cells()
        configs = [
            replace(config, seed=seed)
            for seed in range(max(grid.seeds for grid in self._grids))
            for grid, config, _ in cells
            if seed < grid.seeds
        ]
        return list(dict.fromkeys(configs))

    def notes(self, changes: Iterable[str]) -> list[str]:
        """A line for each field of ``changes`` (some of the grid's) that some systems do not have."""
        lines = []
        cells = self._cells()
        for field in parse_settings(changes):
            ignoring = [(grid, cell) for grid, cell, ignored in cells if field in ignored]
            if ignoring:
                names = ", ".join(dict.fromkeys(system_name(cell, field) for _, cell in ignoring))
                count, total = sum(g.seeds for g, _ in ignoring), sum(g.seeds for g, *_ in cells)
                lines.append(f"{names}: no {field}; {count} of {total} runs ignore it")
        return lines

    @property
    def _grids(self) -> tuple[Grid, ...]:
        return (self, *(grid for other in self.also for grid in other._grids))

    def _cells(self) -> list[tuple[Grid, RunConfig, list[str]]]:
        """Each distinct cell: its grid, its config of seed 0, and the changed fields it does not read."""
        cells = [(grid, *cell) for grid in self._grids for cell in grid._own_cells()]
        for field in dict.fromkeys(field for grid in self._grids for field in parse_settings(grid.changes)):
            affected = [ignored for grid, _, ignored in cells if field in parse_settings(grid.changes)]
            if all(field in ignored for ignored in affected):
                raise InputError(f"--set {field}: no run of the grid has {field}; leave it out")
        return cells

    def _own_cells(self) -> list[tuple[RunConfig, list[str]]]:
        changes = parse_settings(self.changes)
        cells = {}
        for dataset, (system, samples), setting in product(
            self.datasets, self.systems.items(), self.settings
        ):
            limit = self.limits.get(system)
            if limit and (setting not in limit.settings or dataset_label(dataset) in limit.not_on):
                continue
            for num_samples in samples:
                base = recipe(
                    system, dataset=dataset, setting=cast(Setting, setting), num_samples=num_samples
                )
                base = with_protocol(base, self.protocol)
                config, ignored = apply_where_read(base, changes)
                cells[config] = ignored
        return list(cells.items())


PRESETS: Mapping[str, Grid] = {
    # Kruengkrai (2019), Tables 2 and 3: 2 datasets x 6 systems with their L x 2 settings x 5 seeds.
    "paper": Grid(
        datasets=("ptb", "yahoo"),
        systems={"lstm-lm": (1,), "lstm-vae": (1, 5, 10), "lstm-vae-avg": (5, 10)},
    ),
    # Every row of these tables, also those that the paper cites, where they are published.
    "all": Grid(
        datasets=("ptb", "yahoo"),
        systems={
            "lstm-lm": (1,),
            "lstm-vae": (1, 5, 10),
            "lstm-vae-avg": (5, 10),
            "lstm-vmf-vae": (1,),
            "cnn-lm": (1,),
            "cnn-vae-init": (1,),
            "sa-vae": (1,),
            "lstm-vae-ain": (1,),
        },
        limits={
            "lstm-vmf-vae": Limit(("standard", "inputless"), not_on=("yahoo",)),
            **dict.fromkeys(
                ("cnn-lm", "cnn-vae-init", "sa-vae", "lstm-vae-ain"), Limit(("standard",), not_on=("ptb",))
            ),
        },
    ),
    # The same comparison in a few minutes on two cores, on text that every Python carries: half the
    # sizes of the recipe and few epochs, so smaller batches for more steps in them. It also has a corpus
    # whose -log p(x) is known, on which the paper's number falls below the truth.
    "demo": Grid(
        datasets=("pydocs",),
        systems={"lstm-lm": (1,), "lstm-vae": (1, 5), "lstm-vae-avg": (5,)},
        seeds=2,
        changes=(
            *("embedding_size=32", "hidden_size=64", "batch_size=16"),
            *("max_epochs=6", "kl_anneal_epochs=3", "iw_samples=20"),
        ),
        also=(
            Grid(
                datasets=("topics",),
                systems={"lstm-lm": (1,), "lstm-vae": (1,), "lstm-vae-avg": (5, 10), "lstm-iwae": (10,)},
                settings=("inputless",),
                seeds=1,
                changes=("iw_samples=100",),
            ),
        ),
    ),
}
