"""What a command does that is called in this process, and what of it is wrong."""

from __future__ import annotations

import contextlib
import io
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from analysis import summarize as summarize_module

LIMIT_SECONDS = 60.0
"""Seconds that a case may take on a busy machine; most take less than one."""


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
        if self.seconds > LIMIT_SECONDS:
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
            status = main() if main is summarize_module.main else main(list(arguments))
        except SystemExit as end:
            status = end.code
        except BaseException:
            status = "an exception"
            traceback.print_exc()
    seconds = time.monotonic() - start
    printed.flush()
    output = printed.buffer.getvalue().decode()  # type: ignore[attr-defined]
    return Outcome(f"{case}: {list(arguments)}", status, output, seconds, sorted(paths() - before))


def paths() -> set[str]:
    """Return the files of the current folder, without those that repair leaves."""
    found = {str(path) for path in Path().rglob("*")}
    return {path for path in found if ".damaged-" not in path and ".partial-" not in path}
