"""Say which runs of an unfinished launch do not exist yet: a report on a part must not look whole."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from analysis.reading.collect import Runs
from analysis.tables.elements.table import row_label
from lvae_core.run_folder.names import RunName

CONTINUE = "to continue, run the sweep's command again"

_MOST_CELLS = 6
"""The largest number of cells that a sentence names."""


def unfinished_launches(runs: Runs) -> Iterator[str]:
    """A sentence for each study of whose last launch some planned runs do not exist."""
    present = set(runs.frame["run"])
    under_way = set(runs.frame.loc[runs.frame["status"] == "running", "study"])
    for study, planned in runs.planned:
        absent = [parsed for name in planned if name not in present and (parsed := RunName.parse(name))]
        if absent:
            verb = "does" if len(absent) == 1 else "do"
            share = f"{len(absent)} of the {len(planned)} runs of its last launch {verb} not exist yet"
            state = "others are running" if study in under_way else f"none is running; {CONTINUE}"
            yield f"{study}: {share} ({_by_cell(absent)}); {state}."


def _by_cell(absent: list[RunName]) -> str:
    counts = list(Counter(run.cell for run in absent).items())
    named = [
        f"{cell.dataset} {cell.setting} {row_label(cell.system, cell.num_samples)}: {number}"
        for cell, number in counts[:_MOST_CELLS]
    ]
    named += [f"{len(counts) - _MOST_CELLS} more cells"] if len(counts) > _MOST_CELLS else []
    return ", ".join(named)
