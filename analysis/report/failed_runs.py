"""List the failed runs: each with what tells it from others of its cell, and why it failed."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from analysis.stats.variants import variant_labels


def failed_runs(frame: pd.DataFrame) -> Iterator[tuple[str, str]]:
    """The name of each failed run, and in one line the values of its variant and why it failed.

    The name has a hash in place of the values: ``learning_rate=1e+30: diverged, attempt 1: …``.
    """
    failed = frame["status"] == "failed"
    variants: dict[object, str] = {}
    for _, runs in frame.groupby(["dataset", "system", "num_samples"], sort=False):
        if failed[runs.index].any():
            labels = (variant.label for variant in variant_labels(runs))
            variants.update(zip(runs.index, labels, strict=True))
    for run in frame[failed].itertuples():
        why = f"{run.failure_class}, attempt {run.failure_attempt}: {run.message}"
        yield str(run.run), ": ".join(filter(None, (variants.get(run.Index), why)))
