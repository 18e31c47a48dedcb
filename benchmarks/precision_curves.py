"""Compare complete runs in float32 and in bfloat16 from the same seeds.

    python benchmarks/precision_curves.py [--dataset ptb --max-epochs 3] [--seeds 3] [--processes 2]

Both train the same system on the same batches, dropout masks and noise, and both are evaluated in float32.
The runs are kept in run folders under --out, so the same command resumes after an interruption.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import tyro
from rich.console import Console
from rich.table import Table
from scipy import stats

from lvae_core.arguments import parsed
from lvae_core.command import exit_status, print_error
from lvae_core.config import RunConfig
from lvae_core.data.corpus import load_for
from lvae_core.errors import InputError
from lvae_core.identity import fingerprint
from lvae_core.run_folder.names import run_name
from lvae_core.run_folder.study import Study
from lvae_core.settings import apply_settings
from lvae_core.systems import recipe
from lvae_core.training.runtime import Runtime
from lvae_core.training.trainer import execute

PRECISIONS = ("float32", "bfloat16")
SHOWN_SEEDS = 5
"""Largest number of seeds that the table shows singly; with more, it shows only their mean."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """The command line."""

    dataset: str = "pydocs"
    """Dataset to train on."""
    system: str = "lstm-vae"
    """System, with L = 1."""
    seeds: int = 3
    """Seeds 0, 1, …, at least 2."""
    max_epochs: int = 30
    """Largest number of epochs."""
    set: tuple[str, ...] = ()
    """Further fields of the config, as FIELD=VALUE."""
    processes: int = 1
    """Number of concurrent runs, of one thread each."""
    data_dir: str | None = None
    """Folder with ptb and yahoo."""
    out: str = "runs/precision"
    """Folder of the runs."""


def main(options: Options) -> int:
    """Train the runs that are not finished and print one table; return the exit status."""
    if options.seeds < 2:
        print_error(f"--seeds {options.seeds}: must be at least 2 for an interval")
        return 2
    try:
        configs = [[config(options, p, seed) for seed in range(options.seeds)] for p in PRECISIONS]
        with ProcessPoolExecutor(options.processes) as pool:
            jobs = [[pool.submit(train, c, options.out, options.data_dir) for c in row] for row in configs]
            done = [[job.result() for job in row] for row in jobs]
    except InputError as error:
        print_error(error)
        return 2
    Console(width=110).print(table(options, done))
    return 0


def config(options: Options, precision: str, seed: int) -> RunConfig:
    """Make the config of one run."""
    base = recipe(options.system, dataset=options.dataset, num_samples=1, seed=seed)
    base = replace(base, max_epochs=options.max_epochs, iw_samples=50, iw_exact_samples=0)
    return apply_settings(base, [f"precision={precision}", *options.set])


def train(config: RunConfig, out: str, data_dir: str | None) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Train a run unless it is finished; return its result and its rows of metrics."""
    corpus = load_for(config, data_dir)
    folder = Study(out).run(run_name(config, fingerprint(config, corpus.data_sha256)))
    for progress in execute(config, corpus, folder, Runtime()):
        if progress.metrics:
            row = progress.metrics
            line = f"epoch {row['epoch']} of at most {config.max_epochs}, valid PPL {row['valid_ppl']:.2f}"
            print(f"{config.precision} seed {config.seed}: {line}", file=sys.stderr, flush=True)
    return folder.read_json("result.json") or {}, folder.read_metrics()


def table(options: Options, done: Sequence[Sequence[tuple[dict[str, Any], list[dict[str, Any]]]]]) -> Table:
    """Make the table: values of each seed, and the paired difference with its 95% t interval."""
    shown = Table(title=f"{options.system} on {options.dataset}, at most {options.max_epochs} epochs")
    seeds = range(options.seeds if options.seeds <= SHOWN_SEEDS else 0)
    for head in ("", *(f"seed {k}" for k in seeds), "mean", "std over seeds"):
        shown.add_column(head, justify="right" if head else "left")
    for name in ("nll_elbo", "nll_iw", "kl", "best valid PPL", "epochs", "training minutes"):
        both = np.array([[value_of(name, *run) for run in row] for row in done])
        for precision, values in zip(PRECISIONS, both, strict=True):
            each = [f"{values[k]:.3f}" for k in seeds]
            shown.add_row(f"{name} {precision}", *each, f"{values.mean():.3f}", f"{values.std(ddof=1):.3f}")
        difference = both[1] - both[0]
        half = stats.t.ppf(0.975, options.seeds - 1) * stats.sem(difference)
        row = [f"{difference[k]:+.3f}" for k in seeds]
        shown.add_row("  difference", *row, f"{difference.mean():+.3f} ± {half:.3f}", "", end_section=True)
    return shown


def value_of(name: str, result: dict[str, Any], metrics: list[dict[str, Any]]) -> float:
    """One value of a run by its name in the table."""
    if name == "best valid PPL":
        return min(float(row["valid_ppl"]) for row in metrics)
    if name == "epochs":
        return float(result["epochs"])
    if name == "training minutes":
        return float(result["train_seconds"]) / 60
    return float(result["estimates"][name]["value"])


if __name__ == "__main__":
    sys.exit(exit_status(lambda: main(parsed(lambda: tyro.cli(Options, description=__doc__)))))
