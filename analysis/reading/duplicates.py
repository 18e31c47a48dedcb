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

    Raises:
        InputError: two copies of a finished run differ in a number. The files do not say which is right,
            and averaging both would count one seed twice.
    """
    # Nearly always there is nothing to do: skip the sorting.
    if not frame["run"].duplicated().any():
        return frame
    # The place of a copy decides only between copies of the same status.
    rank = pd.DataFrame({"status": frame["status"].map(_PREFERENCE), **frame[["study", "folder"]]})
    ranked = frame.loc[rank.sort_values(["status", "study", "folder"], kind="stable").index]
    is_copy = ranked["run"].duplicated()
    kept, copies = ranked[~is_copy], ranked[is_copy]
    copies = copies[copies["status"] == "done"].set_index("run")
    _refuse_differences(kept.set_index("run").loc[copies.index], copies)
    return kept.sort_index()


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
