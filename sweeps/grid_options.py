"""The options of paper_grid.py, and the grid that they make of a preset or of the user's file."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Annotated, Literal

import tyro

from lvae_core.errors import InputError, check_distinct
from lvae_core.messages import listed
from lvae_core.protocols import Protocol
from lvae_core.systems import SYSTEMS, recipe
from sweeps.options import (
    DATASETS_HELP,
    SYSTEMS_HELP,
    Flag,
    LaunchOptions,
    arg,
    at_least_one,
    for_dry_run,
    preset,
)
from sweeps.planning.grid import Grid
from sweeps.planning.grids.axes import check_given_once, field_of
from sweeps.planning.grids.files import PRESETS, GridFile, read_grid
from sweeps.planning.grids.seeds import parse_seeds
from sweeps.planning.grids.writing import check_new_file

LISTS = ("--datasets", "--systems", "--settings", "--num-samples", "--devices")
"""Options that take several values."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """The command line. The preset supplies what is not given."""

    preset: Annotated[
        Literal["paper", "all", "demo"] | None, arg(help_behavior_hint="(default: paper)")
    ] = None
    """paper: the published grid of 120 runs. all: 150 runs, with the systems that its tables cite, in the
    same study. demo: a small one on topics and pydocs, minutes on two cores."""
    grid_file: Annotated[
        str | None, arg(name="grid", metavar="FILE", help_behavior_hint="(default: none)")
    ] = None
    """A grid of yours, a TOML file, instead of a preset; docs/grid.md describes its keys."""
    datasets: Annotated[tuple[str, ...] | None, preset(metavar="NAME", help=DATASETS_HELP)] = None
    systems: Annotated[tuple[str, ...] | None, preset(metavar="NAME", help=SYSTEMS_HELP)] = None
    settings: Annotated[tuple[str, ...] | None, preset(metavar="NAME")] = None
    """standard, inputless."""
    num_samples: Annotated[tuple[int, ...] | None, preset(metavar="L")] = None
    """Latent samples per sentence, for every system that has a latent variable."""
    seeds: Annotated[tuple[str, ...] | None, preset(metavar="SEEDS")] = None
    """5: the seeds 0 to 4. 5..9: a range, both ends included. 3,7,11 or 0..2,7: a list."""
    declare_seeds: Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: none)")] = None
    """Record in the study that each cell gets N seeds, once and for good, before there are results. Without
    --seeds, a preset also gets the seeds 0 to N - 1."""
    protocol: Annotated[Protocol | None, preset()] = None
    """matched: every system as in Kruengkrai (2019). original: each as its authors trained it."""
    max_epochs: Annotated[int | None, preset(metavar="N")] = None
    """Short for --set max_epochs=N."""
    changes: Annotated[
        tuple[tuple[str, ...], ...], arg(name="set", metavar="FIELD=VALUE"), tyro.conf.UseAppendAction
    ] = ()
    """Change any config field of every run. FIELD=A,B: runs with each value; several lists are combined,
    each value with each. A value that is a list goes in brackets: 'cnn_dilations=[1,2,4]'."""
    zips: Annotated[
        tuple[tuple[str, ...], ...], arg(name="zip", metavar="FIELD=A,B"), tyro.conf.UseAppendAction
    ] = ()
    """Lists of one length, paired value by value: --zip hidden_size=200,400 dropout=0.3,0.5."""
    dry_run: Flag = False
    """Print the plan and its cost; start nothing but the probes of auto."""
    list_runs: Annotated[Flag, arg(name="list")] = False
    """Print the folder and the status of each planned run, a line each; start nothing."""
    write_grid: Annotated[str | None, arg(metavar="FILE", help_behavior_hint="(default: none)")] = None
    """With --dry-run: write the grid of all these options as a file for --grid."""
    devices: Annotated[
        tuple[int, ...] | None, arg(metavar="K", help_behavior_hint="(default: 1, 8 and this machine)")
    ] = None
    """With --dry-run: print the time on this many GPUs, or CPU cores if runs use no GPU."""
    price_per_hour: Annotated[float | None, arg(metavar="$", help_behavior_hint="(default: none)")] = None
    """With --dry-run: the price of one such device, to print the cost."""
    launch: tyro.conf.OmitArgPrefixes[LaunchOptions] = field(default_factory=LaunchOptions)

    def check(self) -> None:
        """Raise InputError if a number or a name cannot be used."""
        self.launch.check()
        for number in self.devices or ():
            at_least_one("--devices", number)
        at_least_one("--declare-seeds", self.declare_seeds)
        if self.grid_file is not None and self.preset is not None:
            raise InputError(f"--grid {self.grid_file} --preset {self.preset}: give one of them")
        if self.list_runs and self.dry_run:
            raise InputError("--list --dry-run: give one of them")
        if not self.dry_run:
            for_dry_run(self, "write_grid", "devices", "price_per_hour")
        if self.write_grid is not None:
            check_new_file(self.write_grid)
        for option in ("datasets", "systems", "settings", "num_samples"):
            check_distinct(getattr(self, option) or (), f"--{option.replace('_', '-')}")
        for name in self.given_fields():
            places = [option for option, given in self._given() if given == name]
            check_given_once([name] * len(places), " and ".join(dict.fromkeys(places)))
        if self.price_per_hour is not None and not 0 < self.price_per_hour < math.inf:
            raise InputError(f"--price-per-hour {self.price_per_hour:g}: must be a number above 0")

    @cached_property
    def base(self) -> GridFile:
        """The grid that the other options change: the user's file, or a preset."""
        return PRESETS[self.preset or "paper"] if self.grid_file is None else read_grid(self.grid_file)

    @property
    def study(self) -> str:
        """The name of the study."""
        return self.launch.study or self.base.study

    @property
    def folder(self) -> str:
        """Return the place of the study as the user would write it."""
        return self.launch.folder(self.study)

    def grid(self) -> Grid:
        """The preset or the user's grid, with the changes that the options ask for."""
        first, *others = self.base.grid.grids
        grids = [replace(first, also=()), *others]
        if self.datasets is not None:
            grids = self._of_datasets(grids, self.datasets)
        changed = [self._changed(grid) for grid in grids]
        self._check_samples_read({name for grid in changed for name in grid.systems})
        return replace(changed[0], also=tuple(changed[1:]))

    def _check_samples_read(self, systems: Collection[str]) -> None:
        """Raise InputError if ``--num-samples`` is given and no system has a latent variable."""
        # An unknown name has an error of its own.
        without = [name for name in SYSTEMS if name in systems and recipe(name).encoder == "none"]
        if self.num_samples is not None and systems and len(without) == len(systems):
            raise InputError(
                f"--num-samples {' '.join(map(str, self.num_samples))}: {listed(without)} "
                f"{'has' if len(without) == 1 else 'have'} no latent variable; leave it out"
            )

    @staticmethod
    def _of_datasets(grids: Sequence[Grid], datasets: Sequence[str]) -> list[Grid]:
        """Restrict grids to some datasets. One that none of them has becomes a dataset of the first."""
        known = {dataset for grid in grids for dataset in grid.datasets}
        first, *others = grids
        wanted = [tuple(d for d in datasets if d in first.datasets or d not in known)]
        wanted += [tuple(d for d in datasets if d in grid.datasets) for grid in others]
        kept = [replace(g, datasets=chosen) for g, chosen in zip(grids, wanted, strict=True) if chosen]
        return kept or [replace(first, datasets=())]  # which says what is missing

    def _changed(self, base: Grid) -> Grid:
        """A grid of the preset with the other changes that the options ask for."""
        names = base.systems if self.systems is None else dict.fromkeys(self.systems, (1,))
        systems = {name: base.systems.get(name, samples) for name, samples in names.items()}
        if self.num_samples is not None:
            systems = dict.fromkeys(systems, self.num_samples)
        given = self.given_fields()
        for name in (field_of(setting) for settings in base.zips for setting in settings):
            if name in given:
                raise InputError(f"{self.grid_file}: pairs {name} with other fields; change it there")
        kept = [change for change in base.changes if field_of(change) not in given]
        changed = replace(
            base,
            systems=systems,
            settings=base.settings if self.settings is None else self.settings,
            seeds=self._seeds(base),
            changes=(*kept, *self.given_changes()),
            zips=base.zips + self.zips,
            protocol=self.protocol or base.protocol,
            limits=base.limits if self.systems is None else {},
        )
        if not base.fields:
            return changed
        # What the preset sets and the given systems do not have, the user cannot leave out.
        unread = changed.unread().difference(given)
        return replace(
            changed,
            changes=tuple(c for c in changed.changes if field_of(c) not in unread),
            zips=tuple(z for z in changed.zips if not unread.issuperset(map(field_of, z))),
        )

    def given_changes(self) -> tuple[str, ...]:
        """The ``FIELD=VALUE`` of --max-epochs and --set, without the preset's."""
        epochs = () if self.max_epochs is None else (f"max_epochs={self.max_epochs}",)
        return epochs + tuple(change for group in self.changes for change in group)

    def given_fields(self) -> list[str]:
        """The fields that the options change, each as often as it is given."""
        return [field for _, field in self._given()]

    def _given(self) -> list[tuple[str, str]]:
        """Option and field, for each field that the options change."""
        epochs = [] if self.max_epochs is None else [("--max-epochs", "max_epochs")]
        changed = [("--set", setting) for settings in self.changes for setting in settings]
        zipped = [("--zip", setting) for settings in self.zips for setting in settings]
        given = [(option, field_of(setting)) for option, setting in (*changed, *zipped) if "=" in setting]
        return epochs + given

    def chosen_fields(self) -> list[str]:
        """The fields whose values the user has chosen, here or in a grid file."""
        grids = () if self.grid_file is None else self.base.grid.grids
        of_file = [field for grid in grids for field in grid.fields]
        return list(dict.fromkeys((*of_file, *self.given_fields())))

    def _seeds(self, base: Grid) -> int | tuple[int, ...]:
        """The seeds of a grid that is ``base`` without these options."""
        if self.seeds is not None:
            return self._given_seeds(self.seeds)
        if self.declare_seeds is not None and self.grid_file is None:
            return parse_seeds(str(self.declare_seeds), "--declare-seeds")
        return base.seeds

    @staticmethod
    def _given_seeds(texts: Sequence[str]) -> tuple[int, ...]:
        if len(texts) > 1:
            raise InputError(
                f"--seeds {' '.join(texts)}: write a list without blanks: --seeds "
                f"{','.join(text.strip(',') for text in texts)}"
            )
        return parse_seeds(*texts) if texts else ()
