"""Learning curves: the rows of metrics.jsonl of runs as a second tidy frame, read when asked for."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pandas as pd

from analysis.read import one_line
from analysis.studies import Source
from lvae_core.record import DamagedError, RunFolder

_READERS = 32


@dataclass(frozen=True)
class Curves:
    """What metrics.jsonl of several runs says."""

    frame: pd.DataFrame
    """One row a run and epoch. Columns: run, epoch, then whatever a run has written (step, learning_rate,
    train_nll, valid_nll, valid_ppl, …); NA where a run has no such number."""
    problems: tuple[str, ...]
    """One line for each file that cannot be what was written; its run is left out."""


def learning_curves(sources: Sequence[Source], runs: pd.DataFrame) -> Curves:
    """Read the metrics of ``runs``, rows of a frame of runs that was read from ``sources``.

    Beside a result they must be the very ones that it was written with. Runs without metrics have no rows.
    """
    folders = {(source.url, f.name): f for source in sources for f in source.folders}
    wanted = [
        (str(run), folders[study, folder], None if pd.isna(digest) else str(digest))
        for run, study, folder, digest in zip(
            runs["run"], runs["study"], runs["folder"], runs["metrics_sha256"], strict=True
        )
        if (study, folder) in folders
    ]
    remote = any("://" in folder.store.url for _, folder, _ in wanted)
    with ThreadPoolExecutor(_READERS if remote else 1) as pool:
        read = list(pool.map(lambda item: _read(*item[1:]), wanted))
    rows = [
        {"run": run, **row} for (run, _, _), (found, _) in zip(wanted, read, strict=True) for row in found
    ]
    first = ["run", "epoch"]
    frame = pd.DataFrame.from_records(rows) if rows else pd.DataFrame(columns=first)
    frame = frame[[*first, *(name for name in frame.columns if name not in first)]]
    return Curves(frame.convert_dtypes(), tuple(problem for _, problem in read if problem))


def _read(folder: RunFolder, digest: str | None) -> tuple[list[dict[str, Any]], str]:
    try:
        if digest is not None:
            folder.check_metrics(digest)
        rows = folder.read_metrics()
    except (DamagedError, OSError) as error:
        return [], one_line(str(error))
    if any(type(row.get("epoch")) is not int for row in rows):
        return [], f"{folder}/metrics.jsonl: damaged, a row has no epoch"
    return rows, ""
