"""Average the runs of each cell over its seeds.

Only runs that differ in the seed alone are averaged. If the runs of a cell also differ in a config
field, in their data or in the numerics version, the cell is split into *variants*.
"""

from __future__ import annotations

import dataclasses
import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.published.catalogue import AVERAGING
from analysis.reading.frame import STATUSES, TIMES
from analysis.reading.plain import values_of
from analysis.stats.average import Average, average, finite_mean
from analysis.stats.cells import Cell, Counts, mostly_idle, table_order
from analysis.stats.departures import TRAINING_FIELDS
from analysis.stats.intervals import bca_intervals
from analysis.stats.kl_annealing import kl_weights_within_annealing, outlast_annealing
from analysis.stats.texts import Text, texts_of_runs
from analysis.stats.variants import Variant, variants_by_row
from lvae_core.run_folder.estimates import ESTIMATES, diagnostics_of, is_unreliable

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


def average_cells(frame: pd.DataFrame) -> list[Cell]:
    """Average a frame of runs; the cells come in the order of the tables."""
    cells: list[Cell] = []
    # Over all systems: a result that recorded its vocabulary tells it for others.
    frame = frame.assign(**{_TEXT: pd.Series(texts_of_runs(frame), frame.index, dtype=object)})
    numbers = _Numbers(frame)
    columns = {name: frame[name].to_numpy(object) for name in _OF_A_CELL}
    # Variants are labelled over both settings, so that the two halves of a table row match.
    for rows, variants in variants_by_row(frame):
        members: dict[tuple[Variant, str], list[int]] = defaultdict(list)
        for position, variant in zip(rows, variants, strict=True):
            members[variant, columns["setting"][position]].append(position)
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
        for name, found in cell.averages.items() if cell.shown else ():
            if found.std is not None:
                by_size[found.n].append((position, name))
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
        self._kl_weights = kl_weights_within_annealing(runs)
        self._outlast_annealing = outlast_annealing(runs)
        self.done = (runs["status"] == "done").to_numpy()
        self.seeds = runs["seed"].to_numpy(np.int64, na_value=-1)
        self.names = runs["run"].to_numpy(object)
        self._true_nll = _floats(runs["true_nll"])
        self._parameters = _floats(runs["parameters"])
        self._texts = runs[_TEXT].tolist()
        self._devices = runs["device"].astype(object).tolist()
        self._training = values_of(runs, TRAINING_FIELDS)
        with np.errstate(over="ignore"):
            hours = sum((_floats(runs[name]) for name in TIMES), np.zeros(len(runs))) / 3600
        self.hours = np.where(np.isfinite(hours), hours, np.nan)
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
                estimate,
                ess=self._known_mean(name, "ess", positions),
                khat_above=self._known_mean(name, "khat_above", positions),
                heavy_runs=self._heavy_runs(name, positions),
            )
            for name, estimate in found.items()
            if estimate
        }

    def _error(self, name: str, stderr: NDArray[np.float64]) -> NDArray[np.float64]:
        jackknife = self._diagnostics[name].get("jackknife")
        return stderr if jackknife is None else np.where(np.isnan(jackknife), stderr, jackknife)

    def _known_mean(self, name: str, part: str, positions: Sequence[int]) -> float | None:
        known = self._known(name, part, positions)
        return finite_mean(known) if known else None

    def _heavy_runs(self, name: str, positions: Sequence[int]) -> tuple[int, int]:
        shares = self._known(name, "khat_above", positions)
        return sum(is_unreliable(None, share) for share in shares), len(shares)

    def _known(self, name: str, part: str, positions: Sequence[int]) -> list[float]:
        # A perplexity is computed from the draws of its NLL, which alone records how far to rely on them.
        values = self._diagnostics.get(name.replace("ppl", "nll", 1), {}).get(part)
        if values is None:
            return []
        return [float(values[p]) for p in positions if self.done[p] and not math.isnan(values[p])]

    def cost(self, positions: Sequence[int]) -> Average | None:
        """Device-hours per finished run among ``positions``."""
        return self._average(positions, self.hours, np.full(len(self.hours), np.nan))

    def devices(self, positions: Sequence[int]) -> tuple[str, ...]:
        """The kinds of device of the finished runs among ``positions``."""
        kinds = {self._devices[p] for p in positions if self.done[p] and not pd.isna(self._devices[p])}
        return tuple(sorted(kinds))

    def true_nll(self, positions: Sequence[int]) -> float | None:
        """The data's own -log p(x) on the test split, which is the same for all runs of a cell."""
        return _first_known(self._true_nll, positions)

    def parameters(self, positions: Sequence[int]) -> int | None:
        """The number of trained parameters, which is the same for all finished runs of a cell."""
        number = _first_known(self._parameters, positions)
        return None if number is None else int(number)

    def tested_kl_weight(self, positions: Sequence[int], mi: Average | None) -> float | None:
        """Find how far annealing had come in the runs behind ``mi``; see :attr:`Cell.tested_kl_weight`."""
        if mi is None or not mostly_idle(mi):
            return None
        behind = set(mi.runs)
        weights = [float(self._kl_weights[p]) for p in positions if self.names[p] in behind]
        within = [weight for weight in weights if not math.isnan(weight)]
        return max(within) if len(within) >= len(weights) / 2 else None

    def annealing_runs(self, positions: Sequence[int]) -> int:
        """The number of finished runs among ``positions`` that were tested within annealing."""
        return sum(bool(self.done[p]) and not math.isnan(self._kl_weights[p]) for p in positions)

    def outlasts_annealing(self, positions: Sequence[int]) -> bool:
        """Whether a run was tested within annealing that its training outlasts."""
        return any(self._outlast_annealing[p] and not math.isnan(self._kl_weights[p]) for p in positions)

    def training(self, positions: Sequence[int]) -> dict[str, Any]:
        """The values of the training fields, which are the same for all finished runs of a cell."""
        run = next((p for p in positions if self.done[p]), positions[0])
        read = zip(TRAINING_FIELDS, self._training[run], strict=True)
        return {name: value for name, value in read if value is not None}

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


def _floats(column: pd.Series[float]) -> NDArray[np.float64]:
    values: NDArray[np.float64] = column.to_numpy(np.dtype(np.float64), na_value=np.nan)
    return values


def _first_known(values: NDArray[np.float64], positions: Sequence[int]) -> float | None:
    known = values[list(positions)]
    known = known[~np.isnan(known)]
    return float(known[0]) if len(known) else None


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
        training=numbers.training(positions),
        objective=next((o for p in positions if not pd.isna(o := columns["objective"][p])), ""),
        hours=numbers.cost(positions),
        devices=numbers.devices(positions),
        tested_kl_weight=numbers.tested_kl_weight(positions, averages.get("mi")),
        annealing_runs=numbers.annealing_runs(positions),
        outlasts_annealing=numbers.outlasts_annealing(positions),
        parameters=numbers.parameters(positions),
        true_nll=numbers.true_nll(positions),
        text=numbers.text(positions),
    )
