"""Send to W&B the runs, and parts of runs, of studies that it does not have yet.

    python sweeps/wandb_push.py runs/paper            send what is missing, of finished and partial runs
    python sweeps/wandb_push.py runs/paper --follow   keep sending what is new, until Ctrl-C
    python sweeps/wandb_push.py runs/paper --project vae --entity group

Run it at any time and as often as you like: W&B gets what it lacks and nothing twice. Without --follow,
runs under way are skipped. With it, they are sent epoch by epoch, also while a sweep on another machine
writes to a shared folder or bucket; the study need not exist yet. Ctrl-C, SIGTERM or the end of a pipe on
standard input ends it after a last push of at most 30 seconds; runs still under way then show as preempted,
and the next push continues them. The key is WANDB_API_KEY or the one that `wandb login` saved. Exit status:
0 everything is sent, 1 something is not, 2 the input cannot be used.
"""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    # Python puts the folder of a script first on the path; lvae_core is in the folder above it.
    sys.path[0] = str(Path(__file__).resolve().parent.parent)
    from lvae_core.environment import check_installed, end_quietly_on_ctrl_c

    end_quietly_on_ctrl_c()
    check_installed("sweeps")

import contextlib
import os
import stat
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated

import tyro
from rich.console import Console
from rich.progress import Progress, TimeRemainingColumn

from lvae_core.command import Interrupt, exit_status
from lvae_core.errors import InputError, cannot_read
from lvae_core.messages import Verbosity, is_quiet, next_line, notice, numbered
from lvae_core.run_folder.study import Study
from lvae_core.storage.local import unwritable
from lvae_core.wandb_login import prepare_environment, require_key, require_wandb
from sweeps.options import Flag, Messages, arg, check_wandb_names, parse_options
from sweeps.wandb_mirror.content import is_in_training
from sweeps.wandb_mirror.follow import FLUSH_SECONDS, Follower, run_trouble
from sweeps.wandb_mirror.live import lacking, push_options
from sweeps.wandb_mirror.scratch import load_library, remove_all

if TYPE_CHECKING:  # the library takes a second to load
    from sweeps.wandb_mirror.client import Target
    from sweeps.wandb_mirror.mirror import Mirror, Tally


_NICE = 19


@dataclass(frozen=True, kw_only=True)
class Options:
    """The command line."""

    studies: Annotated[
        tuple[str, ...],
        tyro.conf.Positional,
        arg(metavar="STUDY [STUDY ...]", help_behavior_hint="(required)"),
    ]
    """Folders or addresses of studies; one with --follow."""
    follow: Flag = False
    """Look at the study every few seconds and send what is new, until Ctrl-C."""
    project: Annotated[str, arg(metavar="NAME")] = "lvae"
    """The W&B project."""
    entity: Annotated[str | None, arg(metavar="NAME", help_behavior_hint="(default: the key's)")] = None
    """The user or team that owns the project."""
    offline: Flag = False
    """Write directories for `wandb sync` below $WANDB_DIR, or here, instead of sending anything."""
    again: Flag = False
    """Also check runs that were already sent, and send what W&B no longer has of them. W&B never takes the
    id of a deleted run back: undelete it there, or use another --project."""
    artifacts: Flag = False
    """Also upload the checkpoint of every finished run, as an artifact of type model."""
    messages: Messages = field(default_factory=Verbosity)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    arguments = sys.argv[1:] if arguments is None else arguments

    def command() -> int:
        options = parse_options(Options, arguments, "wandb_push.py", __doc__)
        options.messages.apply()
        if not options.studies:
            raise InputError("wandb_push.py: give a study, such as runs/paper")
        return follow(options) if options.follow else push(options)

    return exit_status(command, interrupted="stopped; the same command sends the rest")


def push(options: Options) -> int:
    """Send what is missing; returns the exit status.

    Raises:
        InputError: a study or W&B cannot be used.
    """
    studies = [open_with_runs(path) for path in options.studies]
    target = _target(options)
    from sweeps.wandb_mirror.client import reachable
    from sweeps.wandb_mirror.mirror import Mirror

    if not (options.offline or reachable()):
        raise InputError("W&B cannot be reached; the run folders keep everything, so try again later")
    complete = True
    for path, study in zip(options.studies, studies, strict=True):
        tally, skipped = _push(
            study, Mirror(study, target, again=options.again, artifacts=options.artifacts)
        )
        for line in _closing(path, tally, options, target):
            print(f"{path}: {line}")
        if skipped:
            runs = numbered(skipped, "run")
            print(f"{path}: skipped {runs} under way; --follow sends what is under way, too")
        complete &= not (tally.left or tally.deleted)
    if not (options.offline or is_quiet()):
        report = ["analysis/wandb_report.py", *options.studies, "--project", options.project]
        print(next_line("python", *report))
    return 0 if complete else 1


def follow(options: Options) -> int:
    """Send what is new until asked to end, then what is left; returns the exit status.

    Raises:
        InputError: W&B cannot be used, or several studies are given.
    """
    if len(options.studies) != 1:
        raise InputError("--follow: give one study; start one command per study")
    path = options.studies[0]
    study = Study(path, create=False)
    target = _target(options)
    from sweeps.wandb_mirror.mirror import Mirror

    os.nice(_NICE)  # on a machine that trains, runs go first
    follower = Follower(study, Mirror(study, target, again=options.again, artifacts=options.artifacts))
    # A sweep waits for this line; what follows on standard output is for its user.
    print(f"following {path}; Ctrl-C ends it after a last push", flush=True)
    input_closed = _watch_input()

    def say(line: str) -> None:
        notice(f"{path}: {line}")

    with Interrupt() as interrupt:
        follower.follow(lambda: interrupt.requested or input_closed.is_set(), say)
        say(f"sending what is left, {FLUSH_SECONDS:.0f} seconds at most (Ctrl-C: stop at once)")
        tally = follower.finish()
    for line in _closing(path, tally, options, target):
        print(line)
    return 1 if tally.trouble or tally.deleted else 0


def open_with_runs(path: str) -> Study:
    """Open the study at ``path``; raises InputError if it holds no run."""
    study = Study(path, create=False)
    try:
        names = study.run_names()
    except OSError as error:
        if "://" not in path and not os.path.exists(path):
            raise InputError(f"{path}: there is no such study; give one that a sweep has written") from None
        raise cannot_read(path, error) from None
    if not names:
        raise InputError(f"{path}: not a study: it holds no run folder; give one that a sweep has written")
    return study


def _target(options: Options) -> Target:
    """Load the library and prepare it for sending."""
    check_wandb_names(options.project, options.entity, prefix="--")
    if options.artifacts and options.offline:
        raise InputError("--artifacts: cannot be written with --offline; push them when W&B can be reached")
    require_wandb("wandb_push.py")
    folder = os.environ.get("WANDB_DIR") or "."
    if options.offline and (found := unwritable(Path(folder))):
        raise InputError(f"{found[0]}: cannot be written; set WANDB_DIR to a folder of yours")
    load_library()
    from sweeps.wandb_mirror.client import Target

    prepare_environment()
    if not options.offline:
        require_key()
    return Target(
        project=options.project,
        entity=options.entity,
        mode="offline" if options.offline else "online",
        folder=folder,
    )


def _push(study: Study, mirror: Mirror) -> tuple[Tally, int]:
    """Send the runs that no process works on; returns the tally and the number of other runs."""
    idle, under_way, unreadable = [], 0, {}
    for name in study.run_names():
        try:
            if is_in_training(study.run(name)):
                under_way += 1
            else:
                idle.append(name)
        except OSError as error:
            unreadable[name] = run_trouble(name, error)
    console = Console(stderr=True)
    hidden = is_quiet() or not console.is_terminal
    columns = (*Progress.get_default_columns()[:-1], TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=hidden) as progress:
        for name in progress.track(idle, description="sending runs"):
            mirror.close([name])
            # One at a time, so that the bar can tell the time left; the steps below retry what fails.
            mirror.step()
    mirror.close_all()
    mirror.step()
    return mirror.tally(unreadable), under_way


def _closing(path: str, tally: Tally, options: Options, target: Target) -> Iterator[str]:
    """Lines that say what W&B has and lacks, and the next command."""
    if tally.sent and options.offline:
        folder = os.path.join(target.folder, "wandb")
        yield f"W&B: {numbered(tally.sent, 'run')} written; {next_line('wandb', 'sync', folder)}"
    elif tally.sent:
        yield f"W&B has {numbered(tally.sent, 'run')} at {tally.url or options.project}"
    if tally.disagreeing:
        yield (
            f"W&B: {numbered(tally.disagreeing, 'run')} trained again with other numbers than those "
            "already sent; it keeps the former rows"
        )
    if tally.deleted:
        yield (
            f"W&B lacks {numbered(tally.deleted, 'run')}: deleted on W&B, which never takes an id back: "
            "undelete it there, or use another --project"
        )
    if tally.left or tally.trouble:
        runs = numbered(tally.left, "run") if tally.left else "some runs"
        command = push_options(
            path,
            options.project,
            options.entity,
            offline=options.offline,
            artifacts=options.artifacts,
            again=options.again,
        )
        yield lacking(runs, tally.trouble, command)


def _watch_input() -> threading.Event:
    """An event that is set when standard input, if it is a pipe, is closed: its writer has ended."""
    closed = threading.Event()

    def watch() -> None:
        with contextlib.suppress(OSError):
            while os.read(0, 4096):
                pass
        closed.set()

    with contextlib.suppress(OSError):
        if stat.S_ISFIFO(os.fstat(0).st_mode):
            threading.Thread(target=watch, daemon=True, name="standard input").start()
    return closed


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    try:
        remove_all()
    finally:
        # Skip the library's exit handlers, which would wait for a server that is away.
        os._exit(status)
