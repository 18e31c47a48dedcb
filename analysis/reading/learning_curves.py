"""Read learning curves, the rows of metrics.jsonl, into a second tidy frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from analysis.reading.run_row import one_line
from analysis.reading.sources import REMOTE_READERS, Source
from lvae_core.run_folder.folder import DamagedError, RunFolder
from lvae_core.storage.parallel import read_each

_ROWS_AT_ONCE = 50_000
"""Rows that are held as Python objects before they become columns, which take a tenth of the memory."""

_Wanted = tuple[str, RunFolder, str | None]
"""Name of a run, its folder, and the digest of its metrics in its result."""


@dataclass(frozen=True)
class Curves:
    """The learning curves of several runs."""

    frame: pd.DataFrame
    """One row per run and epoch. Columns: run, epoch, then everything that any run recorded (step,
    learning_rate, train_nll, valid_nll, valid_ppl, …); NA if a run did not record it."""
    problems: tuple[str, ...]
    """One line for each damaged file; its run is left out."""


def learning_curves(sources: Sequence[Source], runs: pd.DataFrame) -> Curves:
    """Read the metrics of ``runs``, which are rows of a frame that was read from ``sources``.

    The metrics of a finished run must have the digest that its result names. Runs without metrics have no
    rows.
    """
    folders = {(source.url, f.name): f for source in sources for f in source.folders}
    wanted = [
        (str(run), folders[study, folder], None if pd.isna(digest) else str(digest))
        for run, study, folder, digest in zip(
            runs["run"], runs["study"], runs["folder"], runs["metrics_sha256"], strict=True
        )
        if (study, folder) in folders
    ]
    frames: list[pd.DataFrame] = []
    rows: list[dict[str, Any]] = []
    problems: list[str] = []
    # One remote source is reason enough for several threads.
    url = max((source.url for source in sources), key=lambda url: "://" in url, default="")
    for found, problem in read_each(url, lambda run: run_curve(*run), wanted, readers=REMOTE_READERS):
        rows += found
        problems += [problem] if problem else []
        if len(rows) >= _ROWS_AT_ONCE:
            frames.append(_frame(rows))
            rows = []
    frames += [_frame(rows)] if rows or not frames else []
    frame = pd.concat(frames, ignore_index=True)
    first = ["run", "epoch"]
    return Curves(frame[[*first, *(name for name in frame.columns if name not in first)]], tuple(problems))


def run_curve(run: str, folder: RunFolder, digest: str | None) -> tuple[list[dict[str, Any]], str]:
    """The rows of one run's metrics, and a line if they are damaged.

    Args:
        run: its name, which each row gets.
        folder: its folder.
        digest: of its metrics, as its result names it; None if it names none.
    """
    try:
        rows = folder.read_metrics(digest)
    except (DamagedError, OSError) as error:
        return [], one_line(str(error))
    # The epoch is the x axis of every curve; True would pass as an int.
    if any(type(row.get("epoch")) is not int for row in rows):
        return [], f"{folder}/metrics.jsonl: damaged, a row has no epoch"
    return [{"run": run, **row} for row in rows], ""


def _frame(rows: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """Turn rows into columns."""
    frame = pd.DataFrame.from_records(rows) if rows else pd.DataFrame(columns=["run", "epoch"])
    return frame.convert_dtypes()
