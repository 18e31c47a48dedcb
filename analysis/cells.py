"""Averages over seeds: the frame of runs -> one value a cell and variant.

Runs whose configs differ in anything but the seed, or whose data or numerics version differ, never meet
in one average. Where a cell holds several such groups they are its *variants*.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from analysis.collect import CONFIG_FIELDS, STATUSES
from analysis.published import AVERAGING
from lvae_core.record import ESTIMATES, Bound, bound

SYSTEM_ORDER = ("lstm-lm", "lstm-vae", "lstm-vae-avg")

# The dataset's path is not here: a folder counts by its name and content, not by where it lies.
_VARIANT_FIELDS = (*CONFIG_FIELDS, "data_sha256", "numerics")

Signature = tuple[Hashable | None, ...]


@dataclass(frozen=True)
class Average:
    """One estimate over the seeds of a cell."""

    n: int
    mean: float
    std: float | None
    """Sample standard deviation (ddof = 1); None for n = 1."""
    mc_stderr: float | None
    """Mean over the seeds of the Monte Carlo standard error; None where nothing was sampled."""


@dataclass(frozen=True)
class Counts:
    """Runs of a cell by status."""

    done: int = 0
    failed: int = 0
    unfinished: int = 0
    damaged: int = 0

    @property
    def total(self) -> int:
        """All of them."""
        return self.done + self.failed + self.unfinished + self.damaged


@dataclass(frozen=True)
class Cell:
    """A variant of dataset × system × setting × L with the averages over its seeds."""

    dataset: str
    system: str
    num_samples: int
    setting: str
    variant: str
    """The fields in which the variants of the system differ, ``max_epochs=3``; empty if there is one."""
    averaging: str
    """none, loss or hidden; empty where neither a config nor the paper says it."""
    counts: Counts
    averages: Mapping[str, Average]
    """Estimate -> average over the runs that are done."""

    def estimate(self, metric: str) -> str:
        """The estimate behind ``nll`` or ``ppl`` by the paper's convention.

        That is the ELBO with the KL counted once, or the exact value where nothing is latent.
        """
        return f"{metric}_elbo" if metric in ("nll", "ppl") and self.averaging != "none" else metric

    def bound(self, estimate: str) -> Bound | None:
        """What ``estimate`` is as a bound on -log p(x) of this cell's model."""
        return bound(estimate, self.averaging, self.num_samples)


def average_cells(frame: pd.DataFrame) -> list[Cell]:
    """All cells of a frame of runs, in the order of the paper's tables."""
    cells: list[Cell] = []
    for _, runs in frame.groupby(["dataset", "system", "num_samples"], sort=False):
        variants = variant_labels(runs)
        order = list(dict.fromkeys(sorted(variants, key=lambda v: v.rank)))
        for variant in order:
            chosen = runs[[v == variant for v in variants]]
            cells += [_cell(group, variant.label) for _, group in chosen.groupby("setting", sort=False)]
    return sorted(cells, key=paper_order)


@dataclass(frozen=True)
class Variant:
    """Which group of equal configs a run belongs to."""

    label: str
    rank: tuple[tuple[bool, Any], ...]
    """Sorts variants by the values of the fields in which they differ, unknown ones last."""


def variant_labels(runs: pd.DataFrame) -> list[Variant]:
    """The variant of each run of one system and L (both settings, so that a row's halves match)."""
    columns = [runs[name].astype(object) for name in _VARIANT_FIELDS]
    signatures: list[Signature] = [
        tuple(None if pd.isna(value) else value for value in values)
        for values in zip(*columns, strict=True)
    ]
    resolved = _resolve(signatures)
    distinct = list(dict.fromkeys(resolved.values()))
    differing = [
        position
        for position in range(len(_VARIANT_FIELDS))
        if len({signature[position] for signature in distinct} - {None}) > 1
    ]
    return [_variant(resolved[signature], differing) for signature in signatures]


def _resolve(signatures: Iterable[Signature]) -> dict[Signature, Signature]:
    """Signature -> the one it stands for.

    A run that is not done knows less (no data hash, perhaps no config): it is counted with the only
    group that it fits, and on its own where it fits several.
    """
    resolved: dict[Signature, Signature] = {}
    complete: list[Signature] = []
    for known in sorted(dict.fromkeys(signatures), key=lambda s: s.count(None)):
        fits = [
            full for full in complete
            if all(a is None or a == b for a, b in zip(known, full, strict=True))
        ]  # fmt: skip
        if len(fits) == 1:
            resolved[known] = fits[0]
        else:
            resolved[known] = known
            complete.append(known)
    return resolved


def _variant(signature: Signature, differing: Sequence[int]) -> Variant:
    values = [(_VARIANT_FIELDS[position], signature[position]) for position in differing]
    return Variant(
        label=", ".join(_setting(name, value) for name, value in values),
        rank=tuple((value is None, value) for _, value in values),
    )


def _setting(name: str, value: Any) -> str:
    if name == "data_sha256":
        return f"data={'?' if value is None else value[:8]}"
    return f"{name}={setting_text(value)}"


def setting_text(value: Any) -> str:
    """A config value as ``--set`` takes it."""
    if value is None:
        return "?"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and float(f"{value:g}") == value:
        return f"{value:g}"
    return str(value)


def _cell(runs: pd.DataFrame, variant: str) -> Cell:
    first = runs.iloc[0]
    done = runs[runs["status"] == "done"]
    averagings = [*runs["averaging"].dropna(), AVERAGING.get(str(first["system"]), "")]
    counts = runs["status"].value_counts()
    return Cell(
        dataset=str(first["dataset"]),
        system=str(first["system"]),
        num_samples=int(first["num_samples"]),
        setting=str(first["setting"]),
        variant=variant,
        averaging=str(averagings[0]),
        counts=Counts(**{status: int(counts.get(status, 0)) for status in STATUSES}),
        averages={name: _average(done, name) for name in ESTIMATES if done[name].notna().any()},
    )


def _average(done: pd.DataFrame, estimate: str) -> Average:
    values, errors = done[estimate].dropna(), done[f"{estimate}_stderr"].dropna()
    return Average(
        n=len(values),
        mean=float(values.mean()),
        std=float(values.std(ddof=1)) if len(values) > 1 else None,
        mc_stderr=float(errors.mean()) if len(errors) else None,
    )


def paper_order(cell: Cell) -> tuple[Any, ...]:
    """Sorting key: the order of the paper's rows, other systems after them."""
    known = cell.system in SYSTEM_ORDER
    place = SYSTEM_ORDER.index(cell.system) if known else len(SYSTEM_ORDER)
    # The sort is stable: variants keep the order they have.
    return (cell.dataset, place, cell.system, cell.num_samples, cell.setting != "standard")
