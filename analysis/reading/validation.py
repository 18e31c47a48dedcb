"""Read the validation perplexities of runs, by which rows are chosen without a look at the test split."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from analysis.reading.learning_curves import run_curve
from lvae_core.run_folder.folder import open_study


def lowest_perplexities(frame: pd.DataFrame, runs: Sequence[str]) -> dict[str, float]:
    """Name of a run -> its lowest validation perplexity; runs that recorded none are missing.

    Args:
        frame: all runs.
        runs: the names of those to read, one file each.
    """
    wanted = frame[(frame["status"] == "done") & frame["run"].isin(list(runs))]
    studies = {url: open_study(url, create=False) for url in wanted["study"].unique()}
    found = {}
    columns = ("run", "study", "folder", "metrics_sha256")
    for run, study, folder, digest in zip(*(wanted[name] for name in columns), strict=True):
        curve, _ = run_curve(run, studies[study].run(folder), None if pd.isna(digest) else digest)
        recorded = [point["valid_ppl"] for point in curve if isinstance(point.get("valid_ppl"), float)]
        if recorded:
            found[str(run)] = min(recorded)
    return found
