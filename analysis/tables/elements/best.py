"""Choose the numbers that a table may set in bold: those of models that verdicts call better."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence

from analysis.stats.average import Average
from analysis.stats.comparisons import Comparison
from analysis.stats.texts import Text

RULE = (
    "Bold: the numbers of each model with a verdict in its favour in every comparison, within one text "
    "(exact or a valid bound, enough seeds, Holm's correction), but no exact number above that of another "
    "such model; several bounds are not ranked"
)

NONE = "No number is bold: no model has a verdict in its favour in every comparison"


_METRICS = ("nll", "nll_valid", "ppl")


def compared_averages(compared: Sequence[Comparison]) -> list[Average]:
    """The averages that took part in a comparison by which :func:`best_averages` chooses."""
    return [average for c in compared if c.metric in _METRICS for average in c.averages]


def best_averages(compared: Sequence[Comparison]) -> list[Average]:
    """The numbers of the best models of each dataset, setting and text, by those metrics that say so.

    A best model is better than all that it is compared with, as a row or as a baseline, by its tightest
    valid bound. An exact number above that of another such model is not among the best; of several bounds,
    none is called better. Numbers over different text are different problems: one of another text is no
    rival.
    """
    won: dict[tuple[str, str, Text | None], dict[str, dict[int, list[tuple[Average, bool]]]]] = defaultdict(
        lambda: {metric: defaultdict(list) for metric in _METRICS}
    )
    exact = {id(cell) for c in compared for cell in (c.a, c.b) if cell.averaging == "none"}
    for c in compared:
        if c.metric in _METRICS:
            winner = {"better": c.a, "worse": c.b, "": None}[c.verdict.model]
            for cell, average in zip((c.a, c.b), c.averages, strict=True):
                of_cells = won[cell.dataset, cell.setting, cell.text][c.metric]
                of_cells[id(cell)].append((average, cell is winner))
    best = []
    for by_metric in won.values():
        winners = {metric: _winners(of_cells) for metric, of_cells in by_metric.items()}
        valid = winners["nll_valid"]
        lowest = min((average.mean for average in valid.values()), default=math.inf)
        for model, average in valid.items():
            if average.mean == lowest or model not in exact:
                best += [averages[model] for averages in winners.values() if model in averages]
    return best


def _winners(of_cells: Mapping[int, Sequence[tuple[Average, bool]]]) -> dict[int, Average]:
    """Those that win all of their comparisons: identity of the cell -> its average."""
    return {
        cell: averages[0][0]
        for cell, averages in of_cells.items()
        if all(is_better for _, is_better in averages)
    }
