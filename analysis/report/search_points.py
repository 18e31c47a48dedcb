"""The best points of a search beside the recipe, compared on fresh seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from analysis.reading.collect import collect
from analysis.reading.sources import open_source
from analysis.report.report import RESAMPLING_SEED
from analysis.stats.cells import Cell, average_cells
from analysis.stats.comparisons import compare_family
from analysis.tables.comparisons import reach_notes, verdict_values
from analysis.tables.table import Column, Difference, Line, Table

METRIC = "nll_valid"
"""What points are compared by on fresh seeds: the tightest of their bounds that are bounds."""


def compare_points(runs: Mapping[str, str], folder: str, meanings: Sequence[str]) -> Table | None:
    """The best points minus the recipe over fresh seeds; None where there is nothing to compare.

    Args:
        runs: name of a run that is done -> which point it is of, the best first.
        folder: theirs.
        meanings: what the points are.
    """
    cells: dict[str, Cell] = {}
    if runs:
        frame = collect([open_source(folder)]).frame
        for cell in average_cells(frame[frame["run"].isin(list(runs))]):
            cells |= {runs[run]: cell for average in cell.averages.values() for run in average.runs}
    recipe = cells.pop("the recipe", None)
    if recipe is None or not cells:
        return None
    ordered = [name for name in dict.fromkeys(runs.values()) if name in cells]
    compared = compare_family(
        [(cells[n], recipe) for n in ordered], METRIC, np.random.default_rng(RESAMPLING_SEED)
    )
    lines = [Line("published", "the recipe", (compared[0].averages[1],))]
    for name, comparison in zip(ordered, compared, strict=True):
        paired = comparison.paired
        difference = None if paired.mean is None else Difference(paired.mean, paired.interval)
        values = comparison.averages[0], difference, *verdict_values(comparison)
        lines.append(Line("ours", name, values))
    headings = "NLL", "diff", "95%", "n", "flip p", "t p", "P(lower)"
    columns = (*(Column(name, decimals=2) for name in headings), Column("verdict", text=True))
    notes = (
        *meanings,
        f"NLL: {' and '.join(dict.fromkeys(compared[0].estimates))} on the test split, nats a sentence, "
        "mean ± standard deviation over seeds that the search has not seen",
        "diff: mean of point minus recipe over the n seeds that both have, below 0 where it is better, and "
        "its 95% t interval. flip p, t p: of the sign-flip test and of the paired t test, after Holm's "
        "correction. P(lower): probability that a seed of the point is lower than a seed of the recipe",
        *reach_notes(compared),
    )
    return Table("On fresh seeds", columns, tuple(lines), notes, ())
