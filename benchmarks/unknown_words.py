"""Measure what words cost that training never has, with and without an unknown word in training.

    python benchmarks/unknown_words.py [--epochs 8] [--seeds 0 1]

The text is that of ``pydocs``, as a folder. With ``min_count = 1`` no training word is unknown, so the
class of the unseen words is never trained; with 2, words seen once are unknown. LSTM-LM is trained with the
sizes of the recipe for ``pydocs``; its likelihood is exact. The test tokens are grouped by their count in
training, so that a group holds the same tokens in both rows.
"""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import tyro
from rich.console import Console
from rich.table import Table

from lvae_core import recipe, train
from lvae_core.arguments import parsed
from lvae_core.command import exit_status
from lvae_core.config import RunConfig
from lvae_core.data import datasets
from lvae_core.data.batches import collate, eval_order
from lvae_core.data.corpus import load_for
from lvae_core.data.text_files import SPLITS
from lvae_core.errors import InputError
from lvae_core.evaluation.generate import Trained

GROUPS = ("never", "once", "more often")
"""How often training has a token."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """The command line."""

    epochs: int = 8
    """Epochs of each run."""
    seeds: tuple[int, ...] = (0, 1)
    """Seeds of the runs; the table shows means."""
    hidden_size: int = 128
    """H; the other sizes are those of the recipe."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return the exit status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    return exit_status(lambda: run(arguments))


def run(arguments: Sequence[str]) -> int:
    """Train and measure, print one table and return the exit status."""
    options = parsed(
        lambda: tyro.cli(Options, args=arguments, prog="unknown_words.py", description=__doc__)
    )
    if options.epochs < 1 or not options.seeds:
        raise InputError("--epochs, --seeds: give at least one of each")
    table = Table("min_count", title="test nats of LSTM-LM by how often training has a token")
    for heading in (
        "classes",
        *(f"per token: {group}" for group in GROUPS),
        "share of never",
        "per sentence",
        "per character",
    ):
        table.add_column(heading, justify="right")
    with tempfile.TemporaryDirectory() as place:
        folder = write_folder(Path(place) / "own-text")
        groups = token_groups(folder)
        share = np.mean(np.concatenate(groups) == 0)
        for min_count in (1, 2):
            base = recipe("lstm-lm", dataset="pydocs")
            base = replace(base, dataset=str(folder), min_count=min_count, hidden_size=options.hidden_size)
            configs = [replace(base, seed=seed, max_epochs=options.epochs) for seed in options.seeds]
            rows = [measure(config, Path(place), groups) for config in configs]
            classes, *nats, part, total, spelled = np.mean(rows, axis=0)
            cells = [f"{classes:,.0f}", *(f"{value:.2f}" for value in nats), f"{part:.1%}"]
            table.add_row(str(min_count), *cells, f"{total:.2f}", f"{spelled:.3f}")
    table.caption = f"{share:.1%} of the test tokens occur never in training"
    Console(width=120).print(table)
    return 0


def write_folder(folder: Path) -> Path:
    """Write the splits of ``pydocs`` as a user would have them."""
    folder.mkdir()
    for split in SPLITS:
        text = datasets.read("pydocs", split)
        (folder / f"{split}.txt").write_text("".join(f"{line}\n" for line in text.lines), encoding="utf-8")
    return folder


def token_groups(folder: Path) -> list[np.ndarray]:
    """For each test sentence the index into GROUPS of each predicted token; ``</s>`` is the last."""
    counts = Counter(token for s in datasets.read(str(folder), "train").sentences() for token in s)
    sentences = datasets.read(str(folder), "test").sentences()
    return [np.array([*(min(counts[token], 2) for token in s), 2]) for s in sentences]


def measure(config: RunConfig, place: Path, groups: Sequence[np.ndarray]) -> tuple[float, ...]:
    """Train a run.

    Returns:
        The number of classes; nats per test token of each of GROUPS; the first group's share of all nats;
        nats per sentence; nats per character, with unknown words spelled out.
    """
    trained = train(config, place / f"{config.min_count}-{config.seed}").trained
    nats = token_nats(trained)
    which = np.concatenate([groups[i] for i in range(len(groups))])
    sums = np.bincount(which, nats, minlength=len(GROUPS))
    means = sums / np.bincount(which, minlength=len(GROUPS))
    total = nats.sum()
    text = load_for(config, data_dir=None).spelled["test"]
    spelled = (total + text.spelling_nats) / text.characters
    return len(trained.vocabulary), *means, sums[0] / total, total / len(groups), spelled


def token_nats(trained: Trained) -> np.ndarray:
    """-log p of each predicted token of the test split, in the order of the text, of a language model."""
    split = load_for(trained.config, data_dir=None).test
    values = np.empty(split.num_tokens)
    model = trained.model
    with torch.no_grad():
        for indices in eval_order(split.lengths, trained.config.eval_batch_size):
            batch = collate(split, indices)
            log_p = model.output(model.hidden(batch, None)[0]).log_softmax(-1)  # (P, V)
            of_targets = log_p.gather(1, model.targets(batch).unsqueeze(1)).squeeze(1).numpy()
            places = np.concatenate([np.arange(split.offsets[i], split.offsets[i + 1]) for i in indices])
            values[places] = -of_targets
    return values


if __name__ == "__main__":
    sys.exit(main())
