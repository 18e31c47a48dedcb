"""Choose the numbers that a table may set in bold: those of models that verdicts call better."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from analysis.stats.average import Average
from analysis.stats.comparisons import Comparison
from analysis.stats.texts import Text

RULE = (
    "Bold: the lowest number with a verdict in its favour in every comparison of its system, within one "
    "text (exact or a valid bound, enough seeds, Holm's correction)"
)

NONE = "No number is bold: none has a verdict in its favour in every comparison of its system"


_METRICS = ("nll", "nll_valid", "ppl")


def compared_averages(compared: Sequence[Comparison]) -> list[Average]:
    """The averages that took part in a comparison by which :func:`best_averages` chooses."""
    return [average for c in compared if c.metric in _METRICS for average in c.averages]


def best_averages(compared: Sequence[Comparison]) -> list[Average]:
    """The lowest average of each metric, dataset, setting and text whose model is better than all rivals.

    Numbers over different text are different problems: one of another text is no rival.
    """
    rivals: dict[tuple[str, str, str, Text | None], dict[int, list[Comparison]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for c in compared:
        if c.metric in _METRICS:
            rivals[c.metric, c.a.dataset, c.a.setting, c.a.text][id(c.a)].append(c)
    best = []
    for of_cells in rivals.values():
        winners = [
            comparisons[0].averages[0]
            for comparisons in of_cells.values()
            if all(c.verdict.model == "better" for c in comparisons)
        ]
        if winners:
            best.append(min(winners, key=lambda average: average.mean))
    return best
