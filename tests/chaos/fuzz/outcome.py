"""What a command does that is called in this process, and what of it is wrong."""

from __future__ import annotations

import contextlib
import io
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from unittest import mock

from analysis import summarize as summarize_module
from analysis import wandb_report as report_module

LIMIT_SECONDS = 300.0
"""Seconds after which a case counts as a hang, even on a busy machine; most take less than one."""

ARGUMENTS_OF_THE_PROCESS = (summarize_module.main, report_module.main)
"""Commands that take their arguments from ``sys.argv``."""


class Hang(BaseException):
    """The time of a case is over. No command catches it."""


@dataclass(frozen=True)
class Outcome:
    """What a case did."""

    case: str
    status: object
    output: str
    seconds: float
    appeared: list[str]
    """Files that the command has left, by path."""

    def complaint(self) -> str:
        """Return what is wrong with the outcome; empty if nothing is."""
        if self.status not in (0, 1, 2, 130):
            return f"status {self.status!r}"
        if "Traceback" in self.output or "error: unexpected" in self.output:
            return "a traceback or an unexpected error"
        if self.seconds > LIMIT_SECONDS:  # it was so busy in a library that it could not be interrupted
            return f"{self.seconds:.0f} s"
        if self.status == 2 and not any(word in self.output for word in ("error: ", "fix what has failed")):
            return "status 2 without a line"
        if self.status == 2 and self.appeared:
            return f"left behind: {self.appeared}"
        return ""

    def __str__(self) -> str:
        return f"{self.complaint()}\n{self.case}\n{self.output[-2000:]}"


def call(case: str, main: Callable[..., object], arguments: Sequence[str]) -> Outcome:
    """Run a command in the current folder and say what it did."""
    before = paths()
    printed = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors="backslashreplace")
    start = time.monotonic()
    status: object
    with (
        contextlib.redirect_stdout(printed),
        contextlib.redirect_stderr(printed),
        mock.patch.object(sys, "argv", ["command", *arguments]),
        mock.patch.object(sys, "stdin", io.StringIO("")),
    ):
        try:
            with limited(LIMIT_SECONDS):
                status = main() if main in ARGUMENTS_OF_THE_PROCESS else main(list(arguments))
        except SystemExit as end:
            status = end.code
        except Hang:
            status = "a hang"
            traceback.print_exc()
        except BaseException:
            status = "an exception"
            traceback.print_exc()
    seconds = time.monotonic() - start
    printed.flush()
    output = printed.buffer.getvalue().decode()  # type: ignore[attr-defined]
    return Outcome(f"{case}: {list(arguments)}", status, output, seconds, sorted(paths() - before))


@contextlib.contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Raise Hang if the ``with`` block takes longer, also if pytest has set a timer of its own."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise Hang(f"not done within {seconds:g} s")

    handler = signal.signal(signal.SIGALRM, interrupt)
    left, again = signal.setitimer(signal.ITIMER_REAL, seconds)
    start = time.monotonic()
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
        if left:
            signal.setitimer(signal.ITIMER_REAL, max(0.001, left - (time.monotonic() - start)), again)


def paths() -> set[str]:
    """Return the files of the current folder, without those that repair leaves."""
    found = {str(path) for path in Path().rglob("*")}
    return {path for path in found if ".damaged-" not in path and ".partial-" not in path}
