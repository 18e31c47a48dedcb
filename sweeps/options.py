"""What every command that starts runs is told of where and how, and how such a command begins and ends."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import tyro

from lvae_core.data.datasets import NAMES
from lvae_core.errors import InputError
from lvae_core.messages import Verbosity
from lvae_core.systems import SYSTEMS
from sweeps.planning.resources import Resources

arg = tyro.conf.arg
preset = partial(arg, help_behavior_hint="(default: the preset's)")
SYSTEMS_HELP = f"{', '.join(SYSTEMS)}."
DATASETS_HELP = f"{', '.join(NAMES)}, or the path of a folder of train.txt, valid.txt and test.txt."
Flag = Annotated[bool, tyro.conf.FlagCreatePairsOff]
Messages = Annotated[Verbosity, tyro.conf.OmitArgPrefixes, tyro.conf.FlagCreatePairsOff]

_JOBS = "working_dir_files"
"""The folder in which Ray keeps what comes with jobs."""


@dataclass(frozen=True, kw_only=True)
class LaunchOptions:
    """Where runs are kept and what they are given."""

    storage: str = "runs"
    """A folder, or an address such as s3://bucket/prefix."""
    study: Annotated[
        str | None, arg(metavar="NAME", help_behavior_hint="(default: named after the preset)")
    ] = None
    """The set of runs below the storage that these belong to."""
    data_dir: Annotated[
        str | None, arg(metavar="DIR", help_behavior_hint="(default: $LVAE_DATA_DIR, else data)")
    ] = None
    """The folder of the public corpora."""
    address: Annotated[
        str | None, arg(metavar="ADDRESS", help_behavior_hint="(default: a Ray of its own, here)")
    ] = None
    """A running Ray cluster, or auto."""
    cpus_per_run: int | Literal["auto"] = 1
    """CPU cores, and threads, of one run; auto: short probes find out what is fastest."""
    gpus_per_run: float | Literal["auto"] = 0.0
    """GPUs of one run; 0.25 puts four runs on one; auto: short probes find out how many."""
    max_concurrent: Annotated[
        int | None, arg(metavar="N", help_behavior_hint="(default: as many as fit)")
    ] = None
    """Runs at once."""
    checkpoint_epochs: Annotated[int, arg(metavar="N")] = 1
    """Save the whole training state at the end of every N epochs,"""
    checkpoint_minutes: Annotated[float, arg(metavar="M")] = 10.0
    """and whenever M minutes have passed since, in the middle of an epoch or of an evaluation."""
    wandb: Mode = "disabled"
    """Mirror the study to W&B; the run folders remain the record."""
    wandb_project: str = "lvae"
    """The W&B project of the mirror."""
    wandb_entity: str | None = None
    """The user or team that owns the project; by default that of the API key."""
    retry_failed: Flag = False
    """Take up failed runs again, too."""
    messages: Messages = field(default_factory=Verbosity)

    def check(self) -> None:
        """Raise InputError where a number or a name cannot be used."""
        gpus = 1.0 if self.gpus_per_run == "auto" else self.gpus_per_run
        if self.cpus_per_run == "auto" and gpus:
            raise InputError(
                "--cpus-per-run auto: for runs without GPUs; give a number beside --gpus-per-run"
            )
        if not (math.isfinite(gpus) and gpus >= 0 and (gpus <= 1 or gpus == int(gpus))):
            raise InputError(f"--gpus-per-run {gpus:g}: give a number from 0 to 1, or a whole number")
        at_least_one("--cpus-per-run", 1 if self.cpus_per_run == "auto" else self.cpus_per_run)
        at_least_one("--max-concurrent", self.max_concurrent)
        at_least_one("--checkpoint-epochs", self.checkpoint_epochs)
        minutes = self.checkpoint_minutes
        if not (math.isfinite(minutes) and minutes >= 0):
            raise InputError(f"--checkpoint-minutes {minutes:g}: must be a number, 0 or more")
        if not self.storage.strip():
            raise InputError("--storage: empty; give a folder, or an address such as s3://bucket/prefix")
        if "://" not in self.storage and _JOBS in Path(self.storage).resolve().parts:
            raise InputError(
                f"--storage {self.storage}: is in the copy of the code that came with the job, and Ray "
                "removes it; give s3://bucket/prefix, or a folder by its whole path"
            )
        if self.study is not None and not re.fullmatch(r"\w[\w.-]*", self.study):
            raise InputError(f"--study {self.study!r}: use letters, digits, '.', '-' and '_' only")

    @property
    def auto(self) -> bool:
        """Whether probes are to find out what a run is given."""
        return "auto" in (self.cpus_per_run, self.gpus_per_run)

    def resources(self) -> Resources:
        """What a run is given, or what its probe is to share out."""
        return Resources(
            cpus=1 if self.cpus_per_run == "auto" else self.cpus_per_run,
            gpus=1.0 if self.gpus_per_run == "auto" else self.gpus_per_run,
            max_concurrent=self.max_concurrent or 0,
        )

    def folder(self, usual: str) -> str:
        """Where the study is kept, as the user would write it; ``usual`` is its name unless told."""
        return f"{self.storage.rstrip('/')}/{self.study or usual}"


def at_least_one(option: str, value: int | None) -> None:
    """Raise InputError where a number that was given is below 1."""
    if value is not None and value < 1:
        raise InputError(f"{option} {value}: must be at least 1")


Mode = Literal["disabled", "offline", "online"]
