"""What Ray costs: a run, a launch of many, and the time between two runs.

    python benchmarks/sweep_overhead.py [--runs 100 300 1000] [--nodes 2] [--minutes 1] [--json FILE]

On a cluster of several nodes on this machine, each a raylet of its own with one CPU:

- Growth: grids of one-step runs on ``toy`` through ``sweeps/paper_grid.py``; wall time, peak memory of the
  driver and the longest silence of its progress (a line is due every ten seconds), by number of runs.
- Ratio: the smallest of these grids in a plain loop in one process.
- Busy: runs of about a minute; the share of the time from a node's first run to its last that goes into
  steps and evaluation, as the runs' own clocks tell.

Each grid has a study of its own that is removed afterwards.
"""

from __future__ import annotations

import contextlib
import json
import os
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

from lvae_core.data.corpus import load
from lvae_core.run_folder.folder import Study
from lvae_core.training.runtime import Runtime
from lvae_core.training.trainer import execute
from sweeps.planning.grid import Grid
from sweeps.planning.plan import make_plan

ONE_STEP = ("max_steps=1", "embedding_size=4", "hidden_size=4", "iw_samples=2", "mi_samples=2")
SCRIPT = Path(__file__).parents[1] / "sweeps" / "paper_grid.py"
OBJECT_STORE = 80 * 2**20

_arg = tyro.conf.arg


class Launch(NamedTuple):
    """What one grid took."""

    seconds: float
    """From the start of the command to its end."""
    driver_bytes: int
    """Peak memory of its process."""
    silence: float
    """Longest time without a line, in seconds, once the first has come."""


def main(
    runs: Annotated[tuple[int, ...], _arg(metavar="N")] = (100, 300, 1000),
    nodes: int = 2,
    minutes: float = 1.0,
    json_: Annotated[Path | None, _arg(name="json", metavar="FILE")] = None,
) -> None:
    """Measure and print three tables.

    Args:
        runs: sizes of the grids of one-step runs; 10,000 takes most of an hour on two cores.
        nodes: of the cluster, one CPU each.
        minutes: about so long is each of the longer runs, two a node; 0: leave them out.
        json_: write the figures to this file, too.
    """
    out = Console(width=120, highlight=False)
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="lvae-o-", dir="/tmp") as folder:
        with cluster(nodes, Path(folder)) as environment:
            launches = {}
            for number in sorted(runs):
                launches[number] = through_ray(one_step(number), f"{folder}/{number}", environment)
                out.print(f"{number} runs: {launches[number].seconds:.0f} s", style="dim")
            busy = busy_share(nodes, minutes, folder, environment) if minutes else None
        looped = in_a_loop(min(runs), folder)
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
    """A head without CPUs and so many nodes; gives the environment of a process that may use them."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32), "RAY_TMPDIR": str(folder)}
    os.environ.update(token)
    from ray.cluster_utils import Cluster  # reads them when it is imported

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
    """Options of a grid of so many one-step runs."""
    return [
        *("--datasets", "toy", "--systems", "lstm-vae", "--num-samples", "1", "--settings", "standard"),
        *("--seeds", str(runs), "--set", *ONE_STEP),
    ]


def through_ray(options: Sequence[str], study: str, environment: Mapping[str, str]) -> Launch:
    """The command in a process of its own."""
    place, _, name = study.rpartition("/")
    address = environment["LVAE_ADDRESS"]
    command = [sys.executable, str(SCRIPT), *options, "--storage", place, "--study", name]
    since, silence, last = time.perf_counter(), 0.0, 0.0
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
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(
            f"error: {' '.join(command)}: exit status {process.returncode}\n{''.join(lines[-9:])}"
        )
    return Launch(time.perf_counter() - since, usage.ru_maxrss * 1024, silence)


def in_a_loop(runs: int, folder: str) -> float:
    """Wall seconds of the same runs one after the other in this process, which has imported torch."""
    grid = Grid(
        datasets=("toy",), systems={"lstm-vae": (1,)}, settings=("standard",), seeds=runs, changes=ONE_STEP
    )
    since = time.perf_counter()
    corpus, study = load("toy"), Study(f"{folder}/looped")
    for run in make_plan(grid.configs(), {"toy": corpus.data_sha256}, study).runs:
        for _ in execute(run.config, corpus, study.run(run.name), Runtime()):
            pass
    return time.perf_counter() - since


def busy_share(nodes: int, minutes: float, folder: str, environment: Mapping[str, str]) -> dict[str, float]:
    """Runs of so many minutes on ``pydocs``, two a node, and what nodes did between first and last."""

    def options(steps: int, runs: int) -> list[str]:
        return [
            *("--datasets", "pydocs", "--systems", "lstm-vae", "--num-samples", "1"),
            *("--settings", "standard", "--seeds", str(runs)),
            *("--set", f"max_steps={steps}", "max_epochs=100000", "patience=100000", "iw_samples=20"),
        ]

    steps = 200
    through_ray(options(steps, nodes), f"{folder}/pace", environment)
    pace = max(run["train_seconds"] for run, _, _ in _runs(Path(folder, "pace"))) / steps
    launch = through_ray(options(round(60 * minutes / pace), 2 * nodes), f"{folder}/busy", environment)
    runs = sorted(_runs(Path(folder, "busy")), key=lambda run: run[1])
    slots: list[tuple[float, float]] = []  # begin of the first run and end of the last
    for _, begin, end in runs:
        free = [slot for slot in slots if slot[1] <= begin]
        if free:
            slots.remove(slot := max(free, key=lambda slot: slot[1]))
        slots.append((slot[0] if free else begin, end))
    at_work = sum(result["train_seconds"] + result["evaluate_seconds"] for result, _, _ in runs)
    return {
        "runs": len(runs),
        "seconds_a_run": at_work / len(runs),
        "share_between_first_and_last": at_work / sum(end - begin for begin, end in slots),
        "share_of_the_launch": at_work / (nodes * launch.seconds),
    }


def _runs(study: Path) -> list[tuple[dict[str, Any], float, float]]:
    """Result, begin and end of each run."""
    return [
        (json.loads(path.read_text()), (path.parent / "config.json").stat().st_mtime, path.stat().st_mtime)
        for path in study.glob("*/result.json")
    ]


def growth_table(launches: Mapping[int, Launch], looped: float) -> Table:
    """By number of runs."""
    table = Table("runs", title="one-step runs on toy")
    for heading in ("wall seconds", "seconds a run", "driver MiB", "longest silence, s"):
        table.add_column(heading, justify="right")
    smallest = min(launches)
    table.add_row(f"{smallest} in a plain loop", f"{looped:.1f}", f"{looped / smallest:.3f}", "", "")
    for number, launch in launches.items():
        size, a_run = f"{launch.driver_bytes / 2**20:.0f}", f"{launch.seconds / number:.3f}"
        table.add_row(str(number), f"{launch.seconds:.1f}", a_run, size, f"{launch.silence:.1f}")
    sizes = sorted(launches)
    for few, many in pairwise(sizes):
        seconds = (launches[many].seconds - launches[few].seconds) / (many - few)
        size = (launches[many].driver_bytes - launches[few].driver_bytes) / (many - few)
        table.add_row(f"each between {few} and {many}", "", f"{seconds:.3f}", f"{size / 2**20:.3f}", "")
    return table


def busy_table(busy: Mapping[str, float]) -> Table:
    """What nodes do between runs."""
    table = Table("runs", "seconds a run", "at work, first run to last", "at work, of the whole launch")
    shares = (busy["share_between_first_and_last"], busy["share_of_the_launch"])
    table.add_row(f"{busy['runs']:.0f}", f"{busy['seconds_a_run']:.0f}", *(f"{s:.1%}" for s in shares))
    return table


if __name__ == "__main__":
    tyro.cli(main, description=__doc__)
