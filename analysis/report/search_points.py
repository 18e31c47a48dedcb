"""Compare the best points of a search with the recipe on fresh seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from analysis.reading.collect import collect
from analysis.reading.sources import open_source
from analysis.report.findings import METRIC
from analysis.report.report import RESAMPLING_SEED
from analysis.stats.cells import Cell
from analysis.stats.comparisons import compare_family
from analysis.stats.over_seeds import average_cells
from analysis.stats.verdicts import RULE
from analysis.tables.comparisons import reach_notes, verdict_columns, verdict_note, verdict_values
from analysis.tables.elements.table import Column, Difference, Line, Table
from analysis.tables.notes.cells import huge_notes
from analysis.tables.notes.substitutes import substitute_notes
from lvae_core.run_folder.search_record import RECIPE


def compare_points(runs: Mapping[str, str], folder: str, meanings: Sequence[str]) -> Table | None:
    """Compare the best points with the recipe over fresh seeds; None if there is nothing to compare.

    Args:
        runs: name of a finished run -> the name of its point, the best point first.
        folder: the study of the runs.
        meanings: a note on the values of each point.
    """
    cells: dict[str, Cell] = {}
    if runs:
        # The folder may hold other runs too, such as those of an earlier search.
        frame = collect([open_source(folder)]).frame
        for cell in average_cells(frame[frame["run"].isin(list(runs))]):
            cells |= {runs[run]: cell for average in cell.averages.values() for run in average.runs}
    recipe = cells.pop(RECIPE, None)
    if recipe is None or not cells:
        return None
    points = [name for name in dict.fromkeys(runs.values()) if name in cells]
    compared = compare_family(
        [(cells[name], recipe) for name in points], METRIC, np.random.default_rng(RESAMPLING_SEED)
    )
    lines = [Line("published", RECIPE, (compared[0].averages[1],))]
    for name, comparison in zip(points, compared, strict=True):
        paired = comparison.paired
        difference = None if paired.mean is None else Difference(paired.mean, paired.interval)
        values = comparison.averages[0], difference, *verdict_values(comparison)
        lines.append(Line("ours", name, values))
    columns = (Column("NLL", decimals=2), Column("diff", decimals=2), *verdict_columns(decimals=2))
    estimates = dict.fromkeys(name for c in compared for name in c.estimates)
    notes = (
        *meanings,
        f"NLL: {' and '.join(estimates)} on the test split, nats per sentence, "
        "mean ± standard deviation over seeds that the search has not seen",
        "diff: mean of point minus recipe over the n common seeds, with its 95% t interval. "
        + verdict_note("the point", "the recipe"),
        RULE,
        *huge_notes([*cells.values(), recipe]),
        *reach_notes(compared),
        *substitute_notes(compared),
        *(
            f"{name}: {comparison.verdict.sentence(name, RECIPE, comparison.paired)}"
            for name, comparison in zip(points, compared, strict=True)
        ),
    )
    return Table("On fresh seeds", columns, tuple(lines), notes)
