"""Compare the best points of a search with the recipe on fresh seeds."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from analysis.reading.collect import collect
from analysis.reading.sources import open_source
from analysis.report.findings import METRIC
from analysis.report.report import RESAMPLING_SEED
from analysis.stats.cells import Cell
from analysis.stats.comparisons import compare_family
from analysis.stats.over_seeds import average_cells
from analysis.stats.valid_bounds import to_compare
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
    cells = {name: dataclasses.replace(cell, short_name=name) for name, cell in cells.items()}
    recipe = cells.pop(RECIPE, None)
    if recipe is None or not cells:
        return None
    points = [name for name in dict.fromkeys(runs.values()) if name in cells]
    compared = compare_family(
        [(cells[name], recipe) for name in points], METRIC, np.random.default_rng(RESAMPLING_SEED)
    )
    # Rows may have different numbers under one heading: a bound may be unreliable in some of them alone.
    which = [_words(cell) for cell in (recipe, *(cells[name] for name in points))]
    lines = [Line("published", RECIPE, (compared[0].averages[1], which[0]))]
    for name, comparison, words in zip(points, compared, which[1:], strict=True):
        paired = comparison.paired
        difference = None if paired.mean is None else Difference(paired.mean, paired.interval)
        values = comparison.averages[0], words, difference, *verdict_values(comparison)
        lines.append(Line("ours", name, values))
    columns = (
        Column("NLL", decimals=2),
        Column("by", text=True),
        Column("diff", decimals=2),
        *verdict_columns(decimals=2),
    )
    estimates = dict.fromkeys(name for c in compared for name in c.estimates)
    one_kind = len(set(which)) == 1
    by = "" if one_kind else ", for each row its tightest reliable bound, which the column by names"
    notes = (
        *meanings,
        f"NLL: {' and '.join(estimates)} on the test split{by}; nats per sentence, "
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
    table = Table("On fresh seeds", columns, tuple(lines), notes)
    return table.with_columns(lambda column: column.name != "by") if one_kind else table


def _words(cell: Cell) -> str:
    """The number by which a cell is compared, in words: exact, ELBO, IW."""
    convention = to_compare(cell)
    return convention.words if convention else ""
