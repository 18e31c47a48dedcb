"""Measure the cost of the steps of semi-amortised inference, compared with LSTM-VAE and LSTM-VAE-AVG.

    python benchmarks/inference_cost.py [--dataset ptb] [--data-dir DIR] [--steps 10 20]

Passes through the decoder are counted by hooks in one training step and in one inference; theory says
3K + 1 and K. Training steps and evaluations of the dataset's batches are timed: by default in CPU time, on
which other programs have little influence. The column "operations" has the ratio of whole runs, which plans
use until times are measured.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, replace

import numpy as np
import torch
import tyro
from rich.console import Console
from rich.table import Table
from speed.present import machine

from lvae_core.arguments import parsed
from lvae_core.command import exit_status
from lvae_core.config import RunConfig
from lvae_core.data.batches import collate
from lvae_core.data.corpus import Corpus, load_for
from lvae_core.errors import InputError
from lvae_core.evaluation.likelihood import sentence_noise
from lvae_core.model.counts import operations
from lvae_core.model.text_model import TextModel
from lvae_core.systems import recipe
from lvae_core.training.optimisation.objective import objective
from sweeps.packing.probe import Probe


@dataclass(frozen=True, kw_only=True)
class Options:
    """The command line."""

    dataset: str = "pydocs"
    """A dataset's name, or the path of a folder of three splits; the model has the dataset's sizes."""
    data_dir: str | None = None
    """Folder of public corpora, as for a run."""
    steps: tuple[int, ...] = (20,)
    """K of each semi-amortised case."""
    samples: int = 5
    """L of LSTM-VAE-AVG."""
    seconds: float = 4.0
    """Minimum seconds for the training steps of a case, and for its evaluation."""
    threads: int = 1
    """CPU threads."""
    wall: bool = False
    """Measure wall time."""


@dataclass(frozen=True)
class Measured:
    """One case: passes through the decoder, seconds of a step, operations of a run, test tokens/s."""

    step_passes: int
    inference_passes: int
    step_seconds: float
    operations: float
    evaluate_rate: float


def main(options: Options) -> int:
    """Measure and print one table; return the exit status."""
    found: dict[str, Measured] = {}
    try:
        if options.seconds < 0 or options.threads < 1:
            raise InputError("--seconds must be 0 or more and --threads at least 1")
        cases = configs(options)
        corpus = load_for(cases["lstm-vae"], options.data_dir)
        for name, config in cases.items():
            print(name, file=sys.stderr, flush=True)
            found[name] = measure(config, corpus, options)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    Console(width=110).print(table(found, f"the cost of inference, sizes and sentences of {corpus.name}"))
    print(machine("", torch.__version__))
    return 0


def configs(options: Options) -> dict[str, RunConfig]:
    """The cases by name, LSTM-VAE first.

    Raises:
        InputError: an option cannot be used.
    """
    found = {"lstm-vae": recipe("lstm-vae", dataset=options.dataset)}
    found[f"lstm-vae-avg, L = {options.samples}"] = recipe(
        "lstm-vae-avg", dataset=options.dataset, num_samples=options.samples
    )
    for steps in options.steps:
        config = recipe("sa-vae", dataset=options.dataset)
        found[f"sa-vae, K = {steps}"] = replace(config, svi_steps=steps)
    return found


def measure(config: RunConfig, corpus: Corpus, options: Options) -> Measured:
    """Measure one case."""
    step_passes, inference_passes = passes(config, corpus)
    probe = Probe(config, corpus, device="cpu", threads=options.threads)
    probe.measure(0.0, steps=3)  # the first pass pays for one-time initialisation
    now = time.perf_counter if options.wall else time.process_time
    sample = probe.measure(options.seconds, steps=3, now=now)
    tokens = corpus.train.num_tokens * config.batch_size / len(corpus.train)
    return Measured(
        step_passes,
        inference_passes,
        tokens / sample.train_rate,
        operations(config, corpus),
        sample.evaluate_rate,
    )


def passes(config: RunConfig, corpus: Corpus) -> tuple[int, int]:
    """Count the passes of B sentences through the decoder in a training step, and in an inference.

    A pass with the L samples of a group counts as L.
    """
    model = TextModel(config, len(corpus.vocabulary))
    rows: list[int] = []
    model.decoder.register_forward_hook(lambda module, inputs, states: rows.append(len(states)))
    indices = np.arange(config.batch_size) % len(corpus.train)
    batch = collate(corpus.train, indices)
    objective(model, batch, config, kl_weight=1.0, step=0).loss.backward()  # type: ignore[no-untyped-call]
    in_step = sum(rows)
    rows.clear()
    with torch.no_grad():
        model.infer(batch, noise=sentence_noise(model, config, [("train", int(i)) for i in indices]))
    return in_step, sum(rows)


def table(found: dict[str, Measured], title: str) -> Table:
    """Make the table: one line per case, with its ratios to the first."""
    shown = Table(title=title)
    for head in (
        "case",
        "passes/step",
        "passes/inference",
        "ms/step",
        "ratio",
        "operations",
        "test tokens/s",
    ):
        shown.add_column(head, justify="left" if head == "case" else "right")
    first = next(iter(found.values()))
    for name, case in found.items():
        shown.add_row(
            name,
            str(case.step_passes),
            str(case.inference_passes),
            f"{1000 * case.step_seconds:,.1f}",
            f"{case.step_seconds / first.step_seconds:.1f}",
            f"{case.operations / first.operations:.1f}",
            f"{case.evaluate_rate:,.0f}",
        )
    return shown


if __name__ == "__main__":
    sys.exit(exit_status(lambda: main(parsed(lambda: tyro.cli(Options, description=__doc__)))))
