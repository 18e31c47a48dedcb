"""What Ray costs: a grid of one-step runs through ``sweeps/paper_grid.py`` and in a plain loop.

    python benchmarks/sweep_overhead.py --runs 200

Both do the same runs on ``toy``, each into a study of its own that is removed afterwards. The plain loop
is one process; Ray has as many as the machine has cores, and its start and end are included.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import tyro
from rich.console import Console
from rich.table import Table

from lvae_core.corpus import load
from lvae_core.record import Study
from lvae_core.runtime import Runtime
from lvae_core.trainer import execute
from sweeps.grid import Grid
from sweeps.plan import make_plan

CHANGES = ("max_steps=1", "embedding_size=4", "hidden_size=4", "iw_samples=2", "mi_samples=2")
SCRIPT = Path(__file__).parents[1] / "sweeps" / "paper_grid.py"


def main(runs: int = 200) -> None:
    """Measure both ways and print one table.

    Args:
        runs: how many runs the grid has.
    """
    table = Table("", "wall seconds", "seconds a run", "ratio", title=f"{runs} one-step runs on toy")
    with tempfile.TemporaryDirectory() as folder:
        swept = through_ray(runs, folder)
        looped = in_a_loop(runs, folder)
    for name, seconds in (("plain loop", looped), ("sweeps/paper_grid.py", swept)):
        table.add_row(name, f"{seconds:.1f}", f"{seconds / runs:.3f}", f"{seconds / looped:.2f}")
    Console().print(table)


def through_ray(runs: int, folder: str) -> float:
    """Wall seconds of the command, from its start to its end."""
    command = [
        *(sys.executable, str(SCRIPT), "--storage", folder, "--study", "swept"),
        *("--datasets", "toy", "--systems", "lstm-vae", "--num-samples", "1", "--settings", "standard"),
        *("--seeds", str(runs), "--set", *CHANGES),
    ]
    since = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - since


def in_a_loop(runs: int, folder: str) -> float:
    """Wall seconds of the same runs one after the other in this process, which has imported torch."""
    grid = Grid(
        datasets=("toy",), systems={"lstm-vae": (1,)}, settings=("standard",), seeds=runs, changes=CHANGES
    )
    since = time.perf_counter()
    corpus, study = load("toy"), Study(f"{folder}/looped")
    for run in make_plan(grid.configs(), {"toy": corpus.data_sha256}, study).runs:
        for _ in execute(run.config, corpus, study.run(run.name), Runtime()):
            pass
    return time.perf_counter() - since


if __name__ == "__main__":
    tyro.cli(main)
