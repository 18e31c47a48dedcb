"""Run ``python -m lvae_core generate`` for several runs in one child process, which loads torch once."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from analysis.reading.run_row import one_line

_TIMEOUT = 300
"""Seconds for one answer."""

_PROGRAM = """
import contextlib, io, json, sys
from lvae_core.__main__ import main
answers = sys.stdout
for line in sys.stdin:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main(json.loads(line))
    print(json.dumps([status, out.getvalue(), err.getvalue()]), file=answers, flush=True)
"""
"""Reads the arguments of a command from each line, and answers with its status, output and errors."""


class Generator:
    """A child process that generates sentences; it starts with the first call, and ends with the block."""

    def __init__(self) -> None:
        self._child: subprocess.Popen[str] | None = None
        self._errors = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()
        self._errors.close()

    def generate(self, arguments: Sequence[str]) -> tuple[dict[str, Any] | None, str]:
        """The JSON that the command prints; or None and the reason, in one line.

        Args:
            arguments: of ``generate``, with ``--json``.
        """
        try:
            answer = self._answer(json.dumps(["generate", *arguments]))
        except OSError as error:
            self._end()
            return None, one_line(str(error))
        if not answer:
            self._end()
            self._errors.seek(0)
            return None, _last_line(self._errors.read())
        status, printed, errors = json.loads(answer)
        if status == 0:
            with contextlib.suppress(ValueError):
                return dict(json.loads(printed)), ""
        return None, _last_line(errors)

    def _answer(self, line: str) -> str:
        """The line that the child answers with; empty if it ends, or takes too long."""
        child = self._child = self._child or self._start()
        assert child.stdin is not None
        assert child.stdout is not None
        timer = threading.Timer(_TIMEOUT, child.kill)
        timer.start()
        try:
            child.stdin.write(f"{line}\n")
            child.stdin.flush()
            return child.stdout.readline()
        finally:
            timer.cancel()

    def _start(self) -> subprocess.Popen[str]:
        # The child imports lvae_core from the same place as this process, installed or not.
        root = str(Path(__file__).resolve().parents[2])
        paths = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH", "")]))
        return subprocess.Popen(
            [sys.executable, "-c", _PROGRAM],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            encoding="utf-8",
            env=os.environ | {"PYTHONPATH": paths, "PYTHONUTF8": "1"},
        )

    def _end(self) -> None:
        if self._child is None:
            return
        with contextlib.suppress(OSError):
            self._child.kill()
        self._child.communicate()
        self._child = None


def _last_line(errors: str) -> str:
    """The last line of an error, which is the one for users."""
    last = (errors.strip().splitlines() or ["no message"])[-1]
    return one_line(last.removeprefix("error: "))
