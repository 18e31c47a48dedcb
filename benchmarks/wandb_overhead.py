"""Measure the cost of mirroring a sweep to W&B, offline and with an unreachable server.

    python benchmarks/wandb_overhead.py

The same grid is run with ``--wandb disabled``, ``offline`` and ``online`` (the server's port is closed), in
several turns; each ratio is relative to the disabled sweep of the same turn. Wall seconds are those of the
whole command. ``mirror, share`` is the CPU time of the mirror relative to that of all other processes of
the sweep: the slowdown of a sweep that keeps every core busy, and the reliable figure if other programs
share the machine. ``--server`` also measures a server that answers, the one of the tests.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import tyro
from rich.console import Console
from rich.table import Table

from lvae_core.arguments import bound, parsed
from lvae_core.command import exit_status

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "sweeps" / "paper_grid.py"
CLOSED = "http://127.0.0.1:9"
"""The discard port, on which nothing listens."""

POLL_SECONDS = 0.3


@dataclass(frozen=True)
class Taken:
    """Seconds of one sweep."""

    wall: float
    cpu: float
    """CPU seconds of all processes of the sweep."""
    mirror: float
    """CPU seconds of the mirror, including the process of the W&B library."""


def main(turns: int = 3, runs: int = 4, epochs: int = 12, server: bool = False) -> None:
    """Measure and print one table.

    Args:
        turns: number of measurements of each mode.
        runs: number of runs in the grid; one per core runs at a time.
        epochs: epochs of each run, on pydocs.
        server: also measure a local server that answers.
    """
    console = Console(width=None if sys.stdout.isatty() else 110)
    taken: dict[str, list[Taken]] = {}
    start, total = time.monotonic(), turns * (3 + server)
    with running_server(server) as address:
        modes = {"disabled": CLOSED, "offline": CLOSED, "online, unreachable": CLOSED}
        modes |= {"online": address} if server else {}
        for turn in range(turns):
            # Rotate the order, so that a machine that warms up favours no mode.
            order = [*modes][turn % len(modes) :] + [*modes][: turn % len(modes)]
            for mode in order:
                taken.setdefault(mode, []).append(sweep(mode.partition(",")[0], modes[mode], runs, epochs))
                done = sum(map(len, taken.values()))
                left = (time.monotonic() - start) / done * (total - done)
                console.print(f"{done} of {total} sweeps, about {left:.0f} s to go", style="dim")
    table = Table("--wandb", title=f"{runs} runs of {epochs} epochs on pydocs; median of {turns} turns")
    for heading in ("wall seconds", "ratio", "CPU seconds", "ratio", "mirror, seconds", "mirror, share"):
        table.add_column(heading, justify="right")
    baseline = taken["disabled"]
    for mode, sweeps in taken.items():
        cells = []
        for part in ("wall", "cpu"):
            ratios = [getattr(a, part) / getattr(b, part) for a, b in zip(sweeps, baseline, strict=True)]
            cells += [f"{median(getattr(t, part) for t in sweeps):.1f}", f"{median(ratios):.3f}"]
        share = median(t.mirror / (t.cpu - t.mirror) for t in sweeps)
        table.add_row(mode, *cells, f"{median(t.mirror for t in sweeps):.2f}", f"{share:.2%}")
    console.print(table)


def sweep(mode: str, address: str, runs: int, epochs: int) -> Taken:
    """Run the grid in its own study, which is removed afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        command = [
            *(sys.executable, str(SCRIPT), "--study", "measured", "--wandb", mode),
            *("--datasets", "pydocs", "--systems", "lstm-vae", "--num-samples", "1"),
            *("--settings", "standard", "--seeds", str(runs), "--max-epochs", str(epochs)),
            *("--set", "patience=1000", "iw_samples=8", "embedding_size=64", "hidden_size=128"),
        ]
        mark = uuid.uuid4().hex
        settings = {"WANDB_BASE_URL": address, "WANDB_API_KEY": "0" * 40, "HOME": folder}
        environment = {**os.environ, **settings, "LVAE_MEASURED": mark}
        start = time.perf_counter()
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL)
        seconds: dict[int, tuple[float, bool]] = {}
        while process.poll() is None:
            seconds |= cpu_seconds(mark.encode())
            time.sleep(POLL_SECONDS)
        wall = time.perf_counter() - start
        if process.returncode:
            sys.exit(
                f"error: the sweep with --wandb {mode} failed; run it alone to see why: {' '.join(command)}"
            )
        mirror = sum(taken for taken, of_mirror in seconds.values() if of_mirror)
        return Taken(wall, sum(taken for taken, _ in seconds.values()), mirror)


def cpu_seconds(mark: bytes) -> dict[int, tuple[float, bool]]:
    """Processes with ``mark``: id -> (CPU seconds so far, whether it belongs to the mirror)."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if mark not in (process / "environ").read_bytes():
                continue
            fields = (process / "stat").read_text().rpartition(")")[2].split()
            command = (process / "cmdline").read_bytes()
        except OSError:
            continue  # the process has just ended
        ticks = int(fields[11]) + int(fields[12])
        of_mirror = b"wandb_push" in command or b"wandb-core" in command
        found[int(process.name)] = (ticks / os.sysconf("SC_CLK_TCK"), of_mirror)
    return found


@contextmanager
def running_server(wanted: bool) -> Iterator[str]:
    """Start the tests' server if it is wanted, and yield its address."""
    if not wanted:
        yield CLOSED
        return
    sys.path.insert(0, str(ROOT))
    from tests.wandb_server.server import Server

    server = Server()
    server.start()
    try:
        yield server.url
    finally:
        server.stop()


if __name__ == "__main__":
    sys.exit(exit_status(lambda: parsed(lambda: tyro.cli(bound(main)))()))
