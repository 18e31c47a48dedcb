"""Measure the cost of checkpoints, as a share of training time at the size of Penn Treebank.

    python benchmarks/checkpoint_overhead.py [--storage DIR] [--minutes 10]

A checkpoint is written at the end of every epoch and ``--minutes`` after the last one. The baseline is the
same training without checkpoints: the gradient steps of an epoch at the measured speed. Steps are timed on
synthetic text of typical lengths. Checkpoints are really written, with digest and fsync, and removed.
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median

import torch
import tyro
from rich.console import Console
from rich.table import Table
from speed import ours
from speed.cases import cases
from speed.measure import synthetic_text
from speed.present import machine

from lvae_core.arguments import parsed
from lvae_core.command import exit_status, print_error
from lvae_core.config import RunConfig
from lvae_core.errors import InputError
from lvae_core.model.layers.precision import resolve
from lvae_core.model.text_model import TextModel
from lvae_core.run_folder.study import Study
from lvae_core.storage.local import LocalStore
from lvae_core.training.arithmetic import set_arithmetic
from lvae_core.training.optimisation.learning_rate import RateState
from lvae_core.training.runtime import Runtime
from lvae_core.training.state import TrainState, copy_parameters, save_checkpoint

SENTENCES = 42_068
"""Sentences of the training split of Penn Treebank."""

CASES = ("ptb/lstm-lm/standard", "ptb/lstm-vae/L1/standard", "ptb/lstm-vae-avg/L10/standard")


@dataclass(frozen=True, kw_only=True)
class Options:
    """The command line."""

    storage: str | None = None
    """Folder or address to write checkpoints to; by default a temporary folder."""
    minutes: float = Runtime.checkpoint_seconds / 60
    """Minutes between checkpoints, like --checkpoint-minutes of a run."""
    saves: int = 9
    """Number of checkpoints to time."""
    threads: int = 1
    """CPU threads of the training steps."""


def main(options: Options) -> int:
    """Measure and print one table; return the exit status."""
    shown = Table(title="checkpoints as a share of training time, at the size of Penn Treebank")
    for head in ("case", "checkpoint", "time per save", "time per epoch", "saves per epoch", "overhead"):
        shown.add_column(head, justify="left" if head == "case" else "right")
    try:
        if options.minutes <= 0 or options.saves < 1:
            raise InputError("--minutes must be above 0 and --saves at least 1")
        with empty_study(options.storage) as study:
            for name in CASES:
                shown.add_row(*measure_case(name, study, options))
    except InputError as error:
        print_error(error)
        return 2
    Console(width=110).print(shown)
    print(machine("", torch.__version__))
    return 0


@contextlib.contextmanager
def empty_study(storage: str | None) -> Iterator[Study]:
    """Open a study for the checkpoints; of a local one nothing stays, however the block ends.

    Args:
        storage: address, or folder in which the study is a new folder; None: that of temporary files.

    Raises:
        InputError: the storage cannot be written.
    """
    given = Study(storage) if storage else None
    if given is not None:
        given.check_writable()  # makes a missing folder
        if not isinstance(given.store, LocalStore):
            yield given
            return
    with tempfile.TemporaryDirectory(prefix="checkpoint-overhead-", dir=given and given.url) as folder:
        yield Study(folder)


def measure_case(name: str, study: Study, options: Options) -> list[str]:
    """Measure one case: a row of the table."""
    case = cases(quick=False)[name]
    runtime = Runtime(threads=options.threads)
    set_arithmetic(case.config, runtime)
    size, save = measure_saves(case.config, case.num_classes, study, options.saves)
    run = ours.training(case.config, case.num_classes, synthetic_text(case), runtime.device)
    run()
    passes = [time_call(run) for _ in range(3)]
    epoch = median(passes) / len(case.lengths) * SENTENCES / case.config.batch_size
    # One at the end of the epoch, and the timed ones before it.
    saves = 1 + int(epoch // (60 * options.minutes))
    return [
        name,
        f"{size / 2**20:.0f} MiB",
        f"{save:.2f} s",
        f"{epoch / 60:.1f} min",
        str(saves),
        f"{saves * save / epoch:.2%}",
    ]


def measure_saves(config: RunConfig, num_classes: int, study: Study, saves: int) -> tuple[int, float]:
    """Measure the bytes of a checkpoint and the median time to write one, as the trainer does."""
    model = TextModel(config, num_classes)
    folder = study.run(".checkpoint-overhead")
    times = []
    try:
        for _ in range(saves):
            start = time.perf_counter()
            state = TrainState(
                fingerprint="0" * 64,
                parameters=copy_parameters(model),
                best_parameters=copy_parameters(model),
                rate=RateState(config.learning_rate),
                vocabulary=[f"word{i}" for i in range(num_classes)],
                precision=resolve(config.precision, "cpu"),
            )
            save_checkpoint(folder, state)
            times.append(time.perf_counter() - start)
        return len(folder.read_checkpoint() or b""), median(times)
    finally:  # also after Ctrl-C: at an address nothing else removes them
        for file in folder.store.names(folder.name):
            folder.store.delete(f"{folder.name}/{file}")


def time_call(run: object) -> float:
    """Time one call, in seconds."""
    start = time.perf_counter()
    assert callable(run)
    run()
    return time.perf_counter() - start


if __name__ == "__main__":
    sys.exit(exit_status(lambda: main(parsed(lambda: tyro.cli(Options, description=__doc__)))))
