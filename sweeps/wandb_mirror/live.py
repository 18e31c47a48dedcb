"""A sweep's side of its mirror: start `wandb_push.py STUDY --follow` in a child process, and end it.

Nothing here waits for W&B while runs go on. The child finds everything in the run folders, so nothing is
lost if it dies.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO

from lvae_core.errors import InputError
from lvae_core.messages import next_line
from lvae_core.wandb_login import require_wandb
from sweeps.options import Mode
from sweeps.wandb_mirror.follow import FLUSH_SECONDS

_SCRIPT = Path(__file__).parents[1] / "wandb_push.py"

_START_SECONDS, _SILENT_SECONDS, _GRACE_SECONDS = 60.0, 2.0, 30.0

_KEY = "WANDB_API_KEY"


@contextlib.contextmanager
def mirrored(
    mode: Mode,
    study: str,
    project: str,
    entity: str | None,
    say: Callable[[str], None],
    *,
    artifacts: bool = False,
) -> Iterator[None]:
    """Mirror a study to W&B inside the ``with`` block.

    Args:
        mode: if disabled, nothing happens at all.
        study: the study, as the user writes it; it need not exist yet.
        project: the W&B project.
        entity: its owner; None: the default of the key.
        say: gets lines for the user when the block ends.
        artifacts: upload the model of every finished run.

    Raises:
        InputError: W&B cannot be used: it is not installed, does not work here, or there is no key.
    """
    if mode == "disabled":
        yield
        return
    require_wandb(f"--wandb {mode}")
    options = push_options(study, project, entity, offline=mode == "offline", artifacts=artifacts)
    # Files instead of pipes: a child that prints never waits for a reader.
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as errors:
        child = subprocess.Popen(
            [sys.executable, str(_SCRIPT), *options, "--follow"],
            stdin=subprocess.PIPE,
            stdout=out,
            stderr=errors,
            start_new_session=True,  # Ctrl-C is for the sweep, whose runs still have things to write
        )
        try:
            _wait_for_start(child, out, errors, f"--wandb {mode}")
            with _without_key():
                yield
            _end(child, say)
            lines = _lines(out)[1:]
            if child.returncode != 0 and not lines:
                lines = [lacking("some runs", "the mirror did not answer", options)]
            for line in lines:
                say(line)
        finally:
            child.kill()
            child.wait()
            _close_input(child)


def push_options(
    study: str,
    project: str,
    entity: str | None,
    *,
    offline: bool,
    artifacts: bool,
    again: bool = False,
) -> list[str]:
    """The arguments of wandb_push.py for one study."""
    owner = ["--entity", entity] if entity else []
    flags = {"--offline": offline, "--again": again, "--artifacts": artifacts}
    return [study, "--project", project, *owner, *(flag for flag, is_set in flags.items() if is_set)]


def lacking(runs: str, reason: str, options: Sequence[str]) -> str:
    """A line on ``runs`` that W&B lacks, with the command that sends them."""
    command = next_line("python", "sweeps/wandb_push.py", *options)
    return f"W&B lacks {runs} ({reason}); nothing is lost, {command}"


def _wait_for_start(child: subprocess.Popen[bytes], out: IO[bytes], errors: IO[bytes], user: str) -> None:
    """Wait for the first line of the child, which says that it can use W&B."""
    deadline = time.monotonic() + _START_SECONDS
    while not _lines(out):
        if child.poll() is not None or time.monotonic() >= deadline:
            last = (_lines(errors) or ["no answer"])[-1]
            if last.startswith("error: "):
                raise InputError(f"{user}: {last.removeprefix('error: ')}")
            raise InputError(f"{user}: wandb does not work here ({last}); use --wandb disabled")
        time.sleep(0.05)


def _end(child: subprocess.Popen[bytes], say: Callable[[str], None]) -> None:
    """Let the child push what is left and end, within a bounded time."""
    _close_input(child)
    try:
        child.wait(_SILENT_SECONDS)
    except subprocess.TimeoutExpired:
        say(f"W&B: sending what is left, {FLUSH_SECONDS:.0f} seconds at most")
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(FLUSH_SECONDS + _GRACE_SECONDS)


def _close_input(child: subprocess.Popen[bytes]) -> None:
    assert child.stdin is not None
    child.stdin.close()


def _lines(file: IO[bytes]) -> list[str]:
    """The lines that the child has written so far."""
    # pread, because the child writes at the position that a read would move.
    return os.pread(file.fileno(), os.fstat(file.fileno()).st_size, 0).decode(errors="replace").splitlines()


@contextlib.contextmanager
def _without_key() -> Iterator[None]:
    """Keep the user's key out of the environment that Ray's processes inherit."""
    key = os.environ.pop(_KEY, None)
    try:
        yield
    finally:
        if key is not None:
            os.environ[_KEY] = key
