"""Measure how long planning takes if every run of a study is finished, by the size of the study.

    python benchmarks/plan_time.py [--runs 1000 10000] [--storage DIR]

The script writes finished run folders without training and plans their grid. The baseline reads the same
three files of every run and parses two, without verifying digests and fingerprints.
"""

from __future__ import annotations

import hashlib
import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro
from rich.console import Console
from rich.progress import track
from rich.table import Table
from speed.present import machine

from lvae_core.arguments import parsed
from lvae_core.command import exit_status, print_error
from lvae_core.config import RunConfig
from lvae_core.identity import fingerprint
from lvae_core.run_folder.folder import metrics_sha256
from lvae_core.run_folder.names import run_name
from lvae_core.run_folder.study import Study
from sweeps.planning.grid import Grid
from sweeps.planning.run_lookup import make_plan

DATA = hashlib.sha256(b"no data").hexdigest()
ROWS = [
    {"epoch": k, "valid_ppl": 100.0 / k, "train_loss": 90.0 / k, "step": 1315 * k} for k in range(1, 31)
]


@dataclass(frozen=True, kw_only=True)
class Options:
    """The command line."""

    runs: tuple[int, ...] = (1000, 10_000)
    """Sizes of the study, in runs."""
    storage: str | None = None
    """Local folder for the study; by default a temporary one."""


def main(options: Options) -> int:
    """Measure and print one table; return the exit status."""
    if min(options.runs, default=0) < 1:
        print_error("--runs: give at least one number, each at least 1")
        return 2
    shown = Table(title="planning a study whose runs are all finished")
    for head in ("runs", "plan, wall", "plan, CPU", "per run", "reading only", "ratio"):
        shown.add_column(head, justify="right")
    with tempfile.TemporaryDirectory(dir=options.storage) as place:
        for runs in options.runs:
            shown.add_row(*measure_study(runs, Path(place) / str(runs)))
    Console(width=100).print(shown)
    print(machine("", ""))
    return 0


def measure_study(runs: int, place: Path) -> list[str]:
    """Measure a study of ``runs`` runs: a row of the table."""
    grid = Grid(datasets=("toy",), systems={"lstm-vae": (1,)}, settings=("standard",), seeds=runs)
    configs, study = grid.configs(), Study(str(place))
    for config in track(configs, description=f"writing {runs} runs", transient=True):
        write_finished_run(config, study)
    reading, _ = time_call(lambda: read_all(place))

    def plan() -> None:
        assert len(make_plan(configs, {"toy": DATA}, study, evaluate=True).with_status("done")) == runs

    wall, processor = time_call(plan)
    figures = [f"{seconds:.2f} s" for seconds in (wall, processor)]
    return [
        f"{runs:,}",
        *figures,
        f"{wall / runs * 1e3:.2f} ms",
        f"{reading:.2f} s",
        f"{wall / reading:.2f}",
    ]


def write_finished_run(config: RunConfig, study: Study) -> None:
    """Write the folder of a finished run."""
    key = fingerprint(config, DATA)
    folder = study.run(run_name(config, key))
    names = ("nll_elbo", "ppl_elbo", "nll_iw", "ppl_iw", "kl", "mi")
    folder.write_config(config, key)
    folder.write_metrics(ROWS)
    folder.write_json(
        "result.json",
        {
            "fingerprint": key,
            "config": config.to_dict(),
            "data_sha256": DATA,
            "metrics_sha256": metrics_sha256(ROWS),
            "estimates": {name: {"value": 100.0, "stderr": 0.1} for name in names},
            "train_seconds": 1.0,
            "evaluate_seconds": 1.0,
        },
    )


def read_all(place: Path) -> None:
    """Read the files of every run and parse the two that planning parses: the baseline."""
    for folder in place.iterdir():
        for file in ("config.json", "result.json"):
            json.loads((folder / file).read_bytes())
        (folder / "metrics.jsonl").read_bytes()


def time_call(work: Callable[[], None]) -> tuple[float, float]:
    """Wall and CPU seconds of the faster of two calls; the first one fills caches."""
    passes: list[Sequence[float]] = []
    for _ in range(2):
        wall, processor = time.perf_counter(), time.process_time()
        work()
        passes.append((time.perf_counter() - wall, time.process_time() - processor))
    best = min(passes)
    return best[0], best[1]


if __name__ == "__main__":
    sys.exit(exit_status(lambda: main(parsed(lambda: tyro.cli(Options, description=__doc__)))))
