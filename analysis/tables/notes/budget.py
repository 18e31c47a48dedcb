"""A note on runs whose number of epochs ended before their improvement did."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import pandas as pd

from analysis.tables.elements.table import row_label
from analysis.tables.notes.capped import capped


def still_improving(done: pd.DataFrame) -> Iterable[str]:
    """Count the runs whose last possible epoch is their best, by row if it is not so of all."""
    at_end = done["tested_epoch"].eq("best")
    for name in ("epochs", "best_epoch"):
        at_end &= done[name].eq(done["max_epochs"])
    rows = [row_label(*row) for row in zip(done["system"], done["num_samples"], strict=True)]
    ended = Counter(row for row, is_ended in zip(rows, at_end.fillna(False), strict=True) if is_ended)
    if not ended:
        return
    every, number = Counter(rows), ended.total()
    named = capped([f"{row} {count} of {every[row]}" for row, count in ended.items()], ", ")
    have, their = ("has", "its") if number == 1 else ("have", "their")
    yield (
        f"{number} of {len(rows)} runs {have} {their} best epoch at max_epochs, so more epochs may lower "
        f"{their} numbers: {'all rows' if ended == every else named}"
    )
