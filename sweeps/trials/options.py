"""What a search is told: presets, and the command line over them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal, cast

import tyro

from lvae_core.config import RunConfig, Setting
from lvae_core.errors import InputError
from lvae_core.identity import fields_read
from lvae_core.settings import apply_settings, apply_where_read, parse_settings
from lvae_core.systems import recipe
from sweeps.options import (
    DATASETS_HELP,
    SYSTEMS_HELP,
    Flag,
    LaunchOptions,
    arg,
    at_least_one,
    preset,
)
from sweeps.planning.grid import PRESETS as GRIDS
from sweeps.trials.proposals import Sampler
from sweeps.trials.rules import Rules


@dataclass(frozen=True, kw_only=True)
class Preset:
    """A search by name."""

    dataset: str
    space: tuple[str, ...]
    trials: int
    at_once: int
    seeds: int
    changes: tuple[str, ...] = ()


PRESETS: Mapping[str, Preset] = {
    "paper": Preset(
        dataset="ptb",
        space=("learning_rate=0.3..3:log", "dropout=0.2..0.7", "kl_anneal_epochs=1..20"),
        trials=32,
        at_once=8,
        seeds=5,
    ),
    "demo": Preset(
        dataset="pydocs",
        space=("learning_rate=0.3..3:log", "dropout=0.1..0.6"),
        trials=8,
        at_once=4,
        seeds=2,
        changes=GRIDS["demo"].changes,
    ),
}


@dataclass(frozen=True, kw_only=True)
class Options:
    """The command line. What is not given is the preset's."""

    preset: Literal["paper", "demo"] = "paper"
    """paper: 32 trials on Penn Treebank. demo: 8 small ones on pydocs, minutes on two cores."""
    dataset: Annotated[str | None, preset(metavar="NAME", help=DATASETS_HELP)] = None
    system: Annotated[str, arg(metavar="NAME", help=SYSTEMS_HELP)] = "lstm-vae"
    setting: Annotated[str, arg(metavar="NAME")] = "standard"
    """standard, inputless."""
    num_samples: Annotated[int, arg(metavar="L")] = 1
    """Latent samples a sentence."""
    space: Annotated[
        tuple[tuple[str, ...], ...],
        arg(metavar="FIELD=SPEC", help_behavior_hint="(repeatable; default: the preset's)"),
        tyro.conf.UseAppendAction,
    ] = ()
    """What may vary: FIELD=LOW..HIGH, FIELD=LOW..HIGH:log or FIELD=A,B,C."""
    trials: Annotated[int | None, preset(metavar="N")] = None
    """Points to try, the recipe's own first."""
    at_once: Annotated[int | None, preset(metavar="N")] = None
    """Points of a round; what a round proposes depends on the rounds before, and on nothing else."""
    sampler: Sampler = "tpe"
    """What proposes: the tree-structured Parzen estimator, or chance."""
    rungs: Annotated[tuple[int, ...], arg(metavar="EPOCH", help_behavior_hint="(default: none)")] = ()
    """Epochs after which only the better trials of a round go on,"""
    keep: Annotated[int, arg(metavar="N")] = 3
    """one in N of them."""
    seed: Annotated[int, arg(metavar="K")] = 0
    """Of the proposals and of every trial."""
    best: Annotated[int, arg(metavar="N")] = 1
    """The best N points are run anew, and the recipe beside them,"""
    seeds: Annotated[int | None, preset(metavar="N")] = None
    """on the N seeds after --seed; 0: not at all."""
    max_epochs: Annotated[int | None, preset(metavar="N")] = None
    """Short for --set max_epochs=N."""
    changes: Annotated[
        tuple[tuple[str, ...], ...], arg(name="set", metavar="FIELD=VALUE"), tyro.conf.UseAppendAction
    ] = ()
    """Change any config field of every run."""
    out: Annotated[str, arg(metavar="DIR")] = "summary"
    """Where a table and a picture of the trials are written."""
    dry_run: Flag = False
    """Print what would be searched and how far it is; start nothing."""
    launch: tyro.conf.OmitArgPrefixes[LaunchOptions] = field(default_factory=LaunchOptions)

    def check(self) -> None:
        """Raise InputError where a number or a name cannot be used."""
        self.launch.check()
        if self.launch.auto:
            raise InputError("auto: trials differ in size; give --cpus-per-run, --gpus-per-run as numbers")
        at_least_one("--best", self.best)
        if self.fresh_seeds < 0:
            raise InputError(f"--seeds {self.fresh_seeds}: must be 0 or more")

    @property
    def usual(self) -> Preset:
        """What is not given."""
        return PRESETS[self.preset]

    @property
    def fresh_seeds(self) -> int:
        """Seeds that the best are run on."""
        return self.usual.seeds if self.seeds is None else self.seeds

    @property
    def folder(self) -> str:
        """Where the trials are kept, as the user would write it."""
        return self.launch.folder("search" if self.preset == "paper" else f"search-{self.preset}")

    @property
    def best_folder(self) -> str:
        """Where the runs on fresh seeds are kept: what was chosen by its luck does not lie among them."""
        return f"{self.folder}-best"

    def base(self) -> RunConfig:
        """The recipe with what the options change.

        Raises:
            InputError: an unknown name, or a value out of its range.
        """
        given = tuple(change for group in self.changes for change in group)
        for change in given:
            name = change.partition("=")[0].strip()
            if name in ("dataset", "system", "setting", "num_samples", "seed"):
                raise InputError(f"--set {change}: use --{name.replace('_', '-')}")
        epochs = () if self.max_epochs is None else (f"max_epochs={self.max_epochs}",)
        config = recipe(
            self.system,
            dataset=self.usual.dataset if self.dataset is None else self.dataset,
            setting=cast(Setting, self.setting),
            num_samples=self.num_samples,
            seed=self.seed,
        )
        preset, _ = apply_where_read(config, parse_settings((*self.usual.changes, *epochs)))
        return apply_settings(preset, given)

    def texts(self) -> tuple[str, ...]:
        """The space, as it is written."""
        given = tuple(text for group in self.space for text in group)
        # The system may lack some of the preset's fields, as a language model lacks a KL weight.
        read = fields_read(self.base(), "training")
        return given or tuple(t for t in self.usual.space if t.partition("=")[0] in read)

    def rules(self) -> Rules:
        """How to go about it."""
        return Rules(
            trials=self.usual.trials if self.trials is None else self.trials,
            at_once=self.usual.at_once if self.at_once is None else self.at_once,
            sampler=self.sampler,
            rungs=self.rungs,
            keep=self.keep,
        )
