"""Check and measure lvae_core on one GPU, in a few minutes.

    python benchmarks/gpu_check.py [--minutes 8] [--device cuda] [--json gpu_check.json]

It needs torch 2.11 or newer and numpy, and nothing else: no installation, no network. In this order it

- compares values and gradients of every system with formulas in float64,
- checks that no step waits for the GPU, and that a killed and resumed run has the same bits,
- measures speed and memory, compared with plain code, and several runs on one GPU,
- estimates the time of the paper's runs on Penn Treebank.

Each part is bounded in time. Results are printed and written as they come, so the command can be stopped at
any time; Ctrl-C, SIGTERM and the end of its terminal leave nothing running on the GPU. With --device cpu
everything runs at tiny sizes, to try the command itself.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from speed.output import check_writable

from gpu.driver import run_part
from gpu.estimate import lines
from gpu.parts import LEAST_SECONDS, PARTS, limit
from gpu.report import Report
from lvae_core.arguments import parsed
from lvae_core.command import exit_status
from lvae_core.errors import InputError, check_name


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return the exit status: 1 (a check failed), 2 (bad input), 130 (stopped)."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    return exit_status(lambda: _run(words), interrupted="")


def _run(arguments: Sequence[str]) -> int:
    options = parse(arguments)
    command = shlex.join(["python", "benchmarks/gpu_check.py", *arguments])
    report = Report(options.json, {"command": command, "device": options.device})
    try:
        run_parts(options, report)
    except BaseException:  # Ctrl-C, the end of the terminal, or a fault: the file keeps what was found
        report.close("stopped")
        raise
    for name, text, figures in lines(report.records):
        report.add({"part": "estimate", "name": name, "passed": None, "text": text, **figures})
    report.close("done")
    return 1 if report.of(False) else 0


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Parse and check the command line.

    Raises:
        InputError: an option cannot be used.
    """
    parser = argparse.ArgumentParser(
        prog="gpu_check.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=8.0, help="time for everything (default: 8)")
    parser.add_argument("--device", default="cuda", help="cuda, cuda:N or cpu (default: cuda)")
    parser.add_argument("--json", type=Path, default=Path("gpu_check.json"), help="default: gpu_check.json")
    names = ", ".join(part.name for part in PARTS)
    parser.add_argument("--parts", default="", help=f"only these, separated by commas: {names}")
    subjects = "only checks and cases whose name contains TEXT; repeatable"
    parser.add_argument("--only", action="append", default=[], metavar="TEXT", help=subjects)
    options = parsed(lambda: parser.parse_args(arguments))
    if not (math.isfinite(options.minutes) and options.minutes > 0):
        raise InputError(f"--minutes {options.minutes}: must be a number above 0")
    for name in filter(None, options.parts.split(",")):
        check_name(name, [part.name for part in PARTS], "part")
    import torch  # only here: a wrong option is refused at once

    if options.device.startswith("cuda") and not torch.cuda.is_available():
        raise InputError(f"--device {options.device}: torch finds no GPU; try --device cpu")
    from lvae_core.training.runtime import check_device

    check_device(options.device)
    check_writable(options.json)
    return options


def run_parts(options: argparse.Namespace, report: Report) -> None:
    """Run all parts, each within its share of the time that is left."""
    until = time.monotonic() + 60 * options.minutes
    tiny = [] if options.device.startswith("cuda") else ["--tiny"]
    only = [f"--only={text}" for text in options.only]
    given = ["--device", options.device, *only, *tiny]
    wanted = options.parts.split(",") if options.parts else [part.name for part in PARTS]
    left = tuple(part for part in PARTS if part.name in wanted)
    while left:
        part, seconds = left[0], limit(left, until - time.monotonic())
        left = left[1:]
        report.begin(part.title, seconds)
        if seconds < LEAST_SECONDS:
            record = {"name": f"part {part.name}", "passed": None, "text": "no time left", "cut": True}
            report.add({"part": part.name, **record})
            continue
        with contextlib.closing(run_part(part, seconds, given)) as records:
            for record in records:
                report.add(record)
