"""A grid of runs: every combination of datasets, systems, settings and seeds, as complete configs."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product
from typing import NamedTuple, cast

from lvae_core.config import RunConfig, dataset_label
from lvae_core.errors import InputError
from lvae_core.fields.choices import Setting
from lvae_core.fields.parts import EFFECTS
from lvae_core.identity import fields_read
from lvae_core.messages import numbered
from lvae_core.protocols import ORIGINALS, Protocol, with_protocol
from lvae_core.settings import apply_where_read, leave_out, system_name
from lvae_core.system_names import check_system
from lvae_core.systems import recipe
from sweeps.planning.grids.axes import (
    Axis,
    check_given_once,
    combinations,
    field_of,
    number_of_points,
    parse_changes,
    parse_zip,
)

OWN_OPTIONS = {
    "dataset": "--datasets",
    "system": "--systems",
    "setting": "--settings",
    "seed": "--seeds",
    "num_samples": "--num-samples",
}


_DATA_FIELDS = [f.name for f in dataclasses.fields(RunConfig) if f.metadata["group"] == "data"]
_ESTIMATE_FIELDS = {f.name for f in dataclasses.fields(RunConfig) if f.metadata["stage"] == "evaluation"}

MAX_RUNS = 100_000
"""The largest number of runs of a grid. Planning reads the folders of all of them."""


class Limit(NamedTuple):
    """The part of a grid that has a system."""

    settings: tuple[str, ...] = ()
    """Empty: all of the grid's."""
    not_on: tuple[str, ...] = ()
    """Labels of datasets."""


@dataclass(frozen=True, kw_only=True)
class Grid:
    """The axes of a grid, and changes to every run.

    Raises:
        InputError: a list is empty, there is no seed, two datasets would share one name, or ``changes`` or
            ``zips`` hold a field that has a separate option.
    """

    datasets: tuple[str, ...]
    """Names, or paths of folders."""
    systems: Mapping[str, tuple[int, ...]]
    """System -> its values of L; a system without a latent variable has one cell for all of them."""
    settings: tuple[str, ...] = ("standard", "inputless")
    seeds: int | tuple[int, ...] = 5
    """The seeds; a number N stands for 0 to N - 1."""
    changes: tuple[str, ...] = ()
    """``FIELD=VALUE`` for every run, or ``FIELD=A,B`` for runs with each of the values; see axes.py. A
    later one of a field replaces an earlier one."""
    zips: tuple[tuple[str, ...], ...] = ()
    """Groups of ``FIELD=A,B`` whose values are paired."""
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
        if isinstance(self.seeds, int) and self.seeds < 1:
            raise InputError(f"--seeds {self.seeds}: must be at least 1")
        if not self.seeds:
            raise InputError("--seeds: give at least one seed")
        places: dict[str, str] = {}
        for dataset in (dataset for grid in self.grids for dataset in grid.datasets):
            other = places.setdefault(dataset_label(dataset), dataset)
            if other != dataset:
                raise InputError(
                    f"--datasets {other} {dataset}: both would be called {dataset_label(dataset)!r} in the "
                    "tables; rename a folder, or give them different studies"
                )
        given = [("--set", self.changes), *(("--zip", settings) for settings in self.zips)]
        for option, change in ((option, change) for option, settings in given for change in settings):
            field = field_of(change)
            if field in OWN_OPTIONS:
                raise InputError(f"{option} {change}: the grid chooses {field}; use {OWN_OPTIONS[field]}")

    @cached_property
    def axes(self) -> tuple[Axis, ...]:
        """The axes of ``changes`` and of ``zips``.

        Raises:
            InputError: a field is malformed or unknown, has a value of the wrong type, or is given twice.
        """
        changed = parse_changes(self.changes)
        zipped = [parse_zip(settings) for settings in self.zips]
        fields = [field for axis in zipped for field in axis.fields]
        check_given_once(fields, "--zip")
        check_given_once([*changed, *fields], "--set and --zip")
        return (*changed.values(), *zipped)

    @property
    def fields(self) -> list[str]:
        """The fields of ``changes`` and of ``zips``."""
        return [field for axis in self.axes for field in axis.fields]

    @cached_property
    def seed_list(self) -> Sequence[int]:
        """The seeds of this grid alone."""
        return range(self.seeds) if isinstance(self.seeds, int) else self.seeds

    @property
    def grids(self) -> tuple[Grid, ...]:
        """The grid itself and those that belong to it."""
        return (self, *(grid for other in self.also for grid in other.grids))

    def check(self) -> None:
        """Raise InputError as :meth:`configs` does, seeds that are too large excepted."""
        _ = self._cells

    def configs(self) -> list[RunConfig]:
        """One config per run, seed by seed, so that a grid cut short has every cell.

        Raises:
            InputError: an unknown system, setting or field, a value out of its range, a field that no run
                of the grid reads, changes that make a system another, values that cannot be in one grid,
                or too many runs.
        """
        cells = self._cells
        of_grid = {id(grid): frozenset(grid.seed_list) for grid in self.grids}
        configs = [
            replace(config, seed=seed)
            for seed in sorted(frozenset().union(*of_grid.values()))
            for grid, config, _ in cells
            if seed in of_grid[id(grid)]
        ]
        return list(dict.fromkeys(configs))

    def unread(self) -> set[str]:
        """The changed fields that no run of this grid alone reads. Raises InputError as :meth:`configs`."""
        return set(self.fields).intersection(*(ignored for _, ignored in self._own_cells()))

    def notes(self, fields: Iterable[str]) -> list[str]:
        """Lines about runs that are not what the user may expect.

        Args:
            fields: changed fields of the grid; each that some systems do not have, or that has no effect
                in some, gets a line.
        """
        ignored: dict[tuple[str, int], list[str]] = {}
        for field in fields:
            ignoring = [(grid, cell) for grid, cell, left in self._cells if field in left]
            if ignoring:
                names = ", ".join(dict.fromkeys(system_name(cell, field) for _, cell in ignoring))
                count = sum(len(grid.seed_list) for grid, _ in ignoring)
                ignored.setdefault((names, count), []).append(field)
        total = sum(len(grid.seed_list) for grid, *_ in self._cells)
        lines = []
        for (names, count), unread in ignored.items():
            them = "it" if len(unread) == 1 else "them"
            lines.append(f"{names}: no {', '.join(unread)}; {count} of {total} runs ignore {them}")
        for field in fields:
            lines += self._without_effect(field)
        cells = [cell for _, cell, _ in self._cells]
        planned = {cell.system for cell in cells}
        without = {system: None for grid in self.grids for system in grid.systems if system not in planned}
        lines += [
            f"{system}: no run, as the grid limits it to other settings or datasets" for system in without
        ]
        if averaged := [cell for cell in cells if cell.averaging == "hidden"]:
            lines += _of_one_sample(averaged, "is lstm-vae: one sample leaves nothing to average")
        if weighted := [cell for cell in cells if cell.objective == "importance_weighted"]:
            lines += _of_one_sample(weighted, "has the bound of lstm-vae: that of one sample is the ELBO")
        return lines

    def _without_effect(self, field: str) -> Iterator[str]:
        """A line if some cells read a field to no effect, and how many of them train the same numbers."""
        if (effect := EFFECTS.get(field)) is None:
            return
        idle = [
            cell
            for grid, cell, ignored in self._cells
            if field in grid.fields and field not in ignored and not effect.is_chosen(cell)
        ]
        if idle:
            names = ", ".join(dict.fromkeys(cell.system for cell in idle))
            plain = {field: getattr(RunConfig(), field)}
            twins = len(idle) - len({replace(cell, **plain) for cell in idle})
            again = f"; {numbered(twins, 'cell')} would repeat another's numbers" if twins else ""
            yield f"{names}: {field} has no effect without {effect.needs}{again}"

    @cached_property
    def _cells(self) -> list[tuple[Grid, RunConfig, list[str]]]:
        """Each distinct cell: its grid, its config of seed 0, and the changed fields it does not read."""
        _check_size(sum(grid._combinations() for grid in self.grids))
        cells = [(grid, *cell) for grid in self.grids for cell in grid._own_cells()]
        for field in dict.fromkeys(field for grid in self.grids for field in grid.fields):
            affected = [ignored for grid, _, ignored in cells if field in grid.fields]
            if all(field in ignored for ignored in affected):
                raise InputError(f"--set {field}: no run of the grid has {field}; {leave_out(field)}")
        if not cells:
            raise InputError(
                "--systems: none of them is run on these datasets in these settings; "
                "give other --systems, --datasets or --settings"
            )
        _check_corpora([config for _, config, _ in cells])
        _check_estimates([config for _, config, _ in cells])
        return cells

    def _combinations(self) -> int:
        """The number of runs of this grid alone, those that coincide counted each."""
        cells = len(self.datasets) * sum(map(len, self.systems.values())) * len(self.settings)
        return cells * number_of_points(self.axes) * len(self.seed_list)

    def _own_cells(self) -> Iterator[tuple[RunConfig, list[str]]]:
        _check_size(self._combinations())
        bases = []
        for dataset, (system, samples), setting in product(
            self.datasets, self.systems.items(), self.settings
        ):
            limit = self.limits.get(system, Limit())
            if (limit.settings and setting not in limit.settings) or dataset_label(dataset) in limit.not_on:
                continue
            for num_samples in samples:
                base = recipe(
                    system, dataset=dataset, setting=cast(Setting, setting), num_samples=num_samples
                )
                bases.append(with_protocol(base, self.protocol))
        pairs = list(product(bases, combinations(self.axes)))
        for base, changes in pairs:  # first, because other systems may have no such config at all
            check_system(base, changes, "--systems ")
        cells = {}
        for base, changes in pairs:
            config, ignored = apply_where_read(base, changes)
            cells[config] = ignored
        yield from cells.items()


def protocol_note(configs: Sequence[RunConfig]) -> str:
    """Say which systems have a protocol of their authors."""
    systems = list(dict.fromkeys(config.system for config in configs))
    original, matched = (
        ", ".join(name for name in systems if (name in ORIGINALS) == has) or "none" for has in (True, False)
    )
    return f"by their authors' protocols: {original}; as in Kruengkrai (2019): {matched}"


def _of_one_sample(cells: Sequence[RunConfig], what: str) -> Iterator[str]:
    """A line if cells of a system have L = 1, which ``what`` says, and how to leave them out."""
    samples, system = sorted({cell.num_samples for cell in cells}), cells[0].system
    if samples[0] == 1:
        others = ", ".join(map(str, samples[1:]))
        remedy = f"{system} = [{others}] in a grid file" if others else "another --num-samples"
        yield f"{system} with L = 1 {what}; to train it once only, give {remedy}"


def _check_size(runs: int) -> None:
    if runs > MAX_RUNS:
        raise InputError(
            f"the grid has up to {runs:,} runs; give shorter lists, at most {MAX_RUNS:,} runs in all"
        )


def _check_corpora(configs: Iterable[RunConfig]) -> None:
    """Raise InputError if a dataset would be read in two ways: a grid loads each corpus once."""
    of_dataset: dict[str, RunConfig] = {}
    for config in configs:
        first = of_dataset.setdefault(config.dataset, config)
        for field in _DATA_FIELDS:
            if (values := {getattr(c, field) for c in (first, config)}) and len(values) > 1:
                found = ", ".join(map(str, sorted(values)))
                raise InputError(
                    f"--set {field}: {config.dataset} with the values {found}, but all runs of a grid read "
                    "the same corpus; give one value, and start a second grid with the other, in the same "
                    "--study"
                )


def _check_estimates(configs: Iterable[RunConfig]) -> None:
    """Raise InputError if a run would be asked for two sets of estimates."""
    of_training: dict[tuple[object, ...], RunConfig] = {}
    for config in configs:
        own = _ESTIMATE_FIELDS - fields_read(config, "training")
        training = tuple(value for field, value in config.to_dict().items() if field not in own)
        first = of_training.setdefault(training, config)
        for field in sorted(own):
            values = [getattr(c, field) for c in (first, config)]
            if values[0] != values[1]:
                raise InputError(
                    f"--set {field}: {config.system} with the values {values[0]}, {values[1]} would be "
                    "trained once and evaluated once; give one value, and then the same command with "
                    "another: it only evaluates again"
                )
