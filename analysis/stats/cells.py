"""Average the runs of each cell over its seeds.

Only runs that differ in the seed alone are averaged. If the runs of a cell also differ in a config
field, in their data or in the numerics version, the cell is split into *variants*.
"""

from __future__ import annotations

import dataclasses
import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.published.catalogue import AVERAGING
from analysis.reading.frame import STATUSES, TIMES
from analysis.stats.collapse import UNUSED, last_kl_weight
from analysis.stats.intervals import Interval, bca_intervals, t_interval
from analysis.stats.texts import Text, texts_of_runs
from analysis.stats.variants import Variant, variant_labels
from lvae_core.run_folder.estimates import ESTIMATES, UNRELIABLE_SHARE, Bound, bound, diagnostics_of
from lvae_core.systems import SYSTEMS

SYSTEM_ORDER = tuple(SYSTEMS)
"""The order of the rows of tables."""

_TEXT = "text"
"""A column that :func:`average_cells` adds: the test text of a finished run."""

_OF_A_CELL = (
    "dataset",
    "system",
    "num_samples",
    "setting",
    "averaging",
    "objective",
    "status",
    "failure_class",
)


@dataclass(frozen=True)
class Average:
    """One estimate over the seeds of a cell."""

    n: int
    mean: float
    std: float | None
    """Sample standard deviation (ddof = 1); None for n = 1."""
    mc_stderr: float | None
    """Monte Carlo standard error of the mean: root mean square of the seeds' errors / sqrt(n). The spread
    over seeds already contains it. None if nothing was sampled."""
    seeds: tuple[int, ...] = ()
    values: tuple[float, ...] = ()
    """One per seed."""
    mc_stderrs: tuple[float | None, ...] = ()
    """Monte Carlo standard error of each seed's value: by the jackknife over draws if that is recorded,
    which holds for heavy-tailed importance weights, too."""
    bca: Interval | None = None
    """95% bootstrap interval; None until :func:`with_bootstrap` adds it."""
    runs: tuple[str, ...] = field(default=(), compare=False)
    """Names of the runs, one per value."""
    ess: float | None = None
    """Effective sample size of the importance weights, mean over sentences and runs; None if no run
    recorded it, or if there are no weights."""
    khat_above: float | None = None
    """Share of sentences whose weights have a Pareto shape above 0.7, mean over runs; None if unknown."""

    @property
    def unreliable(self) -> bool:
        """Whether a few draws decide the estimate, so that it may be far from its expectation."""
        return self.khat_above is not None and self.khat_above > UNRELIABLE_SHARE

    @property
    def stderr(self) -> float | None:
        """Standard error of the mean; None for n = 1."""
        return None if self.std is None else self.std / math.sqrt(self.n)

    @property
    def interval(self) -> Interval | None:
        """95% t interval of the mean; None for n = 1."""
        return t_interval(self.n, self.mean, self.std)

    @property
    def minimum(self) -> float | None:
        """The lowest seed's value."""
        return min(self.values, default=None)

    @property
    def maximum(self) -> float | None:
        """The highest seed's value."""
        return max(self.values, default=None)

    def by_seed(self) -> dict[int, float]:
        """Seed -> value, without the seeds that occur more than once: their value is ambiguous."""
        # Two versions of the code may have run the same seed; a pair needs one value.
        times = Counter(self.seeds)
        return {s: value for s, value in zip(self.seeds, self.values, strict=True) if times[s] == 1}


@dataclass(frozen=True)
class Counts:
    """The number of runs of a cell by status."""

    done: int = 0
    running: int = 0
    failed: int = 0
    unfinished: int = 0
    damaged: int = 0
    missing: int = 0
    """Seeds that the cell should have and does not; see analysis/stats/missing_runs.py."""
    failures: tuple[tuple[str, int], ...] = field(default=(), compare=False)
    """Class of failure, as in failure.json, and its number of runs."""

    @property
    def by_status(self) -> dict[str, int]:
        """The number of runs of each status."""
        return {status: getattr(self, status) for status in STATUSES}

    @property
    def total(self) -> int:
        """The number of runs of any status."""
        return sum(self.by_status.values())

    @property
    def all_failed(self) -> bool:
        """Whether there are runs, and all of them failed."""
        return 0 < self.failed == self.total - self.missing


@dataclass(frozen=True)
class Cell:
    """One variant of a cell (dataset × system × setting × L) with its averages over seeds."""

    dataset: str
    system: str
    num_samples: int
    setting: str
    variant: str
    """The fields in which the variants of the system differ, ``max_epochs=3``; empty for a single one."""
    averaging: str
    """none, loss or hidden; empty if neither a config nor a recipe says it."""
    counts: Counts
    averages: Mapping[str, Average]
    """Estimate -> average over the finished runs."""
    hours: Average | None = field(default=None, compare=False)
    """Device-hours per finished run: training and evaluation, over all attempts."""
    true_nll: float | None = field(default=None, compare=False)
    """-log p(x) of the test split under the model that the data were drawn from, if it is known."""
    text: Text | None = field(default=None, compare=False)
    """The test text of its finished runs; None if there is none."""
    shown: bool = field(default=True, compare=False)
    """Whether tables for reading show it; see analysis/tables/elements/shown_variants.py."""
    letter: str | None = field(default=None, compare=False)
    """The short name of its variant, ``latent_size=4`` or ``A``; empty if its row shows no other; None if
    it was not named."""
    varied: Mapping[str, str] = field(default_factory=dict, compare=False)
    """Field -> value, as text, of the fields of ``variant``."""
    objective: str = field(default="", compare=False)
    """The loss that its runs were trained by; empty if unknown, or if there is only one."""
    last_kl_weight: float | None = field(default=None, compare=False)
    """The largest β that its runs ended at within KL annealing, if z is unused; else None."""

    @property
    def joint_latent(self) -> bool:
        """Whether the decoder reads several samples at once: then the KL of one does not cover all."""
        return self.averaging == "hidden" and self.num_samples > 1

    @property
    def variant_name(self) -> str:
        """Its variant in tables and figures: the short name if it has one, else the fields that differ."""
        return self.variant if self.letter is None else self.letter

    @property
    def unused_latent(self) -> bool:
        """Whether the latent variable says next to nothing: in effect the cell is a language model."""
        return "mi" in self.averages and self.averages["mi"].mean < UNUSED

    @property
    def collapsed(self) -> bool:
        """Whether z is unused and was held to the full KL: before that, it is no posterior collapse."""
        return self.unused_latent and self.last_kl_weight is None

    def estimate(self, metric: str) -> str:
        """The name of the estimate that ``metric`` stands for by the published convention.

        For ``nll`` and ``ppl`` it is the ELBO with the KL counted once, or the exact value of a model
        without a latent variable; any other metric is an estimate's name already.
        """
        return f"{metric}_elbo" if metric in ("nll", "ppl") and self.averaging != "none" else metric

    def bound(self, estimate: str) -> Bound | None:
        """Say whether ``estimate`` bounds -log p(x) of this cell's model."""
        return bound(estimate, self.averaging, self.num_samples)


def average_cells(frame: pd.DataFrame) -> list[Cell]:
    """Average a frame of runs; the cells come in the order of the tables."""
    cells: list[Cell] = []
    # Over all systems: a result that recorded its vocabulary tells it for others.
    frame = frame.assign(**{_TEXT: pd.Series(texts_of_runs(frame), frame.index, dtype=object)})
    for _, runs in frame.groupby(["dataset", "system", "num_samples"], sort=False):
        runs = runs.reset_index(drop=True)
        # Variants are labelled over both settings, so that the two halves of a table row match.
        variants = variant_labels(runs)
        numbers = _Numbers(runs)
        columns = {name: runs[name].to_numpy(object) for name in _OF_A_CELL}
        members: dict[tuple[Variant, str], list[int]] = defaultdict(list)
        for position, key in enumerate(zip(variants, runs["setting"], strict=True)):
            members[key].append(position)
        for variant, setting in sorted(members, key=lambda key: key[0].rank):
            positions = members[variant, setting]
            cells.append(_cell(columns, numbers, positions, variant))
    return sorted(cells, key=table_order)


def with_bootstrap(cells: Sequence[Cell], rng: np.random.Generator) -> list[Cell]:
    """Add the bootstrap interval :attr:`Average.bca` to every average of the cells that are shown.

    A cell's intervals depend on its own values and on ``rng``, not on the other cells.
    """
    seed = int(rng.integers(2**63))
    # All samples of one size share their resamples: one call per size instead of one per average.
    by_size: dict[int, list[tuple[int, str]]] = defaultdict(list)
    for position, cell in enumerate(cells):
        for name, average in cell.averages.items() if cell.shown else ():
            by_size[average.n].append((position, name))
    averages = [dict(cell.averages) for cell in cells]
    for n, places in by_size.items():
        samples = np.array([averages[position][name].values for position, name in places])
        intervals = bca_intervals(samples, np.random.default_rng([seed, n]))
        for (position, name), interval in zip(places, intervals, strict=True):
            averages[position][name] = dataclasses.replace(averages[position][name], bca=interval)
    return [dataclasses.replace(cell, averages=a) for cell, a in zip(cells, averages, strict=True)]


class _Numbers:
    """The estimates of runs as plain arrays: data-frame arithmetic is slow on a few values at a time."""

    def __init__(self, runs: pd.DataFrame) -> None:
        self._runs = runs
        self.done = (runs["status"] == "done").to_numpy()
        self.seeds = runs["seed"].to_numpy(np.int64, na_value=-1)
        self.names = runs["run"].to_numpy(object)
        self._true_nll = _floats(runs["true_nll"])
        self._texts = runs[_TEXT].tolist()
        self.hours = sum((_floats(runs[name]) for name in TIMES), np.zeros(len(runs))) / 3600
        present = [name for name in ESTIMATES if runs[name].notna().any()]
        self._diagnostics = {
            name: {part: _floats(runs[f"{name}_{part}"]) for part in diagnostics_of(name)}
            for name in present
        }
        self._columns = {
            name: (_floats(runs[name]), self._error(name, _floats(runs[f"{name}_stderr"])))
            for name in present
        }

    def averages(self, positions: Sequence[int]) -> dict[str, Average]:
        """Estimate -> average over the finished runs among ``positions``."""
        found = {name: self._average(positions, *column) for name, column in self._columns.items()}
        return {
            name: dataclasses.replace(
                average,
                ess=self._known_mean(name, "ess", positions),
                khat_above=self._known_mean(name, "khat_above", positions),
            )
            for name, average in found.items()
            if average
        }

    def _error(self, name: str, stderr: NDArray[np.float64]) -> NDArray[np.float64]:
        jackknife = self._diagnostics[name].get("jackknife")
        return stderr if jackknife is None else np.where(np.isnan(jackknife), stderr, jackknife)

    def _known_mean(self, name: str, part: str, positions: Sequence[int]) -> float | None:
        values = self._diagnostics[name].get(part)
        if values is None:
            return None
        known = [values[p] for p in positions if self.done[p] and not math.isnan(values[p])]
        return float(np.mean(known)) if known else None

    def cost(self, positions: Sequence[int]) -> Average | None:
        """Device-hours per finished run among ``positions``."""
        return self._average(positions, self.hours, np.full(len(self.hours), np.nan))

    def true_nll(self, positions: Sequence[int]) -> float | None:
        """The data's own -log p(x) on the test split, which is the same for all runs of a cell."""
        known = self._true_nll[list(positions)]
        known = known[~np.isnan(known)]
        return float(known[0]) if len(known) else None

    def last_kl_weight(self, positions: Sequence[int], mi: Average | None) -> float | None:
        """The largest β that the runs behind ``mi`` reached; see :attr:`Cell.last_kl_weight`."""
        if mi is None or mi.mean >= UNUSED:
            return None
        runs = (self._runs.iloc[p] for p in positions if self.names[p] in mi.runs)
        return max((weight for run in runs if (weight := last_kl_weight(run)) is not None), default=None)

    def text(self, positions: Sequence[int]) -> Text | None:
        """The test text of the finished runs, which is the same for all runs of a cell."""
        return next((text for p in positions if (text := self._texts[p]) is not None), None)

    def _average(
        self, positions: Sequence[int], values: NDArray[np.float64], errors: NDArray[np.float64]
    ) -> Average | None:
        finished = np.array(
            [p for p in positions if self.done[p] and not math.isnan(values[p])], dtype=np.int64
        )
        if not len(finished):
            return None
        found = average(self.seeds[finished], values[finished], errors[finished])
        return dataclasses.replace(found, runs=tuple(map(str, self.names[finished])))


def average(
    seeds: NDArray[np.int64], values: NDArray[np.float64], mc_stderrs: NDArray[np.float64]
) -> Average:
    """Average one estimate over seeds; a Monte Carlo error of NaN is unknown."""
    known = not np.isnan(mc_stderrs).any()
    return Average(
        n=len(values),
        mean=float(np.mean(values)),
        std=float(np.std(values, ddof=1)) if len(values) > 1 else None,
        mc_stderr=float(np.sqrt(np.mean(mc_stderrs**2) / len(values))) if known else None,
        seeds=tuple(map(int, seeds)),
        values=tuple(map(float, values)),
        mc_stderrs=tuple(None if math.isnan(error) else float(error) for error in mc_stderrs),
    )


def _floats(column: pd.Series[float]) -> NDArray[np.float64]:
    values: NDArray[np.float64] = column.to_numpy(np.dtype(np.float64), na_value=np.nan)
    return values


def _cell(
    columns: Mapping[str, NDArray[np.object_]],
    numbers: _Numbers,
    positions: Sequence[int],
    variant: Variant,
) -> Cell:
    first = {name: column[positions[0]] for name, column in columns.items()}
    # A damaged or missing run has no config; any other run of the cell, or the recipe, says it instead.
    known = (columns["averaging"][position] for position in positions)
    averagings = [*(value for value in known if not pd.isna(value)), AVERAGING.get(first["system"], "")]
    counts = Counter(columns["status"][position] for position in positions)
    averages = numbers.averages(positions)
    classes = Counter(columns["failure_class"][p] for p in positions if columns["status"][p] == "failed")
    failures = tuple((str(name), number) for name, number in classes.most_common() if not pd.isna(name))
    return Cell(
        dataset=first["dataset"],
        system=first["system"],
        num_samples=int(first["num_samples"]),
        setting=first["setting"],
        variant=variant.label,
        varied=dict(variant.fields),
        averaging=averagings[0],
        counts=Counts(**{status: counts[status] for status in STATUSES}, failures=failures),
        averages=averages,
        objective=next((o for p in positions if not pd.isna(o := columns["objective"][p])), ""),
        hours=numbers.cost(positions),
        last_kl_weight=numbers.last_kl_weight(positions, averages.get("mi")),
        true_nll=numbers.true_nll(positions),
        text=numbers.text(positions),
    )


def table_order(cell: Cell) -> tuple[Any, ...]:
    """Sorting key: the order of the recipes, other systems after them."""
    known = cell.system in SYSTEM_ORDER
    place = SYSTEM_ORDER.index(cell.system) if known else len(SYSTEM_ORDER)
    # Variants are not part of the key: the sort is stable and keeps their order.
    return (cell.dataset, place, cell.system, cell.num_samples, cell.setting != "standard")
