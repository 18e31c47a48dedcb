"""Keep one copy of a run that lies in several places, and refuse copies with different numbers."""

from __future__ import annotations

from typing import Any

import pandas as pd

from analysis.reading.frame import COUNTS
from lvae_core.errors import InputError
from lvae_core.run_folder.estimates import ESTIMATES

_PREFERENCE = {"done": 0, "running": 1, "failed": 2, "unfinished": 3, "damaged": 4}
"""The copy with the lowest number is kept: the one that knows most of the run."""

_NUMBERS = (*(name for estimate in ESTIMATES for name in (estimate, f"{estimate}_stderr")), *COUNTS)
"""The columns of a result that must be equal in all copies; times may differ."""


def one_copy_of_each(frame: pd.DataFrame) -> pd.DataFrame:
    """Keep one row per run; the order of the studies does not matter.

    Folders of the same training are one run, whatever fingerprints earlier versions gave them.

    Raises:
        InputError: two copies of a finished run differ in a number. The files do not say which is right,
            and averaging both would count one seed twice.
    """
    run = _identities(frame)
    # Nearly always there is nothing to do: skip the sorting.
    if not run.duplicated().any():
        return frame
    # The place of a copy decides only between copies of the same status.
    rank = pd.DataFrame({"status": frame["status"].map(_PREFERENCE), **frame[["study", "folder"]]})
    ranked = frame.loc[rank.sort_values(["status", "study", "folder"], kind="stable").index]
    is_copy = run[ranked.index].duplicated()
    kept, copies = ranked[~is_copy], ranked[is_copy]
    copies = copies[copies["status"] == "done"]
    place_of = pd.Series(kept.index, index=run[kept.index].array)
    beside = kept.loc[place_of[run[copies.index].array]].set_index("run")
    _refuse_differences(beside, copies.set_axis(beside.index))
    return kept.sort_index()


def _identities(frame: pd.DataFrame) -> pd.Series:
    """The training that each row belongs to; the run's name if no row of that name tells."""
    known = {
        run: training
        for run, training in zip(frame["run"], frame["training"], strict=True)
        if not pd.isna(training)
    }
    return pd.Series([known.get(run, run) for run in frame["run"]], frame.index, dtype=object)


def _refuse_differences(kept: pd.DataFrame, copies: pd.DataFrame) -> None:
    """Raise InputError for the first number that differs between the rows of ``kept`` and ``copies``."""
    for name in (*_NUMBERS, "metrics_sha256"):
        a, b = kept[name], copies[name]
        # Positions, not labels: several copies of one run have the same label.
        equal = (a.array == b.array).fillna(False) | (a.isna() & b.isna()).array
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
