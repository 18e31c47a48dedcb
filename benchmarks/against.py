"""Compare the speed of this checkout with that of another one, such as a worktree of an earlier commit.

    git worktree add ../before COMMIT
    python benchmarks/against.py ../before [--cases 'ptb/lstm-*'] [--rounds 3]

Each round measures a case in both checkouts, one right after the other, in the order here, there, there,
here, so that a machine that becomes slower or faster favours neither. A process has one thread.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console
from rich.table import Table
from speed.cases import cases

from lvae_core.arguments import parsed
from lvae_core.command import exit_status
from lvae_core.errors import InputError

HERE = Path(__file__).resolve().parents[1]

_arg = tyro.conf.arg


@dataclass(frozen=True, kw_only=True)
class Options:
    """The command line."""

    checkout: Annotated[Path, tyro.conf.Positional, _arg(metavar="CHECKOUT")]
    """The folder of the other checkout."""
    cases: Annotated[str, _arg(metavar="PATTERN")] = "ptb/lstm-*/standard"
    """Cases that both have whose name matches the pattern (wildcards *, ? and [])."""
    variant: str = "ours float32"
    """The variant to measure."""
    rounds: Annotated[int, _arg(metavar="N")] = 3
    """Measurements of a case in each checkout."""
    seconds: Annotated[float, _arg(metavar="SECONDS")] = 3.0
    """Shortest time of a measurement, after its warm-up."""
    tiny: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Measure the cases at tiny sizes, to try the command."""

    def selected(self) -> list[str]:
        """Names of the cases to measure.

        Raises:
            InputError: an option cannot be used.
        """
        if not (self.checkout / "benchmarks" / "speed" / "measure.py").is_file():
            raise InputError(f"{self.checkout}: not a checkout with benchmarks/speed/measure.py")
        if self.rounds < 1:
            raise InputError(f"--rounds {self.rounds}: must be at least 1")
        known = {name: case for name, case in cases(quick=False).items() if self.variant in case.variants}
        if not known:
            raise InputError(f"--variant {self.variant}: no case has it")
        found = [name for name in known if fnmatchcase(name, self.cases)]
        if not found:
            raise InputError(f"--cases {self.cases}: matches none of {', '.join(known)}")
        return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return the exit status: 0, 2 (bad input) or 130 (stopped)."""
    words = sys.argv[1:] if arguments is None else arguments
    return exit_status(
        lambda: run(parsed(lambda: tyro.cli(Options, args=words, prog="against.py", description=__doc__)))
    )


def run(options: Options) -> int:
    """Measure and print one table."""
    table = Table(title=f"{options.variant}, one thread, {options.rounds} rounds: tokens/s")
    for head in ("case", "there", "here", "here / there", "lowest", "highest"):
        table.add_column(head, justify="left" if head == "case" else "right")
    for name in options.selected():
        print(name, file=sys.stderr, flush=True)
        pairs = [pair for k in range(options.rounds) if (pair := _round(options, name, k))]
        if not pairs:
            print(f"{name}: the other checkout has no such case", file=sys.stderr)
            continue
        here, there = zip(*pairs, strict=True)
        ratios = [mine / other for mine, other in pairs]
        middle = statistics.median(ratios)
        numbers = f"{statistics.median(there):.0f}", f"{statistics.median(here):.0f}"
        table.add_row(name, *numbers, *(f"{ratio:.2f}" for ratio in (middle, min(ratios), max(ratios))))
    Console(width=110).print(table)
    return 0


def _round(options: Options, name: str, number: int) -> tuple[float, float] | None:
    """Tokens per second here and there; None if the other checkout does not have the case."""
    places = [HERE, options.checkout] if number % 2 == 0 else [options.checkout, HERE]
    found = {place: tokens_per_second(options, place, name) for place in places}
    there = found[options.checkout]
    return None if there is None else (found[HERE] or 0.0, there)


def tokens_per_second(options: Options, checkout: Path, name: str) -> float | None:
    """Measure a case in a checkout; None if it does not have the case.

    Raises:
        InputError: the measurement failed; the message is its last line.
    """
    benchmarks = checkout.resolve() / "benchmarks"
    flags = ["--tiny"] if options.tiny else []
    words = ["--threads", "1", "--seconds", str(options.seconds), *flags]
    done = subprocess.run(
        [sys.executable, "-m", "speed.measure", name, options.variant, *words],
        cwd=benchmarks,
        env=os.environ | {"PYTHONPATH": f"{benchmarks}{os.pathsep}{benchmarks.parent}"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode == 2 and "unknown case" in done.stderr:
        return None
    if done.returncode:
        last = done.stderr.strip().rpartition("\n")[2]
        raise InputError(f"{checkout}: {name}: {last or f'status {done.returncode}'}")
    seconds = json.loads(done.stdout)["seconds"]
    case = cases(quick=False)[name]
    return float((case.tiny() if options.tiny else case).tokens / statistics.median(seconds))


if __name__ == "__main__":
    sys.exit(main())
