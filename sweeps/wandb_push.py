"""Send the runs of studies to W&B: those that no live mirror has sent, or not in whole.

    python sweeps/wandb_push.py runs/paper                   what is missing, of finished and partial runs
    python sweeps/wandb_push.py runs/paper --project vae --entity group

It can be run at any time and again: W&B gets what it lacks and nothing twice. Runs that are under way are
left to their own launch. The key is WANDB_API_KEY or that of `wandb login`. Exit status: 0 all is sent,
1 something is not, 2 the input cannot be used.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import tyro
from rich.console import Console
from rich.progress import Progress, TimeRemainingColumn

from lvae_core.errors import InputError
from lvae_core.run_folder.folder import Study
from sweeps.wandb_mirror.content import is_under_way
from sweeps.wandb_mirror.live import require_wandb

if TYPE_CHECKING:
    from sweeps.wandb_mirror.mirror import Mirror, Tally

_arg = tyro.conf.arg


@dataclass(frozen=True, kw_only=True)
class Options:
    """The command line."""

    studies: Annotated[tuple[str, ...], tyro.conf.Positional, _arg(metavar="STUDY [STUDY ...]")]
    """Folders or addresses of studies."""
    project: Annotated[str, _arg(metavar="NAME")] = "lvae"
    """The W&B project."""
    entity: Annotated[str | None, _arg(metavar="NAME", help_behavior_hint="(the key's own)")] = None
    """Whose project it is."""
    again: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Look at runs, too, that are known to be sent: after somebody has removed them from W&B, say."""


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        options = tyro.cli(Options, args=arguments, prog="wandb_push.py", description=__doc__)
        return push(options)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped; the same command sends the rest", file=sys.stderr)
        return 130


def push(options: Options) -> int:
    """Send what is missing; returns the exit status.

    Raises:
        InputError: a study or W&B cannot be used.
    """
    studies = [open_study(path) for path in options.studies]
    require_wandb("wandb_push.py")
    from sweeps.wandb_mirror.client import Target, prepare_environment, reachable, require_key
    from sweeps.wandb_mirror.mirror import Mirror

    prepare_environment()
    require_key("wandb_push.py")
    if not reachable():
        raise InputError("W&B cannot be reached; try again when it can, the run folders keep everything")
    target = Target(project=options.project, entity=options.entity)
    left = False
    for study in studies:
        tally, busy = _push(study, Mirror(study, target, again=options.again))
        print(f"{study.url}: W&B has {tally.sent} runs{f' at {tally.url}' if tally.url else ''}")
        if busy:
            print(f"{study.url}: {busy} runs are under way and left to their launch")
        if tally.left:
            print(f"{study.url}: {tally.left} runs are not sent ({tally.trouble}); try again")
        left |= bool(tally.left)
    names = " ".join(map(shlex.quote, options.studies))
    print(f"next: python analysis/wandb_report.py {names} --project {shlex.quote(options.project)}")
    return int(left)


def open_study(path: str) -> Study:
    """The study there. Raises InputError where there is none."""
    study = Study(path, create=False)
    try:
        names = study.run_names()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from None
    if not names:
        raise InputError(f"{path}: not a study, it holds no run folder; give one that a sweep has written")
    return study


def _push(study: Study, mirror: Mirror) -> tuple[Tally, int]:
    names = study.run_names()
    idle = [name for name in names if not is_under_way(study.run(name))]
    console = Console(stderr=True)
    columns = (*Progress.get_default_columns()[:-1], TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        for name in progress.track(idle, description="sending runs"):
            mirror.close([name])
            # One at a time, so that the time that is left can be told; what fails is taken up below.
            mirror.step()
    mirror.close_all()
    mirror.step()
    return mirror.tally(), len(names) - len(idle)


if __name__ == "__main__":
    sys.exit(main())
