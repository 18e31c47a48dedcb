"""Options shared by all commands that start runs."""

from __future__ import annotations

import contextlib
import math
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields
from functools import partial
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import tyro

from lvae_core.arguments import parsed
from lvae_core.command import CONTINUES
from lvae_core.data.datasets import NAMES
from lvae_core.errors import InputError
from lvae_core.messages import Verbosity
from lvae_core.run_folder.names import check_study_name
from lvae_core.storage.fsspec_store import names_no_bucket
from lvae_core.storage.local import local_path, unwritable
from lvae_core.systems import SYSTEMS
from lvae_core.wandb_login import require_wandb
from sweeps.cluster.scratch_folder import check_root
from sweeps.planning.loading import is_in_job
from sweeps.planning.resources import Resources, gpus_here

T = TypeVar("T")

arg = tyro.conf.arg
preset = partial(arg, help_behavior_hint="(default: the preset's)")
Mode = Literal["disabled", "offline", "online"]
SYSTEMS_HELP = f"{', '.join(SYSTEMS)}."
DATASETS_HELP = (
    f"{', '.join(NAMES)}; or a folder with train.txt, valid.txt and test.txt: its path, or its name in the "
    "folder of corpora."
)
Flag = Annotated[bool, tyro.conf.FlagCreatePairsOff]
Messages = Annotated[Verbosity, tyro.conf.OmitArgPrefixes, tyro.conf.FlagCreatePairsOff]


@dataclass(frozen=True, kw_only=True)
class PlaceOptions:
    """The storage of the runs, the machines that train them, and the resources of each run."""

    storage: str = "runs"
    """A folder, or an address such as s3://bucket/prefix."""
    study: Annotated[
        str | None, arg(metavar="NAME", help_behavior_hint="(default: named after the preset)")
    ] = None
    """The name of the study: a named set of runs in one folder of the storage."""
    data_dir: Annotated[
        str | None, arg(metavar="DIR", help_behavior_hint="(default: $LVAE_DATA_DIR, else data)")
    ] = None
    """The folder of corpora: of ptb and yahoo, and of folders given by name."""
    address: Annotated[
        str | None, arg(metavar="ADDRESS", help_behavior_hint="(default: start a Ray on this machine)")
    ] = None
    """A running Ray cluster, or auto."""
    cpus_per_run: int | Literal["auto"] = 1
    """CPU cores, and threads, of one run; auto (grids only): short probes find the fastest number."""
    gpus_per_run: float | Literal["auto"] = 0.0
    """GPUs of one run; 0.25 puts four runs on one; auto (grids only): short probes find the best
    share."""

    def check(self) -> None:
        """Raise InputError if a number or a name cannot be used."""
        gpus = 1.0 if self.gpus_per_run == "auto" else self.gpus_per_run
        if self.cpus_per_run == "auto" and gpus:
            raise InputError(
                "--cpus-per-run auto: only for runs without GPUs; with --gpus-per-run, give a number"
            )
        if not (math.isfinite(gpus) and gpus >= 0 and (gpus <= 1 or gpus == int(gpus))):
            raise InputError(f"--gpus-per-run {gpus:g}: give a number from 0 to 1, or a whole number")
        at_least_one("--cpus-per-run", 1 if self.cpus_per_run == "auto" else self.cpus_per_run)
        if not self.storage.strip():
            raise InputError("--storage: empty; give a folder, or an address such as s3://bucket/prefix")
        if names_no_bucket(self.storage):
            raise InputError(
                f"--storage {self.storage}: names no bucket; give an address such as s3://bucket/prefix"
            )
        if self.storage.startswith("memory://"):
            raise InputError(
                f"--storage {self.storage}: lives in one process; give a folder, or an address such as "
                "s3://bucket/prefix"
            )
        local = self.storage.removeprefix("file://")
        if "://" not in local and is_in_job(local_path(local)):
            raise InputError(
                f"--storage {self.storage}: is in the job's copy of the code, which Ray removes; give "
                "s3://bucket/prefix, or a folder by its absolute path"
            )
        if self.study is not None:
            check_study_name(self.study, "--study ")

    def words(self) -> list[str]:
        """The words that give these options on a command line, as far as they are not the defaults."""
        given = {
            f"--{option.name.replace('_', '-')}": getattr(self, option.name)
            for option in fields(PlaceOptions)
            if getattr(self, option.name) != option.default
        }
        return [str(word) for pair in given.items() for word in pair]


@dataclass(frozen=True, kw_only=True)
class LaunchOptions(PlaceOptions):
    """The storage of the runs, the resources of each, and how a launch does them."""

    max_concurrent: Annotated[
        int | None, arg(metavar="N", help_behavior_hint="(default: as many as fit)")
    ] = None
    """The largest number of runs at once."""
    checkpoint_epochs: Annotated[int, arg(metavar="N")] = 1
    """Save the whole training state at the end of every N epochs."""
    checkpoint_minutes: Annotated[float, arg(metavar="M")] = 10.0
    """Also save it M minutes after the last checkpoint, within an epoch or an evaluation."""
    wandb: Mode = "disabled"
    """Mirror the study to W&B; the run folders remain the record."""
    wandb_project: Annotated[str | None, arg(metavar="NAME", help_behavior_hint="(default: lvae)")] = None
    """With --wandb: the W&B project of the mirror."""
    wandb_entity: Annotated[
        str | None, arg(metavar="NAME", help_behavior_hint="(default: the owner of the API key)")
    ] = None
    """With --wandb: the user or team that owns the project."""
    wandb_artifacts: Flag = False
    """Also upload the checkpoint of every finished run to W&B, as an artifact."""
    tensorboard: Flag = False
    """Also write TensorBoard event files, to tensorboard/STUDY in this folder."""
    retry_failed: Flag = False
    """Retry failed runs, too."""
    messages: Messages = field(default_factory=Verbosity)

    def check(self) -> None:
        """Raise InputError if a number or a name cannot be used."""
        super().check()
        at_least_one("--max-concurrent", self.max_concurrent)
        at_least_one("--checkpoint-epochs", self.checkpoint_epochs)
        minutes = self.checkpoint_minutes
        if not (math.isfinite(minutes) and minutes >= 0):
            raise InputError(f"--checkpoint-minutes {minutes:g}: must be a number, 0 or more")
        for option in ("project", "entity"):
            given = getattr(self, f"wandb_{option}")
            if given is not None and self.wandb == "disabled":
                raise InputError(f"--wandb-{option} {given}: needs --wandb online or offline")
        check_wandb_names(self.project, self.wandb_entity, prefix="--wandb-")
        if self.wandb_artifacts and self.wandb != "online":
            raise InputError(
                "--wandb-artifacts: needs --wandb online; wandb_push.py --artifacts can upload them later"
            )
        if self.tensorboard and is_in_job(Path()):
            raise InputError(
                "--tensorboard: would write to the job's copy of the code, which Ray removes; leave it "
                "out, or use --wandb online"
            )
        if self.wandb == "offline" and is_in_job(Path(os.environ.get("WANDB_DIR", ""))):
            raise InputError(
                "--wandb offline: would write to the job's copy of the code, which Ray removes; set "
                "WANDB_DIR to a folder by its absolute path, or use --wandb online"
            )

    @property
    def project(self) -> str:
        """The W&B project of the mirror."""
        return "lvae" if self.wandb_project is None else self.wandb_project

    @property
    def auto(self) -> bool:
        """Whether probes choose the resources of a run."""
        return "auto" in (self.cpus_per_run, self.gpus_per_run)

    def resources(self) -> Resources:
        """The resources of a run; with auto, the resources that its probes divide."""
        return Resources(
            cpus=1 if self.cpus_per_run == "auto" else self.cpus_per_run,
            gpus=1.0 if self.gpus_per_run == "auto" else self.gpus_per_run,
            max_concurrent=self.max_concurrent or 0,
        )

    def check_fits(self) -> None:
        """Raise InputError if a launch could not start here.

        Its temporary files need space; and if no other Ray is named, a run must fit on this machine.
        """
        check_root(for_sockets=self.address is None)
        if self.address is None:
            if self.gpus_per_run == "auto" and not gpus_here():
                raise InputError(
                    "--gpus-per-run auto: this machine has no GPU; leave it out, or give the --address of "
                    "a Ray that has some"
                )
            self.resources().check_here()

    def check_start(self, folder: str) -> None:
        """Raise InputError if a launch could not start here, not write to ``folder``, or lacks a library.

        Neither an object store nor a cluster is asked.
        """
        self.check_fits()
        check_folder(folder)
        if self.wandb != "disabled":
            require_wandb(f"--wandb {self.wandb}")

    def unfit_note(self, folder: str) -> str:
        """A line for a dry run if :meth:`check_start` would refuse a launch; else ""."""
        try:
            self.check_start(folder)
        except InputError as error:
            return f"a launch with these options would be refused: {error}"
        return ""

    def folder(self, default: str) -> str:
        """The study, as the user would write it; ``default`` is its name if none is given."""
        return study_address(self.storage, self.study or default)


def study_address(storage: str, study: str) -> str:
    """The address of a study below a storage."""
    return f"{storage.rstrip('/')}/{study}"


def parse_options(
    kind: type[T],
    arguments: Sequence[str],
    prog: str,
    about: str | None,
    *,
    split: Sequence[str] = (),
    lists: Sequence[str] = (),
) -> T:
    """Read a command line as a dataclass of options.

    Args:
        kind: the dataclass.
        arguments: the words of the command line.
        prog: the command's name.
        about: what its help begins with.
        split: options whose lists may have commas; see :func:`split_lists`.
        lists: further options that take several values.

    Raises:
        InputError: as :func:`lvae_core.arguments.parsed`.
    """
    words = split_lists(arguments, *split)
    return parsed(
        lambda: tyro.cli(kind, args=words, prog=prog, description=about), arguments, (*split, *lists)
    )


def interrupted_line(arguments: Sequence[str]) -> str:
    """The line that a command prints when it is interrupted at once: a dry run leaves nothing to resume."""
    return "stopped; nothing was started" if "--dry-run" in arguments else CONTINUES


def check_folder(url: str) -> None:
    """Raise InputError if a study can be neither written nor made at a local path. It leaves no trace.

    An object store is left to the launch: it would have to be written.
    """
    path = url.removeprefix("file://")
    if "://" in path:
        return
    if found := unwritable(local_path(path)):
        place, why = found
        raise InputError(f"{url}: cannot be written ({place}: {why}); give another --storage")


@contextlib.contextmanager
def removing_new_folders(url: str) -> Iterator[None]:
    """Remove empty folders on the path of a store that were made within the ``with`` block."""
    places = () if "://" in url else (Path(url), *Path(url).parents)
    missing = [folder for folder in places if not folder.exists()]
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            for folder in missing:
                folder.rmdir()


def split_lists(arguments: Sequence[str], *options: str) -> list[str]:
    """The words of a command line, with the values of lists separated by blanks that had commas between.

    A folder that exists keeps the commas of its path.

    Args:
        arguments: the words of the command line.
        options: those that take a list of values without commas, such as ``--datasets``.
    """
    words: list[str] = []
    option = ""
    for argument in arguments:
        given, equals, value = argument.partition("=")
        if argument.startswith("--"):
            option = given.replace("_", "-")
        values = value if equals and argument.startswith("--") else argument
        parts = [part.strip() for part in values.split(",") if part.strip()]
        if option not in options or "," not in values or not parts or _is_folder(values):
            words.append(argument)
        else:
            words += [*([option] if argument.startswith("--") else []), *parts]
    return words


def _is_folder(text: str) -> bool:
    place = local_path(text)
    try:
        return place.is_dir()
    except (OSError, ValueError):  # such as a list that is longer than a file's name may be
        return False


def check_wandb_names(project: str, entity: str | None, prefix: str) -> None:
    """Raise InputError if W&B would refuse a name: of a project, or of its owner.

    Args:
        project: of the mirror.
        entity: the user or team that owns it; None: the owner of the key.
        prefix: of the two options.
    """
    if not project.strip() or len(project) > 128 or set(project) & set(r"/\#?%:"):
        owner = "; give the owner with " + prefix + "entity" if "/" in project else ""
        raise InputError(
            f"{prefix}project {project!r}: use 1 to 128 characters, and none of / \\ # ? % :{owner}"
        )
    if entity is not None and not re.fullmatch(r"[\w.-]+", entity):
        raise InputError(f"{prefix}entity {entity!r}: use letters, digits, '.', '-' and '_' only")


def at_least_one(option: str, value: int | None) -> None:
    """Raise InputError if a number is given and is below 1."""
    if value is not None and value < 1:
        raise InputError(f"{option} {value}: must be at least 1")


def for_dry_run(options: object, *names: str) -> None:
    """Raise InputError if an option is given that only a dry run reads.

    Args:
        options: a command line without --dry-run.
        names: attributes that are None unless the option is given.
    """
    for name in names:
        if (value := getattr(options, name)) is not None:
            words = value if isinstance(value, tuple) else (value,)
            given = " ".join(map(str, (f"--{name.replace('_', '-')}", *words)))
            raise InputError(f"{given}: add --dry-run; nothing is started then")
