"""Read the validation perplexities of runs, by which rows are chosen without a look at the test split."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from analysis.reading.learning_curves import run_curve
from lvae_core.run_folder.study import Study, open_study
from lvae_core.storage.parallel import read_each


def lowest_perplexities(frame: pd.DataFrame, runs: Sequence[str]) -> dict[str, float]:
    """Name of a run -> its lowest validation perplexity; runs that recorded none are missing.

    Args:
        frame: all runs.
        runs: the names of those to read, one file each.
    """
    wanted = frame[(frame["status"] == "done") & frame["run"].isin(list(runs))]
    found: dict[str, float] = {}
    for url, of_study in wanted.groupby("study", sort=False):
        study = open_study(str(url), create=False)
        names = list(zip(*(of_study[name] for name in ("run", "folder", "metrics_sha256")), strict=True))

        def lowest(name: tuple[str, str, str], study: Study = study) -> float | None:
            run, folder, digest = name
            curve, _ = run_curve(run, study.run(folder), None if pd.isna(digest) else digest)
            recorded = (point.get("valid_ppl") for point in curve)
            return min((ppl for ppl in recorded if isinstance(ppl, float)), default=None)

        for (run, *_), ppl in zip(names, read_each(study.url, lowest, names), strict=True):
            if ppl is not None:
                found[str(run)] = ppl
    return found
