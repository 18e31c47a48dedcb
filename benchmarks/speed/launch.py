"""Starting the processes of one measurement together and adding up what they find. No torch here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, quantiles
from typing import IO, Any, NamedTuple

from lvae_core.errors import InputError
from speed.cases import Case, Job
from speed.limit import flops_per_token

BENCHMARKS = Path(__file__).parents[1]


class FailedError(Exception):
    """A measuring process ended before it had measured; the message is the last line it wrote."""


class Spread(NamedTuple):
    """Quartiles of what varies from pass to pass."""

    lower: float
    median: float
    upper: float


@dataclass(frozen=True)
class Figures:
    """What the processes of one measurement found.

    Attributes:
        tokens_per_second: added up over the processes.
        of_limit: their matrix products in that time, relative to what the same processes can make; None
            where these are not in float32.
        step_seconds: median, mean over the processes.
        peak_memory_bytes: of the process that took most.
        gpu: name of the device, "" for a CPU.
        torch: version.
    """

    tokens_per_second: Spread
    of_limit: float | None
    step_seconds: float
    peak_memory_bytes: int
    gpu: str
    torch: str


def measure(job: Job, case: Case, arguments: Sequence[str]) -> Figures:
    """Time a variant in as many processes as its mode says, all at work until the last one is done.

    Args:
        job: what the processes are told to measure.
        case: of that name.
        arguments: further ones of ``speed.measure``.

    Raises:
        InputError: a process refused its arguments (the device, say).
        FailedError: a process ended otherwise, for want of memory, say.
    """
    command = [
        *(sys.executable, "-m", "speed.measure", job.case, job.variant),
        *("--threads", str(job.mode.threads), "--together", *arguments),
    ]
    with tempfile.TemporaryFile("w+") as log, started(command, job.mode.processes, log) as processes:
        for process in processes:
            answer(process, log)  # "ready"
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        return add_up([json.loads(answer(process, log)) for process in processes], case, job.variant)


@contextmanager
def started(command: Sequence[str], number: int, log: IO[str]) -> Iterator[list[subprocess.Popen[str]]]:
    """So many processes, ended with the block; both packages can be imported in them."""
    paths = [str(BENCHMARKS), str(BENCHMARKS.parent), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}
    processes: list[subprocess.Popen[str]] = []
    try:
        for _ in range(number):
            processes.append(  # noqa: PERF401  those already started must be known to end them
                subprocess.Popen(
                    command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    text=True,
                    env=environment,
                )
            )
        yield processes
    finally:
        for process in processes:
            process.kill()
        for process in processes:
            process.communicate()


def answer(process: subprocess.Popen[str], log: IO[str]) -> str:
    """The next line that a process says."""
    assert process.stdout is not None
    line = process.stdout.readline()
    if line:
        return line
    status = process.wait()
    log.seek(0)
    said = [line for line in log.read().splitlines() if line.strip()] or [f"exit status {status}"]
    if status == 2:
        raise InputError(said[-1].removeprefix("error: "))
    raise FailedError("killed: out of memory?" if status == -9 else said[-1])


def add_up(reports: Sequence[dict[str, Any]], case: Case, variant: str) -> Figures:
    """The figures of a measurement from the reports of its processes (see ``speed.measure.report``)."""
    times = [quartiles(report["seconds"]) for report in reports]
    speed = Spread(
        lower=sum(case.tokens / time.upper for time in times),
        median=sum(case.tokens / time.median for time in times),
        upper=sum(case.tokens / time.lower for time in times),
    )
    limits = [report["flops_per_second"] for report in reports]
    of_limit = None if None in limits else speed.median * flops_per_token(case, variant) / sum(limits)
    return Figures(
        tokens_per_second=speed,
        of_limit=of_limit,
        step_seconds=mean(time.median for time in times) / len(case.lengths),
        peak_memory_bytes=max(report["peak_memory_bytes"] for report in reports),
        gpu=reports[0]["gpu"],
        torch=reports[0]["torch"],
    )


def quartiles(values: Sequence[float]) -> Spread:
    """Of one value, itself three times."""
    if len(values) == 1:
        return Spread(values[0], values[0], values[0])
    lower, median, upper = quantiles(values, n=4, method="inclusive")
    return Spread(lower, median, upper)
