"""List the failed runs: each with what tells it from others of its cell, and why it failed."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from analysis.stats.variants import variants_by_row


def failed_runs(frame: pd.DataFrame) -> Iterator[tuple[str, str]]:
    """The name of each failed run, and in one line the values of its variant and why it failed.

    The name has a hash in place of the values: ``learning_rate=1e+30: diverged, attempt 1: …``.
    """
    failed = (frame["status"] == "failed").to_numpy()
    if not failed.any():
        return
    labels = {
        row: variant.label
        for rows, variants in variants_by_row(frame)
        for row, variant in zip(rows, variants, strict=True)
    }
    columns = (frame[name] for name in ("run", "failure_class", "failure_attempt", "message"))
    for row, (run, failure, attempt, message) in enumerate(zip(*columns, strict=True)):
        if failed[row]:
            why = f"{failure}, attempt {attempt}: {message}"
            yield str(run), ": ".join(filter(None, (labels.get(row), why)))
