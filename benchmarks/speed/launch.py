"""Start the concurrent processes of a measurement and combine their reports. Never imports torch."""

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
    """A measuring process failed; the message is the last line it wrote."""


class Spread(NamedTuple):
    """Quartiles of a value that varies from pass to pass."""

    lower: float
    median: float
    upper: float


@dataclass(frozen=True)
class Figures:
    """The result of one measurement.

    Attributes:
        tokens_per_second: predicted tokens per second, summed over the processes.
        of_limit: speed of the necessary matrix products, relative to the measured speed limit of the same
            processes; None if they are not in float32.
        step_seconds: median seconds per step, mean over the processes.
        peak_memory_bytes: peak memory of the largest process.
        gpu: name of the device, "" for a CPU.
        torch: version of torch.
    """

    tokens_per_second: Spread
    of_limit: float | None
    step_seconds: float
    peak_memory_bytes: int
    gpu: str
    torch: str


def measure(job: Job, case: Case, arguments: Sequence[str]) -> Figures:
    """Time a variant in concurrent processes, which all keep working until the last one is done.

    Args:
        job: the measurement; its mode gives the number of processes and threads.
        case: the case named by ``job``.
        arguments: further arguments of ``speed.measure``.

    Raises:
        InputError: a process refused its arguments, for example the device.
        FailedError: a process failed otherwise, for example for lack of memory.
    """
    command = [
        *(sys.executable, "-m", "speed.measure", job.case, job.variant),
        *("--threads", str(job.mode.threads), "--together", *arguments),
    ]
    with (
        tempfile.TemporaryFile("w+") as log,
        start_processes(command, job.mode.processes, log) as processes,
    ):
        for process in processes:
            read_line(process, log)  # "ready"
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        return combine([json.loads(read_line(process, log)) for process in processes], case, job.variant)


@contextmanager
def start_processes(
    command: Sequence[str], number: int, log: IO[str]
) -> Iterator[list[subprocess.Popen[str]]]:
    """Start ``number`` processes that can import both packages; end them with the block."""
    paths = [str(BENCHMARKS), str(BENCHMARKS.parent), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}
    processes: list[subprocess.Popen[str]] = []
    try:
        for _ in range(number):
            processes.append(  # noqa: PERF401  a failed start must end the ones before it
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


def read_line(process: subprocess.Popen[str], log: IO[str]) -> str:
    """Read the next line that a process prints.

    Raises:
        InputError: the process ended with status 2.
        FailedError: the process ended with another status.
    """
    assert process.stdout is not None
    line = process.stdout.readline()
    if line:
        return line
    status = process.wait()
    log.seek(0)
    lines = [line for line in log.read().splitlines() if line.strip()] or [f"exit status {status}"]
    if status == 2:
        raise InputError(lines[-1].removeprefix("error: "))
    raise FailedError("killed: out of memory?" if status == -9 else lines[-1])


def combine(reports: Sequence[dict[str, Any]], case: Case, variant: str) -> Figures:
    """Combine the reports of a measurement's processes (see ``speed.measure.report``)."""
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
    """Compute quartiles; of a single value, that value three times."""
    if len(values) == 1:
        return Spread(values[0], values[0], values[0])
    lower, median, upper = quantiles(values, n=4, method="inclusive")
    return Spread(lower, median, upper)
