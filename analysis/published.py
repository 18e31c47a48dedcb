"""The published numbers, read once from ``published.csv`` and checked.

Every row was read in Kruengkrai (2019), Tables 2a (PTB), 2b (Yahoo) and 3, which also cite other work. NLL
and KL are in nats per sentence, PPL is a perplexity.
"""

from __future__ import annotations

import csv
import functools
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lvae_core.systems import SYSTEMS, recipe

OURS = "kruengkrai2019"
"""The source whose systems this project runs; all others are only cited."""

SEEDS = 5
"""Number of runs behind each mean and standard deviation in that paper."""

SOURCES = {
    "bowman2016": "Bowman et al. 2016",
    "xu2018": "Xu & Durrett 2018",
    "yang2017": "Yang et al. 2017",
    "kim2018": "Kim et al. 2018",
    "he2019": "He et al. 2019",
    OURS: "Kruengkrai 2019",
}

TITLES = {"ptb": "PTB", "yahoo": "Yahoo"}
"""The datasets that have published numbers."""

TEST_SPLITS = {"ptb": (3_761, 82_430), "yahoo": (10_000, 798_673)}
"""Dataset -> (sentences, predicted tokens) of the test split behind the published numbers: the only counts
that reproduce the published pairs of NLL and PPL."""

AVERAGING = {system: recipe(system).averaging for system in SYSTEMS}
"""System -> what its L samples are averaged over, as in ``RunConfig.averaging``."""

PROTOCOL: dict[str, dict[str, Any]] = {
    "ptb": {},
    "yahoo": {"embedding_size": 512, "hidden_size": 1024},
}
"""Dataset -> config fields for which §5 of the paper differs from RunConfig's defaults."""

_COLUMNS = ["table", "dataset", "source", "system", "num_samples", "setting", "metric", "mean", "std"]
_METRICS = {"2a": {"nll", "kl", "ppl"}, "2b": {"nll", "kl", "ppl"}, "3": {"nll", "nll_iw"}}


@dataclass(frozen=True)
class Fact:
    """One published number."""

    table: str
    dataset: str
    source: str
    system: str
    """The name in this project, such as ``lstm-vae-avg``."""
    name: str
    """The printed name, such as ``LSTM-VAE-AVG``."""
    num_samples: int
    """L; 0 for a model without a latent variable."""
    setting: str
    metric: str
    mean: float
    std: float | None
    decimals: int
    """Number of digits printed after the point."""


@dataclass(frozen=True)
class Derived:
    """A number that follows from published numbers by arithmetic, but was not printed."""

    mean: float


@functools.cache
def load() -> tuple[Fact, ...]:
    """Read all facts, in the order of the paper's tables.

    Raises:
        ValueError: ``published.csv`` was changed: it has a wrong column, a wrong value or a repeated fact.
    """
    path = Path(__file__).with_name("published.csv")
    with path.open(encoding="utf-8", newline="") as file:
        return parse(file)


def parse(lines: Iterable[str]) -> tuple[Fact, ...]:
    """Parse facts from CSV ``lines``; raises ValueError with the number of a line that is not a fact."""
    reader = csv.DictReader(lines)
    if reader.fieldnames != _COLUMNS:
        raise ValueError(f"published.csv: columns are {reader.fieldnames}, not {_COLUMNS}")
    facts: dict[tuple[str, ...], Fact] = {}
    for row in reader:
        try:
            fact = _fact(row)
        except (KeyError, ValueError, TypeError) as error:
            raise ValueError(f"published.csv, line {reader.line_num}: {error!r}") from None
        # All columns but mean and std identify a fact.
        key = tuple(row[name] for name in _COLUMNS[:-2])
        if key in facts:
            raise ValueError(f"published.csv, line {reader.line_num}: this fact occurs twice")
        facts[key] = fact
    return tuple(facts.values())


def find(table: str, dataset: str, system: str, num_samples: int, setting: str, metric: str) -> Fact | None:
    """The number that Kruengkrai (2019) reports for a cell in Table ``"2"`` or ``"3"``, if any."""
    return _index().get((table, dataset, system, num_samples, setting, metric))


def display_name(system: str) -> str:
    """The name of a system as the paper prints it, or in its style if the paper does not have it."""
    return _names().get(system, system.upper() if system in SYSTEMS else system)


@functools.cache
def _index() -> dict[tuple[str, str, str, int, str, str], Fact]:
    return {
        (f.table[0], f.dataset, f.system, f.num_samples, f.setting, f.metric): f
        for f in load()
        if f.source == OURS
    }


@functools.cache
def _names() -> dict[str, str]:
    printed = {fact.system: fact.name for fact in load()}
    # A system's name has no "+": cnn-vae-init is printed as CNN-VAE+init.
    return {system.replace("+", "-"): name for system, name in printed.items()} | printed


def _fact(row: dict[str, str]) -> Fact:
    mean, std = float(row["mean"]), float(row["std"]) if row["std"] else None
    if not math.isfinite(mean) or not math.isfinite(std or 0.0):
        raise ValueError("mean or std is not finite")
    if row["source"] not in SOURCES:
        raise ValueError(f"unknown source {row['source']!r}")
    if row["dataset"] not in TITLES:
        raise ValueError(f"unknown dataset {row['dataset']!r}")
    if row["setting"] not in ("standard", "inputless"):
        raise ValueError(f"unknown setting {row['setting']!r}")
    if row["metric"] not in _METRICS[row["table"]]:
        raise ValueError(f"table {row['table']} has no metric {row['metric']!r}")
    return Fact(
        table=row["table"],
        dataset=row["dataset"],
        source=row["source"],
        system=row["system"].lower(),
        name=row["system"],
        num_samples=int(row["num_samples"] or 0),
        setting=row["setting"],
        metric=row["metric"],
        mean=mean,
        std=std,
        # The digits after the point, as printed: 100.0 has one, 100 has none.
        decimals=len(row["mean"].partition(".")[2]),
    )
