"""Run the parts one after another, each a process that is ended at its limit. Never imports torch."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from gpu.parts import Part

BENCHMARKS = Path(__file__).parents[1]
GRACE_SECONDS = 4.0
"""A part is told of so much less than its limit, to end by itself."""


def run_part(part: Part, limit: float, arguments: Sequence[str]) -> Generator[dict[str, Any], None, None]:
    """Run a part; yield its records as they come, and one more if it fails or is ended at its limit.

    Whatever ends this generator ends the part and every process that it started.
    """
    told = max(1.0, limit - GRACE_SECONDS)
    command = [sys.executable, "-m", part.module, "--seconds", f"{told:.1f}", *arguments]
    command += ["--since", str(time.monotonic())]  # the start of the process counts
    with tempfile.TemporaryFile("w+", errors="replace") as log, _started(command, log) as process:
        until = time.monotonic() + limit
        lines: queue.Queue[str | None] = queue.Queue()
        assert process.stdout is not None
        threading.Thread(target=_read, args=(process.stdout, lines), daemon=True).start()
        while True:
            try:
                line = lines.get(timeout=max(0.0, until - time.monotonic()))
            except queue.Empty:
                yield _about(part, None, f"ended at its limit of {limit:.0f} s", cut=True)
                return
            if line is None:
                break
            yield {"part": part.name, **json.loads(line)}
        status = process.wait()
        if status:
            log.seek(0)
            last = [text for text in log.read().splitlines() if text.strip()] or ["no message"]
            yield _about(part, False, f"ended with status {status}: {last[-1]}")


def _about(part: Part, passed: bool | None, text: str, *, cut: bool = False) -> dict[str, Any]:
    return {"part": part.name, "name": f"part {part.name}", "passed": passed, "text": text, "cut": cut}


@contextlib.contextmanager
def _started(command: Sequence[str], log: IO[str]) -> Iterator[subprocess.Popen[str]]:
    """Start a process in a group of its own, which ends with the block."""
    paths = [str(BENCHMARKS), str(BENCHMARKS.parent), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        "CUBLAS_WORKSPACE_CONFIG": ":4096:8",  # deterministic products need it from the start
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1"),
    }
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=log, text=True, env=environment, start_new_session=True
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def _read(stream: IO[str], lines: queue.Queue[str | None]) -> None:
    """Hand on the lines of a process; None at their end."""
    with contextlib.suppress(ValueError):  # closed while it was read
        for line in stream:
            lines.put(line)
    lines.put(None)
