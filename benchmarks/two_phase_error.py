"""How far cheaper evaluations of a trained run are from float32 with all S draws scored in full.

    python benchmarks/two_phase_error.py runs/STUDY/RUN [--sentences 200] [--exact 12 24 48]

All see the same noise, so that what differs is the way of scoring alone: two-phase sampling with so many
draws a sentence scored in full, its rough scores in float32 or bfloat16, and everything in bfloat16.
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

from lvae_core.config import RunConfig
from lvae_core.data.corpus import Split, load_for
from lvae_core.errors import InputError
from lvae_core.evaluation.likelihood import COLUMNS, sentence_statistics
from lvae_core.run_folder.folder import RunFolder
from lvae_core.storage.store import open_store
from lvae_core.training.runtime import Runtime, set_arithmetic
from lvae_core.training.trained import load

WARM = 16
"""Sentences of a pass that is not timed."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """The command line."""

    run: tyro.conf.Positional[str]
    """Folder of a trained run with a latent variable."""
    sentences: int = 200
    """Sentences of the test split, chosen at random."""
    exact: Annotated[tuple[int, ...], tyro.conf.arg(metavar="N…")] = (12, 24, 48)
    """Draws a sentence that are scored in full, to be tried."""
    samples: int = 500
    """S, draws a sentence."""
    data_dir: str | None = None
    """Folder of ptb and yahoo."""


def main(options: Options) -> int:
    """Evaluate in every way and print one table; returns the exit status."""
    if options.sentences < 2:
        print(f"error: --sentences {options.sentences}: must be at least 2", file=sys.stderr)
        return 2
    try:
        parent, _, name = options.run.rstrip("/").rpartition("/")
        trained = load(RunFolder(open_store(parent or "."), name))
        if trained.model.encoder is None:
            raise InputError(f"{options.run}: has no latent variable to draw")
        config = replace(trained.config, iw_samples=options.samples, eval_precision="float32")
        split = some_of(load_for(config, options.data_dir).test, options.sentences)
        variants = list(ways(config, options.exact))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
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

        # A first pass over a few pays for most kernels.
        evaluate(variants[0][1], some_of(split, WARM), "warming up")
        found = []
        for name, way in variants:
            since = time.perf_counter()
            rows = evaluate(way, split, name)
            found.append((name, rows, time.perf_counter() - since))
    Console(width=120).print(table(found, options.samples))
    return 0


def progress() -> Progress:
    """On stderr: which way is at work and how long it takes yet."""
    columns = TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn()
    return Progress(*columns, console=Console(stderr=True))


def some_of(split: Split, count: int) -> Split:
    """So many random sentences of a split, the same every time; all if there are fewer."""
    chosen = np.random.default_rng(0).permutation(len(split))[:count]
    sentences = [split.sentence(int(i)) for i in chosen]
    return Split(np.concatenate(sentences), np.cumsum([0, *map(len, sentences)]))


def ways(config: RunConfig, exact: tuple[int, ...]) -> Iterator[tuple[str, RunConfig]]:
    """Name and config of each way of scoring, the standard of comparison first."""
    yield "float32, all in full", replace(config, precision="float32", iw_exact_samples=0)
    yield "bfloat16, all in full", replace(config, eval_precision="bfloat16", iw_exact_samples=0)
    for precision in ("float32", "bfloat16"):
        for n in exact:
            changed = replace(config, precision=precision, iw_exact_samples=n)
            yield f"{n} in full, rough in {precision}", changed


def table(found: list[tuple[str, Tensor, float]], samples: int) -> Table:
    """A row for each way and estimate: mean difference from the first way and its standard error.

    Args:
        found: name of a way, statistics of all sentences (N, len(COLUMNS)), seconds.
        samples: S, told in the title.
    """
    (_, first, first_seconds), N = found[0], len(found[0][1])
    shown = Table(title=f"{N} test sentences, S = {samples}, nats a sentence")
    for head in ("scored", "speed-up", "estimate", "value", "MC stderr", "difference", "rms a sentence"):
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
    sys.exit(main(tyro.cli(Options, description=__doc__)))
