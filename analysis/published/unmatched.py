"""Say which numbers of a user's files no table shows, because no run is of their dataset."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Collection, Iterable

from analysis.published.parse import read_facts
from lvae_core.messages import numbered


def unmatched_notes(files: Iterable[str], datasets: Collection[str]) -> list[str]:
    """A note for each file and each dataset of it that is not among those of the runs."""
    return [
        f"note: {file}: {numbered(rows, 'row')} of {dataset} {'is' if rows == 1 else 'are'} not shown, "
        f"no run is of it{_hint(dataset, datasets)}"
        for file in dict.fromkeys(files)
        for dataset, rows in Counter(fact.dataset for fact in read_facts(file)).items()
        if dataset not in datasets
    ]


def _hint(dataset: str, datasets: Collection[str]) -> str:
    folded = {name.casefold(): name for name in datasets}
    near = difflib.get_close_matches(dataset.casefold(), folded, n=1)
    return f"; did you mean {folded[near[0]]!r}?" if near else ""
