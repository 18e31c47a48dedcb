"""Measure the overhead of Ray: per run, per launch, and between two runs.

    python benchmarks/sweep_overhead.py [--runs 100 300 1000] [--nodes 2] [--minutes 1] [--json FILE]

The measurements use a cluster of several nodes on this machine, each a raylet with one CPU:

- Growth: grids of one-step runs on ``toy`` through ``sweeps/paper_grid.py``. By number of runs: wall time,
  peak memory and CPU time of the driver, the longest time without output (a line is due every ten
  seconds), and the time from the last run to the end.
- Ratio: seconds per run, compared with the smallest of these grids in a plain loop in one process.
- Utilisation: runs of about a minute. Of the time from the start of a node's first run to the end of its
  last, the share spent on steps and evaluation, as recorded by the runs.

Each grid has its own study, which is removed afterwards.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import tyro
from rich.console import Console
from rich.table import Table

from lvae_core.arguments import bound, parsed
from lvae_core.command import exit_status
from lvae_core.data.corpus import load
from lvae_core.run_folder.study import Study
from lvae_core.training.runtime import Runtime
from lvae_core.training.trainer import execute
from sweeps.planning.grid import Grid
from sweeps.planning.run_lookup import make_plan

ONE_STEP = ("max_steps=1", "embedding_size=4", "hidden_size=4", "iw_samples=2", "mi_samples=2")
SCRIPT = Path(__file__).parents[1] / "sweeps" / "paper_grid.py"
OBJECT_STORE = 80 * 2**20

_arg = tyro.conf.arg


class Launch(NamedTuple):
    """The cost of one grid."""

    seconds: float
    """Wall seconds from the start of the command to its end."""
    driver_bytes: int
    """Peak memory of the driver process, as of its last line of output."""
    silence: float
    """Longest time between two lines of output, in seconds."""
    driver_seconds: float
    """CPU time of the driver process."""
    end_seconds: float
    """Wall seconds from the last run's result to the end of the command."""


_GROWING = ("seconds", "driver_bytes", "driver_seconds")


def main(
    runs: Annotated[tuple[int, ...], _arg(metavar="N")] = (100, 300, 1000),
    nodes: int = 2,
    minutes: float = 1.0,
    json_: Annotated[Path | None, _arg(name="json", metavar="FILE")] = None,
) -> None:
    """Measure and print two tables: of costs by number of runs, and of the utilisation of nodes.

    Args:
        runs: sizes of the grids of one-step runs; 10,000 takes most of an hour on two cores.
        nodes: number of nodes, each with one CPU.
        minutes: approximate duration of each of the longer runs, two per node; 0: none.
        json_: also write the figures to this file.
    """
    out = Console(width=120, highlight=False)
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="lvae-o-", dir="/tmp") as folder:
        with cluster(nodes, Path(folder)) as environment:
            launches = {}
            for number in sorted(runs):
                launches[number] = run_through_ray(one_step(number), f"{folder}/{number}", environment)
                out.print(f"{number} runs: {launches[number].seconds:.0f} s", style="dim")
            busy = busy_share(nodes, minutes, folder, environment) if minutes else None
        looped = run_in_loop(min(runs), folder)
    out.print(growth_table(launches, looped))
    figures["launches"] = {number: launch._asdict() for number, launch in launches.items()}
    figures["loop_seconds"] = looped
    if busy is not None:
        figures["busy"] = busy
        out.print(busy_table(busy))
    if json_ is not None:
        json_.write_text(json.dumps(figures, indent=1) + "\n")


@contextlib.contextmanager
def cluster(nodes: int, folder: Path) -> Iterator[Mapping[str, str]]:
    """Start a head without CPUs and ``nodes`` nodes; yield the environment for processes that use them."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32), "RAY_TMPDIR": str(folder)}
    os.environ.update(token)
    from ray.cluster_utils import Cluster  # reads the variables when it is imported

    store = {"object_store_memory": OBJECT_STORE}
    head = {"num_cpus": 0, "include_dashboard": False, **store}
    many = Cluster(initialize_head=True, head_node_args=head)
    try:
        for _ in range(nodes):
            many.add_node(num_cpus=1, **store)
        yield {**kept, **token, "LVAE_ADDRESS": many.address}
    finally:
        many.shutdown()


def one_step(runs: int) -> Sequence[str]:
    """Options of a grid of ``runs`` one-step runs."""
    return [
        *("--datasets", "toy", "--systems", "lstm-vae", "--num-samples", "1", "--settings", "standard"),
        *("--seeds", str(runs), "--set", *ONE_STEP),
    ]


def run_through_ray(options: Sequence[str], study: str, environment: Mapping[str, str]) -> Launch:
    """Run the command in a process and measure its cost."""
    place, _, name = study.rpartition("/")
    address = environment["LVAE_ADDRESS"]
    command = [sys.executable, str(SCRIPT), *options, "--storage", place, "--study", name]
    start, silence, last, peak = time.perf_counter(), 0.0, 0.0, 0
    with subprocess.Popen(
        [*command, "--address", address],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=dict(environment),
    ) as process:
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line)
            now = time.perf_counter()
            silence, last = max(silence, now - last if last else 0.0), now
            peak = max(peak, peak_bytes(process.pid))
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        ended = time.time()
    if process.returncode:
        raise SystemExit(
            f"error: {' '.join(command)}: exit status {process.returncode}\n{''.join(lines[-9:])}"
        )
    return Launch(
        seconds=time.perf_counter() - start,
        driver_bytes=peak,
        silence=silence,
        driver_seconds=usage.ru_utime + usage.ru_stime,
        end_seconds=ended - max(path.stat().st_mtime for path in Path(study).glob("*/result.json")),
    )


def peak_bytes(pid: int) -> int:
    """Peak memory of a command or of its child that works; wait4's would include ours at the fork."""
    peak = 0
    with contextlib.suppress(OSError):
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        for one in (pid, *children):
            found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{one}/status").read_text())
            peak = max(peak, int(found[1]) * 1024 if found else 0)
    return peak


def run_in_loop(runs: int, folder: str) -> float:
    """Wall seconds of the same runs in sequence in this process, which has already imported torch."""
    grid = Grid(
        datasets=("toy",), systems={"lstm-vae": (1,)}, settings=("standard",), seeds=runs, changes=ONE_STEP
    )
    start = time.perf_counter()
    corpus, study = load("toy"), Study(f"{folder}/looped")
    for run in make_plan(grid.configs(), {"toy": corpus.data_sha256}, study, evaluate=True).runs:
        for _ in execute(run.config, corpus, study.run(run.name), Runtime()):
            pass
    return time.perf_counter() - start


def busy_share(nodes: int, minutes: float, folder: str, environment: Mapping[str, str]) -> dict[str, float]:
    """Run trainings of ``minutes`` minutes on ``pydocs``, two per node, and measure the utilisation."""

    def options(steps: int, runs: int) -> list[str]:
        return [
            *("--datasets", "pydocs", "--systems", "lstm-vae", "--num-samples", "1"),
            *("--settings", "standard", "--seeds", str(runs)),
            *("--set", f"max_steps={steps}", "max_epochs=100000", "patience=100000", "iw_samples=20"),
        ]

    steps = 200
    run_through_ray(options(steps, nodes), f"{folder}/pace", environment)
    pace = max(run["train_seconds"] for run, _, _ in _runs(Path(folder, "pace"))) / steps
    launch = run_through_ray(options(round(60 * minutes / pace), 2 * nodes), f"{folder}/busy", environment)
    runs = sorted(_runs(Path(folder, "busy")), key=lambda run: run[1])
    slots: list[tuple[float, float]] = []  # (start of the first run, end of the last) of each node
    for _, begin, end in runs:
        free = [slot for slot in slots if slot[1] <= begin]
        if free:
            slots.remove(slot := max(free, key=lambda slot: slot[1]))
        slots.append((slot[0] if free else begin, end))
    busy_seconds = sum(result["train_seconds"] + result["evaluate_seconds"] for result, _, _ in runs)
    return {
        "runs": len(runs),
        "seconds_a_run": busy_seconds / len(runs),
        "share_between_first_and_last": busy_seconds / sum(end - begin for begin, end in slots),
        "share_of_the_launch": busy_seconds / (nodes * launch.seconds),
    }


def _runs(study: Path) -> list[tuple[dict[str, Any], float, float]]:
    """Result, start and end of each run."""
    return [
        (json.loads(path.read_text()), (path.parent / "config.json").stat().st_mtime, path.stat().st_mtime)
        for path in study.glob("*/result.json")
    ]


def growth_table(launches: Mapping[int, Launch], looped: float) -> Table:
    """Make the table of costs by number of runs."""
    table = Table(title="one-step runs on toy")
    table.add_column("runs", no_wrap=True)
    for heading in (
        "wall s",
        "s per run",
        "to a plain loop",
        "driver MiB",
        "driver CPU ms per run",
        "longest silence s",
        "end s",
    ):
        table.add_column(heading, justify="right")
    smallest = min(launches)
    plain = looped / smallest
    table.add_row(f"{smallest} in a plain loop", f"{looped:.1f}", f"{plain:.3f}", "1")
    for number, launch in launches.items():
        table.add_row(
            str(number),
            f"{launch.seconds:.1f}",
            f"{launch.seconds / number:.3f}",
            f"{launch.seconds / number / plain:.2f}",
            f"{launch.driver_bytes / 2**20:.0f}",
            f"{1000 * launch.driver_seconds / number:.1f}",
            f"{launch.silence:.1f}",
            f"{launch.end_seconds:.1f}",
        )
    for few, many in pairwise(sorted(launches)):
        more = [getattr(launches[many], name) - getattr(launches[few], name) for name in _GROWING]
        seconds, size, driver_seconds = (amount / (many - few) for amount in more)
        table.add_row(
            f"each between {few} and {many}",
            "",
            f"{seconds:.3f}",
            f"{seconds / plain:.2f}",
            f"{size / 2**20:.3f}",
            f"{1000 * driver_seconds:.1f}",
        )
    return table


def busy_table(busy: Mapping[str, float]) -> Table:
    """Make the table of the utilisation of nodes."""
    table = Table("runs", "seconds per run", "busy, first to last run", "busy, whole launch")
    shares = (busy["share_between_first_and_last"], busy["share_of_the_launch"])
    table.add_row(f"{busy['runs']:.0f}", f"{busy['seconds_a_run']:.0f}", *(f"{s:.1%}" for s in shares))
    return table


if __name__ == "__main__":
    sys.exit(exit_status(lambda: parsed(lambda: tyro.cli(bound(main), description=__doc__))()))
