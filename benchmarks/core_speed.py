"""Measure the speed of training steps and evaluations, compared with code written the usual way.

    python benchmarks/core_speed.py [--quick] [--cases 'ptb/lstm-vae/*'] [--device cuda] [--json FILE]

Variants: plain (speed/plain.py: nn.LSTM, all logits, cross_entropy, L decoder passes and L softmaxes);
plain+malloc, the same with our allocator settings; ours in float32 and in bfloat16. Each is measured after
a warm-up, in separate processes, on the same synthetic batches. Those processes need only torch and numpy;
this command also needs tyro and rich.
"""

from __future__ import annotations

import math
import shlex
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console
from speed.cases import Case, Job, Mode, cases
from speed.launch import FailedError, measure
from speed.limit import flops_per_token
from speed.output import check_writable
from speed.present import Results, machine, records, table

from lvae_core.arguments import parsed
from lvae_core.command import exit_status
from lvae_core.errors import InputError

QUICK_SECONDS, QUICK_LIMIT = 160.0, 175.0
"""Time that --quick divides among its measurements, and the time by which the last one must end."""

START_SECONDS = 4.0
"""Overhead of a measurement: the start of its processes, and the pass that is running at its end."""

_arg = tyro.conf.arg
_Flag = Annotated[bool, tyro.conf.FlagCreatePairsOff]


@dataclass(frozen=True, kw_only=True)
class Options:
    """The command line."""

    quick: _Flag = False
    """Only the most informative cases, in few steps: within three minutes on two cores."""
    cases: Annotated[str, _arg(metavar="PATTERN")] = "*"
    """Only cases whose name matches the pattern, such as 'ptb/lstm-vae/*' (wildcards *, ? and [])."""
    modes: Annotated[
        tuple[str, ...],
        _arg(metavar="PxT", help_behavior_hint="(default: 1x2 2x1; 1x2 alone for the longest cases)"),
    ] = ()
    """Number of concurrent processes and of threads in each, such as 4x1."""
    device: Annotated[str, _arg(metavar="DEVICE")] = "cpu"
    """cpu, cuda or cuda:0; concurrent processes share it."""
    seconds: Annotated[
        float | None, _arg(metavar="SECONDS", help_behavior_hint="(default: 4; with --quick 2)")
    ] = None
    """Shortest time to measure each variant, after its warm-up."""
    json: Annotated[Path | None, _arg(metavar="FILE", help_behavior_hint="(default: none)")] = None
    """Also write the figures to this file."""
    nondeterministic: _Flag = False
    """Let our variants use nondeterministic algorithms, which runs do not by default."""

    def selected(self) -> list[Case]:
        """The cases to measure, each with its modes.

        Raises:
            InputError: an option cannot be used.
        """
        if self.seconds is not None and not (math.isfinite(self.seconds) and self.seconds >= 0):
            raise InputError(f"--seconds {self.seconds}: must be a number, 0 or more")
        known = cases(quick=self.quick)
        found = [case for case in known.values() if fnmatchcase(case.name, self.cases)]
        if not found:
            raise InputError(f"--cases {self.cases}: matches none of {', '.join(known)}")
        modes = tuple(Mode.parse(text) for text in self.modes)
        if self.json is not None:
            check_writable(self.json)
        return [replace(case, modes=modes or case.modes) for case in found]

    @property
    def timed_seconds(self) -> float:
        """Duration of each measurement after its warm-up, in seconds."""
        return self.seconds if self.seconds is not None else 2.0 if self.quick else 4.0

    def for_children(self, within: float) -> list[str]:
        """Arguments for the measuring processes; ``within``: seconds they have, with --quick."""
        flags = {"--quick": self.quick, "--nondeterministic": self.nondeterministic}
        given = [flag for flag, wanted in flags.items() if wanted]
        if self.quick:
            given += ["--within", str(max(0.0, within - START_SECONDS))]
        return ["--device", self.device, "--seconds", str(self.timed_seconds), *given]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return the exit status: 1 (a measurement failed), 2 (bad input), 130 (stopped)."""
    arguments = sys.argv[1:] if arguments is None else arguments
    return exit_status(lambda: run(arguments))


def run(arguments: Sequence[str]) -> int:
    """Measure, print one table and return the exit status."""
    options = parsed(lambda: tyro.cli(Options, args=arguments, prog="core_speed.py", description=__doc__))
    results: Results = {}
    selected = options.selected()
    status = measure_all(selected, options, results)
    out = Console() if sys.stdout.isatty() else Console(width=120)
    out.print(table(selected, results))
    command = shlex.join(["python", "benchmarks/core_speed.py", *arguments])
    gpu, torch = next(((figures.gpu, figures.torch) for figures in results.values()), ("", ""))
    out.print(f"{machine(gpu, torch)}\n{command}", markup=False, highlight=False, soft_wrap=True)
    if options.json is not None:
        options.json.write_text(records(selected, results, options.device))
    return status


def measure_all(selected: Sequence[Case], options: Options, results: Results) -> int:
    """Fill ``results``, with progress on standard error; return the exit status.

    Raises:
        InputError: the device cannot be used.
    """
    err = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
    known = cases(quick=options.quick)
    todo = in_order(selected, quick=options.quick)
    costs = [expected_seconds(job, known[job.case], options.timed_seconds) for job in todo]
    start, status, elapsed = time.perf_counter(), 0, 0.0
    for number, job in enumerate(todo):
        before, elapsed = elapsed, time.perf_counter() - start
        done, left = sum(costs[:number]), sum(costs[number:])
        within = (QUICK_SECONDS - elapsed) * costs[number] / left
        if options.quick and elapsed + (elapsed - before) > QUICK_LIMIT:  # another one as long as the last
            err.print(
                f"no time left for the last {len(todo) - number} measurements; run without --quick for all"
            )
            break
        minutes = left * (elapsed / done if done else 1.0) / 60
        label = f"[{number + 1}/{len(todo)}, {minutes:.0f} min left] {job}"
        try:
            # A spinner at its usual rate would disturb the measurement.
            with err.status(label, refresh_per_second=1):
                figures = measure(job, known[job.case], options.for_children(within))
            results[job] = figures
            err.print(f"{label}: {figures.tokens_per_second.median:.0f} tokens/s")
        except FailedError as error:
            status = 1
            err.print(f"{label}: failed: {error}")
        except KeyboardInterrupt:
            err.print("stopped")
            return 130
    return status


def in_order(selected: Sequence[Case], *, quick: bool) -> list[Job]:
    """Order all measurements, each once: several cases may share a baseline.

    With ``quick`` the most informative ones of every case come first, in case the time runs out.
    """
    todo = list(dict.fromkeys(job for case in selected for job in case.jobs()))
    if not quick:
        return todo
    informative = ("plain", "ours float32", "ours two-phase")
    first = {case.job(name, case.modes[0]) for case in selected for name in informative}
    return sorted(todo, key=lambda job: job not in first)


def expected_seconds(job: Job, case: Case, timed: float) -> float:
    """Estimate the duration of a measurement, at 50 GFLOP/s of matrix products per core."""
    seconds = flops_per_token(case, job.variant) * case.tokens / (0.5e11 * job.mode.threads)
    passes = max(2.0, case.warm_passes * seconds) + max(timed, case.min_passes * seconds)
    return START_SECONDS + passes


if __name__ == "__main__":
    sys.exit(main())
