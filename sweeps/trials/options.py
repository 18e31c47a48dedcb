"""The command line of a search, and its presets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Literal, cast

import tyro

from analysis.stats.paired import seeds_needed
from lvae_core.config import RunConfig
from lvae_core.errors import InputError
from lvae_core.fields.choices import Setting
from lvae_core.identity import fields_read
from lvae_core.run_folder.search_record import BEST_SUFFIX
from lvae_core.settings import apply_settings, apply_where_read, check_samples_read, parse_settings
from lvae_core.system_names import check_system, system_with
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
from sweeps.planning.grid import MAX_RUNS
from sweeps.planning.grids.axes import field_of
from sweeps.planning.grids.files import PRESETS as GRIDS
from sweeps.trials.proposals import Sampler
from sweeps.trials.rules import Rule, Rules
from sweeps.trials.space import searchable_fields

SYSTEM = "--system "
"""The option that chooses the system, as messages that name another one write it."""


@dataclass(frozen=True, kw_only=True)
class Preset:
    """A search by name."""

    dataset: str
    space: tuple[str, ...]
    trials: int
    at_once: int
    changes: tuple[str, ...] = ()


PRESETS: Mapping[str, Preset] = {
    "paper": Preset(
        dataset="ptb",
        space=("learning_rate=0.3..3:log", "dropout=0.2..0.7", "kl_anneal_epochs=1..20"),
        trials=32,
        at_once=8,
    ),
    "demo": Preset(
        dataset="pydocs",
        space=("learning_rate=0.3..3:log", "dropout=0.1..0.6"),
        trials=8,
        at_once=4,
        changes=GRIDS["demo"].grid.changes,
    ),
}


@dataclass(frozen=True, kw_only=True)
class Options:
    """The command line. The preset supplies what is not given."""

    preset: Literal["paper", "demo"] = "paper"
    """paper: 32 trials on Penn Treebank. demo: 8 small ones on pydocs, minutes on two cores."""
    dataset: Annotated[str | None, preset(metavar="NAME", help=DATASETS_HELP)] = None
    system: Annotated[str, arg(metavar="NAME", help=SYSTEMS_HELP)] = "lstm-vae"
    setting: Annotated[str, arg(metavar="NAME")] = "standard"
    """standard, inputless."""
    num_samples: Annotated[int | None, arg(metavar="L", help_behavior_hint="(default: 1)")] = None
    """Latent samples per sentence."""
    space: Annotated[
        tuple[tuple[str, ...], ...],
        arg(metavar="FIELD=SPEC", help_behavior_hint="(repeatable; default: the preset's)"),
        tyro.conf.UseAppendAction,
    ] = ()
    """The search space: FIELD=LOW..HIGH, FIELD=LOW..HIGH:log or FIELD=A,B,C."""
    trials: Annotated[int | None, preset(metavar="N")] = None
    """The number of points to try; the recipe's point is the first, unless the space leaves it out."""
    at_once: Annotated[int | None, preset(metavar="N")] = None
    """The number of points in a round. What a round proposes depends on the earlier rounds alone."""
    sampler: Sampler = "tpe"
    """The sampler of points: the tree-structured Parzen estimator, or random."""
    rungs: Annotated[tuple[int, ...], arg(metavar="EPOCH", help_behavior_hint="(default: none)")] = ()
    """Epochs after which only the better trials continue."""
    rule: Rule = "rounds"
    """With --rungs: compare the trials of a round, or (asha) all trials that have reached the rung."""
    keep: Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: 3)")] = None
    """With --rungs: continue one trial in N."""
    objective: Annotated[tuple[str, ...], arg(metavar="NAME")] = ("nll",)
    """nll, and kl or seconds: low NLL, high KL, short training; with several, the Pareto front is shown."""
    seed: Annotated[int, arg(metavar="K")] = 0
    """The seed of the proposals and of every trial."""
    best: Annotated[int, arg(metavar="N")] = 1
    """Retrain the best N points, and the recipe, on fresh seeds."""
    seeds: Annotated[
        int | None, arg(metavar="N", help_behavior_hint="(default: the fewest that allow p < 0.05)")
    ] = None
    """Retrain them on the N seeds after --seed; 0: skip this. With a latent variable both numbers are
    bounds, and no number of seeds shows a better model."""
    max_epochs: Annotated[int | None, preset(metavar="N")] = None
    """Short for --set max_epochs=N."""
    changes: Annotated[
        tuple[tuple[str, ...], ...], arg(name="set", metavar="FIELD=VALUE"), tyro.conf.UseAppendAction
    ] = ()
    """Change any config field of every run."""
    out: Annotated[
        str | None, arg(metavar="DIR", help_behavior_hint="(default: summary/ and the name of the study)")
    ] = None
    """The folder for a table and the figures of the trials."""
    dry_run: Flag = False
    """Print the space, the progress and the cost of the rest, and what a verdict needs; start nothing."""
    launch: tyro.conf.OmitArgPrefixes[LaunchOptions] = field(default_factory=LaunchOptions)

    def check(self) -> None:
        """Raise InputError if a number or a name cannot be used."""
        self.launch.check()
        self._check_given_once()
        if self.launch.auto:
            raise InputError("auto: trials differ in size; give --cpus-per-run and --gpus-per-run numbers")
        if self.keep is not None and not self.rungs:
            raise InputError(
                f"--keep {self.keep}: give --rungs, the epochs after which trials are compared"
            )
        at_least_one("--best", self.best)
        trials = self.rules().trials
        if trials > MAX_RUNS:
            raise InputError(f"--trials {trials}: give at most {MAX_RUNS:,}")
        if self.best > max(1, trials):  # a number of trials below 1 has its own message
            raise InputError(
                f"--best {self.best}: more than the {trials} trials; give at most {trials}, "
                "or more --trials"
            )
        if self.fresh_seeds < 0:
            raise InputError(f"--seeds {self.fresh_seeds}: must be 0 or more")
        if (fresh := (self.best + 1) * self.fresh_seeds) > MAX_RUNS:
            raise InputError(
                f"--best {self.best} --seeds {self.fresh_seeds}: {fresh:,} runs, the recipe's included; "
                f"give fewer, at most {MAX_RUNS:,} runs in all"
            )

    def _check_given_once(self) -> None:
        short = [] if self.max_epochs is None else ["max_epochs"]
        for name, times in Counter([*short, *map(field_of, self.given_changes())]).items():
            if times > 1:
                options = "--max-epochs and --set" if name in short else "--set"
                raise InputError(f"{options}: {name} is given twice; give it once")

    @property
    def defaults(self) -> Preset:
        """The preset, which supplies what is not given."""
        return PRESETS[self.preset]

    @property
    def fresh_seeds(self) -> int:
        """The number of seeds that the best points are retrained on.

        By default as many as the sign-flip test needs to find one of these points significant.
        """
        return seeds_needed(self.best) if self.seeds is None else self.seeds

    @property
    def folder(self) -> str:
        """The study of the trials, as the user would write it."""
        return self.launch.folder("search" if self.preset == "paper" else f"search-{self.preset}")

    @property
    def best_folder(self) -> str:
        """The study of the runs on fresh seeds, without the selected trials, whose scores are biased."""
        return f"{self.folder}{BEST_SUFFIX}"

    def base(self) -> RunConfig:
        """The recipe with the changes that the options ask for.

        Raises:
            InputError: an unknown name, a value out of its range, or changes that make the system another.
        """
        given = self.given_changes()
        for change in given:
            name = field_of(change)
            if name in ("dataset", "system", "setting", "num_samples", "seed"):
                raise InputError(f"--set {change}: use --{name.replace('_', '-')}")
            if "," in change and name in searchable_fields():
                raise InputError(f"--set {change}: give one value; to search it: --space {change}")
        epochs = () if self.max_epochs is None else (f"max_epochs={self.max_epochs}",)
        config = recipe(
            self.system,
            dataset=self.defaults.dataset if self.dataset is None else self.dataset,
            setting=cast(Setting, self.setting),
            num_samples=1 if self.num_samples is None else self.num_samples,
            seed=self.seed,
        )
        check_samples_read(config, self.num_samples)
        preset, _ = apply_where_read(config, parse_settings(self.defaults.changes) | parse_settings(epochs))
        check_system(preset, parse_settings(given), SYSTEM)
        return apply_settings(preset, given)

    def given_changes(self) -> tuple[str, ...]:
        """The settings of the command line, without the preset's."""
        return tuple(change for group in self.changes for change in group)

    def given_space(self) -> tuple[str, ...]:
        """The texts of --space on the command line."""
        return tuple(text for group in self.space for text in group)

    def texts(self) -> tuple[str, ...]:
        """The texts that describe the space: those of the command line, or the preset's."""
        given = self.given_space()
        # The system may lack some of the preset's fields, as a language model lacks a KL weight.
        read = fields_read(self.base(), "training")
        return given or tuple(t for t in self.defaults.space if t.partition("=")[0] in read)

    def rules(self) -> Rules:
        """The rules of the search."""
        return Rules(
            trials=self.defaults.trials if self.trials is None else self.trials,
            at_once=self.defaults.at_once if self.at_once is None else self.at_once,
            sampler=self.sampler,
            rungs=self.rungs,
            keep=3 if self.keep is None else self.keep,
            rule=self.rule,
            objectives=self.objective,
        )


def check_no_parent(base: RunConfig, changes: Sequence[str]) -> None:
    """Raise InputError if the encoder starts from another run, which a search would have to train.

    Args:
        base: the config of the trials, apart from the fields of the space.
        changes: the ``FIELD=VALUE`` of the command line.
    """
    if base.encoder == "none" or base.init_encoder_from == "none":
        return
    what, remedy = f"{SYSTEM}{base.system}", "search another system"
    if without := system_with(base, {"init_encoder_from": "none"}):
        remedy = f"use {SYSTEM}{without} instead"
    elif any(field_of(change) == "init_encoder_from" for change in changes):
        what, remedy = f"--set init_encoder_from={base.init_encoder_from}", "leave it out"
    raise InputError(
        f"{what}: the encoder starts from another run, which a search does not train; {remedy}, then give "
        "the point that it finds to paper_grid.py, which trains the other run"
    )
