"""Compare cheaper evaluations of a trained run with float32 and all S draws scored in full.

    python benchmarks/two_phase_error.py runs/STUDY/RUN [--sentences 200] [--exact 12 24 48]

All evaluations use the same noise, so only the scoring differs: two-phase sampling with different numbers
of draws per sentence scored in full and rough scores in float32 or bfloat16, and everything in bfloat16.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np
import torch
import tyro
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table
from torch import Tensor

from lvae_core.arguments import parsed
from lvae_core.command import exit_status, print_error
from lvae_core.config import RunConfig
from lvae_core.data.corpus import Split, load_for
from lvae_core.errors import InputError
from lvae_core.evaluation.likelihood import COLUMNS, sentence_statistics
from lvae_core.run_folder.folder import RunFolder
from lvae_core.storage.store import open_store
from lvae_core.training.arithmetic import set_arithmetic
from lvae_core.training.runtime import Runtime
from lvae_core.training.trained import load

WARM = 16
"""Sentences of the warm-up pass."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """The command line."""

    run: tyro.conf.Positional[str]
    """Folder of a trained run with a latent variable."""
    sentences: int = 200
    """Number of random sentences of the test split."""
    exact: Annotated[tuple[int, ...], tyro.conf.arg(metavar="N…")] = (12, 24, 48)
    """Numbers of draws per sentence to score in full."""
    samples: int = 500
    """S, draws per sentence."""
    data_dir: str | None = None
    """Folder with ptb and yahoo."""


def main(options: Options) -> int:
    """Evaluate with every method and print one table; return the exit status."""
    if options.sentences < 2:
        print_error(f"--sentences {options.sentences}: must be at least 2")
        return 2
    try:
        parent, _, name = options.run.rstrip("/").rpartition("/")
        trained = load(RunFolder(open_store(parent or "."), name))
        if trained.model.encoder is None:
            raise InputError(f"{options.run}: has no latent variable; give the folder of another run")
        config = replace(trained.config, iw_samples=options.samples, eval_precision="float32")
        split = random_sentences(load_for(config, options.data_dir).test, options.sentences)
        variants = list(methods(config, options.exact))
    except InputError as error:
        print_error(error)
        return 2
    set_arithmetic(config, Runtime())

    with progress() as shown:

        def evaluate(config: RunConfig, split: Split, name: str) -> Tensor:
            rows = sentence_statistics(
                trained.model,
                split,
                config,
                split_name="test",
                samples=options.samples,
                rough="bfloat16" if config.precision == "bfloat16" else "float32",
            )
            batches = math.ceil(len(split) / config.eval_batch_size)
            return torch.cat(list(shown.track(rows, batches, description=name)))

        # A warm-up pass over a few sentences prepares most kernels.
        evaluate(variants[0][1], random_sentences(split, WARM), "warming up")
        found = []
        for name, method in variants:
            start = time.perf_counter()
            rows = evaluate(method, split, name)
            found.append((name, rows, time.perf_counter() - start))
    Console(width=120).print(table(found, options.samples))
    return 0


def progress() -> Progress:
    """Make the progress display on standard error: the current method and the remaining time."""
    columns = TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn()
    return Progress(*columns, console=Console(stderr=True))


def random_sentences(split: Split, count: int) -> Split:
    """Select ``count`` random sentences of a split, always the same ones; all if there are fewer."""
    chosen = np.random.default_rng(0).permutation(len(split))[:count]
    sentences = [split.sentence(int(i)) for i in chosen]
    return Split(np.concatenate(sentences), np.cumsum([0, *map(len, sentences)]))


def methods(config: RunConfig, exact: tuple[int, ...]) -> Iterator[tuple[str, RunConfig]]:
    """Yield name and config of each method of scoring, the reference first."""
    yield "float32, all in full", replace(config, precision="float32", iw_exact_samples=0)
    yield "bfloat16, all in full", replace(config, eval_precision="bfloat16", iw_exact_samples=0)
    for precision in ("float32", "bfloat16"):
        for n in exact:
            changed = replace(config, precision=precision, iw_exact_samples=n)
            yield f"{n} in full, rough in {precision}", changed


def table(found: list[tuple[str, Tensor, float]], samples: int) -> Table:
    """Make the table: per method and estimate, the mean difference from the reference and its error.

    Args:
        found: for each method its name, the statistics of all sentences (N, len(COLUMNS)) and the seconds.
        samples: S, for the title.
    """
    (_, first, first_seconds), N = found[0], len(found[0][1])
    shown = Table(title=f"{N} test sentences, S = {samples}, nats per sentence")
    for head in ("scored", "speed-up", "estimate", "value", "MC stderr", "difference", "rms per sentence"):
        shown.add_column(head, justify="left" if head in ("scored", "estimate") else "right")
    for name, rows, seconds in found:
        for estimate in ("nll_elbo", "nll_iw"):
            column = COLUMNS.index(estimate)
            error = rows[:, column] - first[:, column]
            spread = float(error.std()) / math.sqrt(N)
            shown.add_row(
                name if estimate == "nll_elbo" else "",
                f"{first_seconds / seconds:.2f}" if estimate == "nll_elbo" else "",
                estimate,
                f"{float(rows[:, column].mean()):.4f}",
                f"{math.sqrt(float(rows[:, column + 1].sum())) / N:.4f}",
                f"{float(error.mean()):+.5f} ± {spread:.5f}",
                f"{float(error.square().mean().sqrt()):.5f}",
            )
        shown.add_section()
    return shown


if __name__ == "__main__":
    sys.exit(exit_status(lambda: main(parsed(lambda: tyro.cli(Options, description=__doc__)))))
