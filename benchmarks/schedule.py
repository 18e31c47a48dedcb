"""Simulate when the last of the paper's 120 runs ends on 1, 8 and 64 devices, by the order of their start.

    python benchmarks/schedule.py [--times FILE] [--devices 1 8 64] [--json FILE]

The time of a run is measured by default: the probe of ``--cpus-per-run auto`` runs each of the 24 cells in
one process of one thread, on synthetic text with the published counts of the corpora (minutes on two
cores). To be quick it uses small batches and few draws, and scales the times by counted operations.
``--times`` reads the file of an earlier ``--json``; ``--study`` takes the mean times of a study's finished
runs, those of training scaled from the epochs that a run trained to 30.

Then the launch is simulated: the runs start in order, each when a device is free. With early stopping the
number of epochs is not known in advance, so the second half of the table draws it from 15 to 30 for each
run, while the order assumes 30.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro
from rich.console import Console
from rich.table import Table

from lvae_core.arguments import bound, parsed
from lvae_core.command import exit_status
from lvae_core.config import RunConfig
from lvae_core.data.corpus import Corpus, Split
from lvae_core.data.vocabulary import Vocabulary
from lvae_core.errors import InputError
from lvae_core.model.counts import amount, operations
from lvae_core.run_folder.names import CellName, RunName
from lvae_core.run_folder.study import Study
from sweeps.planning.grids.files import PRESETS
from sweeps.planning.times.durations import format_duration
from sweeps.planning.times.list_scheduling import ScheduledRun, longest_first, lower_bound, schedule

RANDOM_ORDERS = 200

FEW = {"ptb": {"batch_size": 16, "iw_samples": 50}, "yahoo": {"batch_size": 4, "iw_samples": 30}}
"""Changes of the config that make a probe quick."""

_arg = tyro.conf.arg

Times = dict[str, tuple[float, float]]
"""Cell -> seconds of training to the last epoch, and of evaluation."""


@dataclass(frozen=True)
class Counts:
    """Published counts of a corpus: (sentences, predicted tokens) per split, classes, longest sentence."""

    train: tuple[int, int]
    valid: tuple[int, int]
    test: tuple[int, int]
    classes: int
    longest: int


PUBLISHED = {
    "ptb": Counts((42_068, 929_589), (3_370, 73_760), (3_761, 82_430), 10_000, 82),
    "yahoo": Counts((100_000, 7_986_730), (10_000, 798_673), (10_000, 798_673), 20_001, 200),
}


def main(
    times: Annotated[Path | None, _arg(metavar="FILE", help_behavior_hint="(default: measure)")] = None,
    study: Annotated[str | None, _arg(metavar="FOLDER", help_behavior_hint="(default: none)")] = None,
    devices: Annotated[tuple[int, ...], _arg(metavar="K")] = (1, 8, 64),
    json_: Annotated[Path | None, _arg(name="json", metavar="FILE", help_behavior_hint="")] = None,
) -> int:
    """Measure or read the times of the cells, simulate launches and print two tables.

    Args:
        times: file of seconds per cell, as written by --json.
        study: take the times of this study's finished runs, scaled to 30 epochs; every cell of the grid
            must have one.
        devices: numbers of devices to simulate; each run occupies one device.
        json_: write the times to this file.
    """
    out, err = Console(width=120, highlight=False), Console(stderr=True, highlight=False)
    configs = PRESETS["paper"].grid.configs()
    if min(devices, default=0) < 1:
        raise InputError("--devices: give numbers from 1")
    if times is not None:
        found = _read(times)
    elif study is not None:
        found = times_of_study(Study(study), configs)
    else:
        found = measure_cells(configs, err.print)
    missing = sorted({str(CellName.of(config)) for config in configs} - found.keys())
    if missing:
        raise InputError(f"no time for {len(missing)} cells, such as {missing[0]}")
    if json_ is not None:
        json_.write_text(json.dumps(found, indent=1) + "\n")
    out.print(cell_table(found))
    out.print(order_table(configs, found, devices))
    return 0


def _read(path: Path) -> Times:
    try:
        pairs = dict(json.loads(path.read_text()))
        return {cell: (float(train), float(score)) for cell, (train, score) in pairs.items()}
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"--times {path}: cannot be read ({error})") from None


def times_of_study(study: Study, configs: Sequence[RunConfig]) -> Times:
    """Compute the mean times of a study's finished runs for the cells of ``configs``.

    A run may have stopped early, so its training is scaled to the most epochs that its cell may train here.
    """
    epochs = {str(CellName.of(config)): config.max_epochs for config in configs}
    sums: dict[str, list[tuple[float, float]]] = {}
    for name in study.run_names():
        parts, result = RunName.parse(name), study.run(name).read_json("result.json")
        cell = str(parts.cell) if parts is not None else ""
        if result is not None and cell in epochs and result["epochs"]:
            train = result["train_seconds"] * epochs[cell] / result["epochs"]
            sums.setdefault(cell, []).append((train, result["evaluate_seconds"]))
    means = {cell: np.mean(pairs, axis=0) for cell, pairs in sums.items()}
    return {cell: (float(train), float(score)) for cell, (train, score) in means.items()}


def measure_cells(configs: Sequence[RunConfig], say: Callable[[str], None]) -> Times:
    """Probe the cells on this machine, one after the other."""
    from sweeps.packing.probe import Probe

    cells = list({str(CellName.of(config)): config for config in configs}.values())
    corpora = {name: synthetic_corpus(name, counts) for name, counts in PUBLISHED.items()}
    found: Times = {}
    for number, config in enumerate(cells, start=1):
        few = replace(config, seed=0, **FEW[config.dataset])
        corpus = corpora[config.dataset]
        probe = Probe(few, corpus, device="cpu", threads=1)
        probe.measure(0.0, steps=3)  # the first pass pays for one-time initialisation
        # CPU time, so that other programs on the machine have little influence.
        sample = probe.measure(2.0, steps=3, now=time.process_time)
        whole, part = (evaluation_operations(c, corpus) for c in (config, few))
        tokens = amount(config, corpus)
        found[str(CellName.of(config))] = (
            tokens.train / sample.train_rate,
            tokens.evaluate / sample.evaluate_rate * whole / part,
        )
        say(f"[{number}/{len(cells)}] {CellName.of(config)!s}: {sample.train_rate:,.0f} tokens/s")
    return found


def evaluation_operations(config: RunConfig, corpus: Corpus) -> float:
    """Count the operations of the final evaluation, by extrapolating a run to zero epochs."""
    tokens = amount(config, corpus)
    with_training, twice = (
        operations(replace(config, max_epochs=epochs), corpus)
        for epochs in (config.max_epochs, 2 * config.max_epochs)
    )
    assert tokens.evaluate > 0
    return 2 * with_training - twice


def synthetic_corpus(name: str, counts: Counts) -> Corpus:
    """Make text with the published counts: lengths from a gamma distribution, words by Zipf's law."""
    generator = np.random.default_rng(0)
    frequency = 1 / np.arange(1, counts.classes)

    def split(sentences: int, tokens: int) -> Split:
        mean = tokens / sentences
        lengths = 2 + generator.gamma(3.5, (mean - 2) / 3.5, sentences).round().astype(np.int64)
        lengths = np.minimum(lengths, counts.longest)
        offsets = np.concatenate([[0], lengths.cumsum()])
        words = 1 + generator.choice(len(frequency), size=offsets[-1], p=frequency / frequency.sum())
        words[offsets[1:] - 1] = 0
        return Split(words.astype(np.int32), offsets)

    vocabulary = Vocabulary(tuple(f"w{number}" for number in range(counts.classes)), None)
    splits = (split(*counts.train), split(*counts.valid), split(*counts.test))
    return Corpus(name, vocabulary, *splits, data_sha256="0" * 64, warnings=())


def cell_table(times: Times) -> Table:
    """Make the table of the time per run of each cell."""
    table = Table("cell", title="time per run of 30 epochs")
    for heading in ("training", "evaluation", "all"):
        table.add_column(heading, justify="right")
    for cell, (train, score) in times.items():
        table.add_row(cell, format_duration(train), format_duration(score), format_duration(train + score))
    return table


def order_table(configs: Sequence[RunConfig], times: Times, devices: Sequence[int]) -> Table:
    """Make the table of makespans relative to their lower bound, by order and number of devices."""
    table = Table(
        "devices", "epochs", title=f"{len(configs)} runs: end of the last run relative to the lower bound"
    )
    for heading in ("lower bound", "longest first", "grid order", "random: mean", "random: worst"):
        table.add_column(heading, justify="right")
    generator = np.random.default_rng(0)
    expected = {config: sum(times[str(CellName.of(config))]) for config in configs}
    stops = generator.uniform(0.5, 1.0, len(configs))
    varied = {
        config: times[str(CellName.of(config))][0] * stop + times[str(CellName.of(config))][1]
        for config, stop in zip(configs, stops, strict=True)
    }
    shuffled = [[configs[i] for i in generator.permutation(len(configs))] for _ in range(RANDOM_ORDERS)]
    for epochs, actual in (("30", expected), ("15 to 30", varied)):
        table.add_section()
        for number in devices:
            bound = lower_bound([ScheduledRun(actual[config]) for config in configs], number)

            def ratio(
                order: Sequence[RunConfig], number: int = number, actual=actual, bound=bound
            ) -> float:
                return schedule([ScheduledRun(actual[config]) for config in order], number).makespan / bound

            random = [ratio(order) for order in shuffled]
            ratios = (
                ratio(longest_first(configs, expected.__getitem__)),
                ratio(configs),
                sum(random) / len(random),
                max(random),
            )
            table.add_row(
                str(number), epochs, format_duration(bound), *(f"{value:.3f}" for value in ratios)
            )
    return table


if __name__ == "__main__":
    sys.exit(exit_status(lambda: parsed(lambda: tyro.cli(bound(main), description=__doc__))()))
