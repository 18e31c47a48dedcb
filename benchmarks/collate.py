"""What it costs to read a large study, beside Ray Tune's own reader of the same runs.

    python benchmarks/collate.py [--runs 10000] [--trials 1000]

Nothing is trained: run folders, and Tune's experiment folder, are real files with invented numbers, written
by both sides' own code. They have just been written, so the system holds them in memory: the time is
that of reading and parsing, not of a disk. Every line is measured in a process of its own. Linux only.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import tyro
from collation.measure import Cost, alone, collate, collate_with_curves, summarize, tune
from rich.console import Console
from rich.table import Table

SETTLE_SECONDS = 2.5
"""What is younger than two seconds is not cached: it could still change unseen."""


def main(
    runs: Annotated[int, tyro.conf.arg(help="Run folders of one study.")] = 10_000,
    trials: Annotated[
        int,
        tyro.conf.arg(help="Trials of Tune's experiment; its times are scaled to --runs. 0: leave it out."),
    ] = 1_000,
    folder: Annotated[
        Path | None, tyro.conf.arg(help="Where all is written, 20 kB a run, and then removed.")
    ] = None,
) -> None:
    """Measure and print one table."""
    with tempfile.TemporaryDirectory(dir=folder) as place:
        costs = measure(Path(place), runs, trials)
    Console().print(table(costs, runs))


def measure(place: Path, runs: int, trials: int) -> dict[str, Cost]:
    """Line of the table -> its cost."""
    from collation.synthetic import write_runs

    write_runs(place / "study", runs)
    time.sleep(SETTLE_SECONDS)
    costs: dict[str, Cost] = {
        "ours, the first time": alone(collate, place),
        "ours, again": alone(collate, place),
        **{f"ours, a whole summary: {stage}": cost for stage, cost in alone(summarize, place).items()},
        "ours, the first time, with learning curves": alone(collate_with_curves, place),
    }
    if trials:
        from collation.tune import write_trials

        write_trials(place, trials)
        costs["Ray Tune's ResultGrid (with learning curves)"] = alone(tune, place)
    return costs


def table(costs: Mapping[str, Cost], runs: int) -> Table:
    """The costs beside that of the last line, all for so many runs."""
    last = list(costs.values())[-1]
    scaled = f"; {last.runs:,} read by Tune, its time scaled" if last.runs != runs else ""
    drawn = Table("", "seconds", "ms a run", "peak MiB", "ratio", title=f"{runs:,} runs{scaled}")
    for name, cost in costs.items():
        per_run = cost.seconds / cost.runs
        drawn.add_row(
            name,
            f"{per_run * runs:.2f}",
            f"{1000 * per_run:.3f}",
            f"{cost.peak_mib:,.0f}" + ("" if cost.runs == runs else f" for {cost.runs:,}"),
            f"{per_run / (last.seconds / last.runs):.4f}",
        )
    return drawn


if __name__ == "__main__":
    tyro.cli(main)
