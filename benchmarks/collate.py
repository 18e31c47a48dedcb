"""Measure the cost of reading a large study, compared with Ray Tune's own reader of the same runs.

    python benchmarks/collate.py [--runs 10000] [--trials 1000]

Nothing is trained: the run folders and Tune's experiment folder are real files with invented numbers,
written by the code of either side. They have just been written, so they are in the page cache, and the time
is that of reading and parsing, not of a disk. Each line is measured in a fresh process. Linux only.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import tyro
from collation.measure import Cost, collate, collate_with_curves, in_fresh_process, summarize, tune
from rich.console import Console
from rich.table import Table

from lvae_core.arguments import bound, parsed
from lvae_core.command import exit_status

SETTLE_SECONDS = 2.5
"""Files younger than two seconds are not cached: they could still change within one time stamp."""


def main(
    runs: Annotated[int, tyro.conf.arg(help="Number of run folders in the study.")] = 10_000,
    trials: Annotated[
        int,
        tyro.conf.arg(help="Number of Tune trials; their times are scaled to --runs. 0: no trials."),
    ] = 1_000,
    folder: Annotated[
        Path | None, tyro.conf.arg(help="Folder for the files, 20 kB per run; they are removed afterwards.")
    ] = None,
) -> None:
    """Measure and print one table."""
    with tempfile.TemporaryDirectory(dir=folder) as place:
        costs = measure(Path(place), runs, trials)
    Console().print(table(costs, runs))


def measure(place: Path, runs: int, trials: int) -> dict[str, Cost]:
    """Measure every line of the table: its name -> its cost."""
    from collation.synthetic import write_runs

    write_runs(place / "study", runs)
    time.sleep(SETTLE_SECONDS)
    costs: dict[str, Cost] = {
        "ours, the first time": in_fresh_process(collate, place),
        "ours, again": in_fresh_process(collate, place),
        **{
            f"ours, a whole summary: {stage}": cost
            for stage, cost in in_fresh_process(summarize, place).items()
        },
        "ours, the first time, with learning curves": in_fresh_process(collate_with_curves, place),
    }
    if trials:
        from collation.tune import write_trials

        write_trials(place, trials)
        costs["Ray Tune's ResultGrid (with learning curves)"] = in_fresh_process(tune, place)
    return costs


def table(costs: Mapping[str, Cost], runs: int) -> Table:
    """Make the table: costs scaled to ``runs`` runs, and their ratio to the last line."""
    last = list(costs.values())[-1]
    scaled = f"; {last.runs:,} read by Tune, its time scaled" if last.runs != runs else ""
    shown = Table("", "seconds", "ms per run", "peak MiB", "ratio", title=f"{runs:,} runs{scaled}")
    for name, cost in costs.items():
        per_run = cost.seconds / cost.runs
        shown.add_row(
            name,
            f"{per_run * runs:.2f}",
            f"{1000 * per_run:.3f}",
            f"{cost.peak_mib:,.0f}" + ("" if cost.runs == runs else f" for {cost.runs:,}"),
            f"{per_run / (last.seconds / last.runs):.4f}",
        )
    return shown


if __name__ == "__main__":
    sys.exit(exit_status(lambda: parsed(lambda: tyro.cli(bound(main)))()))
