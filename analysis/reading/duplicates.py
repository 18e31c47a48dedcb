"""Keep one copy of a run that lies in several places, and refuse copies with different numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from analysis.reading.frame import ADDED_COLUMNS, COUNTS, ESTIMATE_COLUMNS
from lvae_core.errors import InputError

_PREFERENCE = {"done": 0, "running": 1, "failed": 2, "unfinished": 3, "damaged": 4}
"""The copy with the lowest number is kept: the one that knows the most about the run."""

_OF_TRAINING = (*COUNTS, "metrics_sha256")
_OF_EVALUATION = ESTIMATE_COLUMNS
"""The columns that must be equal in all copies of a run and of one of its evaluations; times may differ."""


def one_copy_of_each(frame: pd.DataFrame) -> pd.DataFrame:
    """Keep one row per run and evaluation; the order of the studies does not matter.

    Folders of the same training are one run, even if earlier versions gave them other fingerprints.

    Args:
        frame: a row for each evaluation of each run.

    Raises:
        InputError: two copies of a finished run differ in a number. The files do not say which is right,
            and averaging both would count one seed twice.
    """
    run = identities(frame)
    # Nearly always there is nothing to do: skip the sorting.
    if not run.duplicated().any():
        return frame
    # The place of a copy decides only between copies of the same status.
    rank = pd.DataFrame({"status": frame["status"].map(_PREFERENCE), **frame[["study", "folder"]]})
    ranked = frame.loc[rank.sort_values(["status", "study", "folder"], kind="stable").index]
    finished = set(run[frame.index[frame["status"] == "done"]])
    ranked = ranked[(ranked["status"] == "done") | ~run[ranked.index].isin(finished)]
    is_later = run[ranked.index].duplicated()
    first, later = ranked[~is_later], ranked[is_later & (ranked["status"] == "done")]
    _refuse_differences(*_pairs(first, later, run), _OF_TRAINING)
    evaluation = run + frame["evaluation"].fillna("").astype(object)
    is_copy = evaluation[ranked.index].duplicated()
    kept, copies = ranked[~is_copy], ranked[is_copy]
    copies = copies[copies["status"] == "done"]
    _refuse_differences(*_pairs(kept, copies, evaluation), _OF_EVALUATION)
    return kept.sort_index()


def _pairs(kept: pd.DataFrame, copies: pd.DataFrame, key: pd.Series) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Pair each row of ``copies`` with the row of ``kept`` of the same key, both labelled by the run."""
    position = pd.Series(kept.index, index=key[kept.index].array)
    beside = kept.loc[position[key[copies.index].array]].set_index("run")
    return beside, copies.set_axis(beside.index)


def identities(frame: pd.DataFrame) -> pd.Series:
    """The training that each row belongs to; the run's name if no row of that name says it."""
    known = {
        run: training
        for run, training in zip(frame["run"], frame["training"], strict=True)
        if not pd.isna(training)
    }
    return pd.Series([known.get(run, run) for run in frame["run"]], frame.index, dtype=object)


def _refuse_differences(kept: pd.DataFrame, copies: pd.DataFrame, names: Sequence[str]) -> None:
    """Raise InputError for the first of these columns that differs between ``kept`` and ``copies``."""
    for name in names:
        a: Any = kept[name]
        b: Any = copies[name]
        # Positions, not labels: several copies of one run have the same label.
        equal = (a.array == b.array).fillna(False) | (a.isna() & b.isna()).array
        if name in ADDED_COLUMNS:
            equal |= (a.isna() | b.isna()).array
        if equal.all():
            continue
        row = int((~equal).argmax())
        (value, place), (other, other_place) = (
            (frame[name].iloc[row], _place(frame.iloc[row])) for frame in (kept, copies)
        )
        difference = f"{name} is {_text(value)} in {place}, but {_text(other)} in {other_place}"
        if name == "metrics_sha256":
            difference = f"the learning curves in {place} and {other_place} differ"
        raise InputError(f"{kept.index[row]}: {difference}; leave one of the two out")


def _text(value: Any) -> str:
    return "missing" if pd.isna(value) else str(value)


def _place(run: pd.Series) -> str:
    # A single run that was given by its own path is its own "study".
    study, folder = str(run["study"]), str(run["folder"])
    return study if study.endswith(f"/{folder}") else f"{study}/{folder}"
