"""Choose and arrange the cells that figures draw; nothing here draws."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from analysis.figures.elements import marks, style
from analysis.published.catalogue import display_name, find
from analysis.published.facts import Derived, Fact
from analysis.stats.average import Average
from analysis.stats.cells import Cell
from analysis.stats.outliers import times_median
from analysis.stats.valid_bounds import JOINT_ELBO, conventions, tightest
from analysis.tables.bounds import published_nll, with_published_cells
from analysis.tables.elements.importance_weights import weight_values
from analysis.tables.elements.shown_variants import MOST_VARIANTS, shown_variants, variant_key
from analysis.tables.elements.table import NOT_A_BOUND, SETTINGS, cell_label, name_label
from lvae_core.messages import listed, numbered
from lvae_core.run_folder.estimates import ESTIMATES


class TooManyError(Exception):
    """A figure would have more cells than it can show; the message says how many."""


@dataclass(frozen=True)
class Row:
    """A cell in a figure, with its published numbers."""

    cell: Cell
    label: str

    @property
    def key(self) -> tuple[str, str]:
        """System and variant, which :func:`looks` gives a colour and a marker."""
        return self.cell.system, self.cell.variant

    def fact(self, metric: str) -> Fact | None:
        """The published number for the cell, which all its variants share."""
        c = self.cell
        table = "3" if metric == "nll_iw" else "2"
        return find(table, c.dataset, c.system, c.num_samples, c.setting, metric)

    def average(self, metric: str) -> Average | None:
        """Our average by the published convention."""
        return self.cell.averages.get(self.cell.estimate(metric))


MOST_ROWS = 36
"""The largest number of cells that a panel can show."""


def fitting(cells: Sequence[Cell], dataset: str) -> tuple[list[Cell], str]:
    """Keep as many variants of a dataset's cells as fit into a panel of :data:`MOST_ROWS` cells.

    Returns:
        The cells, and sentences that say which are left out; "" if none is.
    """
    # A variant without a number has nothing to draw.
    of_dataset = [c for c in cells if c.dataset == dataset and not c.counts.all_failed]
    failed = dict.fromkeys(
        cell_label(c) for c in cells if c.dataset == dataset and c.shown and c.counts.all_failed
    )
    sentence = f" Not drawn, as all of their runs failed: {'; '.join(failed)}." if failed else ""
    fits = shown = [cell for cell in of_dataset if cell.shown]
    for variants in range(MOST_VARIANTS, 0, -1):
        fits = shown_variants(shown, variants)
        if max(Counter(cell.setting for cell in fits).values(), default=0) <= MOST_ROWS:
            break
    kept = set(map(id, fits))
    if all(id(cell) in kept for cell in of_dataset if cell.counts.done):
        return fits, sentence
    by = "validation perplexity" if any(cell.of_search for cell in fits) else "bounds on the test split"
    chosen = f" Of the variants of each row, only the {variants} with the lowest {by} are shown."
    return fits, chosen + sentence


UNCOUNTED = f"{NOT_A_BOUND}: not a bound, because it counts one KL for L samples"
"""Explains NOT_A_BOUND in a caption."""

NLLS = tuple(name for name in ESTIMATES if name.startswith("nll"))

_MOST = 1e6
"""Values up to this size are always drawn."""

_TIMES_MEDIAN = 1e3
"""A larger value is drawn if it is at most so many times the median of all."""

LARGEST = 1e30
"""No larger value is drawn: sums of squares of axes would overflow."""


def prepare(cells: Sequence[Cell], dataset: str, *drawn: str) -> tuple[list[Cell], list[str]]:
    """The cells that a figure draws, without averages that no axis shows beside the others.

    Args:
        cells: the cells.
        dataset: the dataset to draw.
        drawn: the estimates that the figure draws; ``hours`` for the cost.

    Returns:
        The cells of all datasets, and notes for the figure: the names of its variants, and the values that
        were left out.
    """
    kept, beyond = [], []
    known = [(name, a) for cell in cells if cell.dataset == dataset for name, a in _averages(cell)]
    limits = {
        kind: limit([a.mean for name, a in known if name.partition("_")[0] == kind])
        for kind in {name.partition("_")[0] for name, _ in known}
    }
    for cell in cells:
        large = (
            [
                (n, a)
                for n, a in _averages(cell)
                if not fits([a.mean, *a.values], limits[n.partition("_")[0]])
            ]
            if cell.dataset == dataset
            else []
        )
        names = {name for name, _ in large}
        beyond += [
            f"{cell_label(cell)} {cell.setting}, {name} {max(average.values, key=abs):z.3g}"
            for name, average in large
            if name in drawn
        ]
        averages = {name: a for name, a in cell.averages.items() if name not in names}
        hours = None if "hours" in names else cell.hours
        kept.append(dataclasses.replace(cell, averages=averages, hours=hours) if large else cell)
    notes = ["; ".join(key)] if (key := variant_key(cells, dataset)) else []
    return kept, notes + beyond_note(beyond)


def beyond_note(beyond: Sequence[str]) -> list[str]:
    """A note for the figure that names the values that it leaves out; empty without any."""
    return [f"{numbered(len(beyond), 'value')} beyond the axis: {'; '.join(beyond)}"] if beyond else []


def _averages(cell: Cell) -> list[tuple[str, Average]]:
    return [*cell.averages.items(), *([("hours", cell.hours)] if cell.hours else [])]


def limit(means: Sequence[float]) -> float:
    """The largest value that is drawn beside these means."""
    return min(LARGEST, max(_MOST, times_median(means, _TIMES_MEDIAN)))


def fits(values: Iterable[float], limit: float) -> bool:
    """Whether an axis can show all the values; see :func:`limit`."""
    return all(math.isfinite(value) and abs(value) <= limit for value in values)


_MOST_NAMED = 6
"""Unreliable numbers that a caption names one by one."""


def reliance(drawn: Iterable[tuple[Cell, str]]) -> str:
    """A sentence on the importance-weighted numbers of a figure that are unreliable; "" without any.

    Args:
        drawn: the cells, each with an estimate that the figure draws.
    """
    found = [
        f"{cell_label(cell)} {cell.setting}, {names[estimate]} ({_weights(cell.averages[estimate])})"
        for cell, estimate in unreliable(drawn)
        for names in [{reading.nll: reading.name for reading in conventions(cell)}]
    ]
    if not found:
        return ""
    more = [f"and {len(found) - _MOST_NAMED} more"] if len(found) > _MOST_NAMED else []
    return (
        f" Unreliable ({marks.UNRELIABLE}), because few draws decide them, or are too few to tell (Pareto "
        f"shape k above 0.7 in more than 5% of the sentences, or unknown): "
        f"{'; '.join([*found[:_MOST_NAMED], *more])}."
    )


def _weights(average: Average) -> str:
    """Say what is known of the importance weights behind a number."""
    ess, above = weight_values(average)
    shape = f"k > 0.7 in {above}" if above else "k unknown"
    return ", ".join([shape, *([f"ESS {ess}"] if ess else [])])


def unreliable(drawn: Iterable[tuple[Cell, str]]) -> list[tuple[Cell, str]]:
    """Those of the estimates of cells that are unreliable."""
    return [
        (cell, estimate)
        for cell, estimate in drawn
        if (average := cell.averages.get(estimate)) and average.unreliable
    ]


def tightest_of(chosen: Sequence[Row]) -> list[tuple[Cell, str]]:
    """The cells with the estimate that is their tightest bound; see :func:`reliance`."""
    return [(row.cell, best.nll) for row in chosen if (best := tightest(row.cell))]


def settings_of(cells: Sequence[Cell]) -> list[str]:
    """The settings with a finished run, in the order of tables."""
    return [s for s in SETTINGS if any(c.setting == s and c.averages for c in cells)]


def rows(cells: Sequence[Cell], dataset: str, setting: str) -> list[Row]:
    """The cells of a dataset and setting, and the published cells without a run, in the systems' order.

    Published cells without a run are left out if there is no room for them.

    Raises:
        TooManyError: there are more than MOST_ROWS.
    """
    chosen = [c for c in with_published_cells(cells, dataset) if c.setting == setting]
    if len(chosen) > MOST_ROWS:
        chosen = [c for c in chosen if c.counts.total]
    if len(chosen) > MOST_ROWS:
        raise TooManyError(
            f"{len(chosen)} cells and variants in one setting, of which {MOST_ROWS} can be shown"
        )
    return [Row(cell, cell_label(cell, "\n({})", marked=True)) for cell in chosen]


def left_out_published(cells: Sequence[Cell], dataset: str) -> str:
    """A sentence on the settings whose published cells without a run :func:`rows` leaves out, if any."""
    every = with_published_cells(cells, dataset)
    settings = [
        setting
        for setting in settings_of(cells)
        for of_setting in [[c for c in every if c.setting == setting]]
        if len(of_setting) > MOST_ROWS and not all(c.counts.total for c in of_setting)
    ]
    if not settings:
        return ""
    plural = "s" if len(settings) > 1 else ""
    return (
        f" In the {listed(settings)} setting{plural}, published numbers without a run of ours are left out "
        "for lack of room."
    )


def with_facts(chosen: Iterable[Row], metric: str) -> list[tuple[Row, Fact | None]]:
    """The rows of a setting with their published numbers: variants share one, which the first has."""
    found: list[tuple[Row, Fact | None]] = []
    cited: set[tuple[str, int]] = set()
    for row in chosen:
        place = row.cell.system, row.cell.num_samples
        fact = None if place in cited else row.fact(metric)
        if fact:
            cited.add(place)
        found.append((row, fact))
    return found


def drawn_rows(cells: Sequence[Cell], dataset: str) -> list[Row]:
    """The rows of all settings with a finished run."""
    return [row for setting in settings_of(cells) for row in rows(cells, dataset, setting)]


def convention(chosen: Sequence[Row]) -> str:
    """Name the published convention if it sets these rows apart: a number is no bound, or was published."""
    apart = any(row.cell.joint_latent or row.fact("nll") or row.fact("ppl") for row in chosen)
    return " by the published convention" if apart else ""


def lines(chosen: Sequence[Row]) -> dict[tuple[str, str], list[Row]]:
    """(system, variant) -> its rows in the order of L, which a line connects."""
    found: dict[tuple[str, str], list[Row]] = {}
    for row in chosen:
        found.setdefault((row.cell.system, row.cell.variant), []).append(row)
    return found


def legend_name(cell: Cell, *, with_samples: bool = False) -> str:
    """The name of a cell's system and variant, which a legend gives a colour and a marker."""
    name = name_label(display_name(cell.system), cell.num_samples if with_samples else 0)
    return name + (f" ({cell.variant_name})" if cell.variant_name else "")


class SampleNames:
    """The places where a figure without an axis of L names the L of its marks.

    A line that has several has one beside each mark. If it has only one, its entry in the legend names it,
    unless all lines have the same.
    """

    def __init__(self, drawn: Iterable[Row]) -> None:
        """Compare the rows that a figure draws."""
        self._counts: dict[tuple[str, str], set[int]] = {}
        for row in drawn:
            if row.cell.num_samples:
                self._counts.setdefault(row.key, set()).add(row.cell.num_samples)
        self._differ = len(set().union(*self._counts.values())) > 1

    def beside(self, row: Row) -> str:
        """The text beside a mark; "" if the legend says enough."""
        return f"L={row.cell.num_samples}" if len(self._counts.get(row.key, ())) > 1 else ""

    def in_legend(self, row: Row) -> str:
        """The name of a row's line in the legend."""
        return legend_name(row.cell, with_samples=self._differ and not self.beside(row))


def looks(cells: Sequence[Cell], dataset: str) -> style.Looks:
    """Colour and marker of each system and variant of a dataset; see :func:`style.looks`."""
    present = with_published_cells(cells, dataset)
    ours = [(c.system, c.variant) for c in present if c.counts.total]
    systems = {system for system, _ in ours}
    found = style.looks([*ours, *((c.system, c.variant) for c in present if c.system not in systems)])
    # A published cell without a run looks as the first variant of its system.
    first = {system: found[system, variant] for system, variant in reversed(found)}
    return {(c.system, c.variant): first[c.system] for c in present} | found


def samples(chosen: Sequence[Row]) -> list[int]:
    """Every L that occurs, in order."""
    return sorted({row.cell.num_samples for row in chosen})


def derived_joint(row: Row) -> Derived | None:
    """The valid bound of a joint-latent cell that follows from its published numbers."""
    bound = published_nll(row.cell, JOINT_ELBO) if row.cell.joint_latent else None
    return bound if isinstance(bound, Derived) else None


def gap(row: Row) -> float | None:
    """Nats between the ELBO as published and the valid one: ours, or the published if there is no run."""
    ours = [row.cell.averages.get(name) for name in ("nll_joint", "nll_elbo")]
    if ours[0] and ours[1]:
        return ours[0].mean - ours[1].mean
    valid, nll = derived_joint(row), row.fact("nll")
    return valid.mean - nll.mean if valid and nll and not row.cell.averages else None
