"""The tables of two studies side by side: estimates and cost of each cell, B minus A."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from analysis.stats.average import Average, average
from analysis.stats.cells import Cell
from analysis.stats.comparisons import Comparison, estimate_of
from analysis.stats.intervals import Interval
from analysis.stats.verdicts import RULE
from analysis.tables.comparisons import (
    metric_title,
    reach_notes,
    verdict_columns,
    verdict_note,
    verdict_values,
)
from analysis.tables.costs import Unit, decimals_of, scaled
from analysis.tables.elements.csv_rows import comparison_row
from analysis.tables.elements.shown_variants import variant_key
from analysis.tables.elements.table import (
    Column,
    Difference,
    Line,
    Table,
    cell_label,
    dataset_title,
)
from analysis.tables.notes.cells import huge_notes
from analysis.tables.notes.substitutes import substitute_notes
from lvae_core.run_folder.estimates import LATENT_USE

HOURS = "device_hours"

Pair = tuple[Cell, Cell]
"""A cell of study B and its partner of study A."""

METRICS = {
    "nll": "NLL (published convention)",
    "nll_valid": "NLL (tightest bound)",
    "ppl": "PPL (published convention)",
    **{name: estimate.title for name, estimate in LATENT_USE.items()},
    HOURS: "device-hours per run",
}


def study_tables(
    compared: Sequence[Comparison], halves: Sequence[Pair], dataset: str, units: Mapping[str, Unit]
) -> Iterable[Table]:
    """The tables of a dataset: its estimates and its cost, if there are any.

    Args:
        compared: the comparisons of all datasets.
        halves: the pairs of which only one cell has a finished run.
        dataset: its name.
        units: the unit of each dataset's costs.
    """
    estimates = [c for c in compared if c.a.dataset == dataset and c.metric != HOURS]
    hours = [c for c in compared if c.a.dataset == dataset and c.metric == HOURS]
    if estimates:
        of_dataset = [half for half in halves if half[0].dataset == dataset]
        yield _table(estimates, f"B minus A, {dataset_title(dataset)}", 1, halves=of_dataset)
    if hours:
        unit, per_hour = units[dataset]
        longest = max(average.mean for c in hours for average in c.averages)
        title = f"Cost of B minus A, {dataset_title(dataset)}"
        shown = [_in_unit(comparison, per_hour) for comparison in hours]
        table = _table(shown, title, decimals_of(longest * per_hour) + 1, f"device-{unit} per run")
        # The CSV file has hours, whatever the table shows.
        yield dataclasses.replace(table, csv_rows=lambda: (comparison_row(c, "study") for c in hours))


def _in_unit(comparison: Comparison, per_hour: int) -> Comparison:
    """A comparison of hours in another unit."""
    paired, a, b = comparison.paired, comparison.a, comparison.b
    interval = paired.interval and Interval(paired.interval.low * per_hour, paired.interval.high * per_hour)
    return dataclasses.replace(
        comparison,
        a=dataclasses.replace(a, averages={HOURS: scaled(a.averages[HOURS], per_hour)}),
        b=dataclasses.replace(b, averages={HOURS: scaled(b.averages[HOURS], per_hour)}),
        paired=dataclasses.replace(
            paired,
            mean=None if paired.mean is None else paired.mean * per_hour,
            interval=interval,
        ),
    )


def _table(
    compared: Sequence[Comparison],
    title: str,
    decimals: int,
    measure: str = "",
    halves: Sequence[Pair] = (),
) -> Table:
    lines: list[Line] = []
    cells = [cell for c in compared for cell in (c.a, c.b)]

    def heading(of: Comparison) -> str:
        return f"{of.a.setting}, {measure or metric_title(METRICS[of.metric], cells)}"

    for setting, metric in dict.fromkeys((c.a.setting, c.metric) for c in compared):
        of_heading = [c for c in compared if (c.a.setting, c.metric) == (setting, metric)]
        lines.append(Line("heading", heading(of_heading[0])))
        lines += [_line(c) for c in of_heading]
        lines += [_half_line(half, metric) for half in halves if half[0].setting == setting]
    digits = max(2, decimals)  # a difference has more where its error is smaller
    columns = (
        Column("A", decimals=decimals),
        Column("B", decimals=decimals),
        Column("B - A", decimals=digits),
        *verdict_columns("B lower", digits),
    )
    huge = _huge([*((c.a, c.b) for c in compared), *halves])
    substitutes = substitute_notes(compared, (" of B", " of A"))
    key = variant_key([*cells, *(half[0] for half in halves)], *{cell.dataset for cell in cells})
    notes = (
        "A, B: over the n common seeds, empty if there is none. B - A: mean difference over them, with its "
        "95% t interval. " + verdict_note("B", "A", lower="B lower", over=" over the rows of a heading"),
        *([RULE] if any(c.metric.startswith("nll") for c in compared) else []),
        *huge,
        *reach_notes(compared, heading),
        *substitutes,
        *key,
    )
    return Table(
        title,
        columns,
        tuple(lines),
        notes,
        lambda: (comparison_row(c, "study") for c in compared),
        marks=(notes[0], *huge, *substitutes, *key),
        once=(RULE, *key),
        background=(RULE,),
    )


def _huge(pairs: Sequence[Pair]) -> list[str]:
    """A note on the huge estimates of each study."""
    return [
        f"{study}: {note}"
        for study, side in (("A", 1), ("B", 0))
        for note in huge_notes({id(pair[side]): pair[side] for pair in pairs}.values())
    ]


def _line(comparison: Comparison) -> Line:
    paired = comparison.paired
    b, a = (_over(average, paired.seeds) for average in comparison.averages)
    return Line(
        "ours",
        f"  {cell_label(comparison.a)}",
        (
            a,
            b,
            Difference(paired.mean, paired.interval, b, a) if b and a and paired.mean is not None else None,
            *verdict_values(comparison),
        ),
    )


def _half_line(pair: Pair, metric: str) -> Line:
    """The line of a cell that has finished runs in one study only; the other has the states of its runs."""
    b, a = (
        cell.averages.get(estimate_of(cell, metric) or "") if cell.counts.done else cell.counts
        for cell in pair
    )
    return Line("ours", f"  {cell_label(pair[0])}", (a, b, None, None, "0", None, None, None, None))


def _over(whole: Average, seeds: Sequence[int]) -> Average | None:
    """An average over some of its seeds; None if it has none of them."""
    kept = [position for position, seed in enumerate(whole.seeds) if seed in seeds]
    if not kept:
        return None
    if len(kept) == whole.n:
        return whole
    errors = [whole.mc_stderrs[k] for k in kept]
    part = average(
        np.array([whole.seeds[k] for k in kept]),
        np.array([whole.values[k] for k in kept]),
        np.array([math.nan if error is None else error for error in errors]),
    )
    return dataclasses.replace(
        part, runs=tuple(whole.runs[k] for k in kept), ess=whole.ess, khat_above=whole.khat_above
    )
