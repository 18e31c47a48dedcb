"""Keep one copy of a run that lies in several places, and refuse copies with different numbers."""

from __future__ import annotations

from collections.abc import Iterator
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
    """Keep one row per run, the same one whatever the order of the studies.

    Raises:
        InputError: two copies of a finished run have different numbers. Which of them is right cannot be
        told
            from the files, and averaging them would count one seed twice.
    """
    if not frame["run"].duplicated().any():
        return frame
    # Where a copy lies decides only between copies of the same status.
    rank = pd.DataFrame({"status": frame["status"].map(_PREFERENCE), **frame[["study", "folder"]]})
    ranked = frame.loc[rank.sort_values(["status", "study", "folder"], kind="stable").index]
    is_copy = ranked["run"].duplicated()
    kept, copies = ranked[~is_copy], ranked[is_copy]
    first = kept.set_index("run")
    for _, copy in copies[copies["status"] == "done"].iterrows():
        for difference in _differences(first.loc[copy["run"]], copy):
            raise InputError(f"{copy['run']}: {difference}; leave one of the two out")
    return kept.sort_index()


def _differences(kept: pd.Series, copy: pd.Series) -> Iterator[str]:
    for name in _NUMBERS:
        if not _equal(kept[name], copy[name]):
            yield (
                f"{name} is {_text(kept[name])} in {_place(kept)}, "
                f"but {_text(copy[name])} in {_place(copy)}"
            )
    if not _equal(kept["metrics_sha256"], copy["metrics_sha256"]):
        yield f"the learning curves in {_place(kept)} and {_place(copy)} differ"


def _equal(a: Any, b: Any) -> bool:
    return bool(a == b) if pd.notna(a) and pd.notna(b) else bool(pd.isna(a) and pd.isna(b))


def _text(value: Any) -> str:
    return "missing" if pd.isna(value) else str(value)


def _place(run: pd.Series) -> str:
    # A single run that was given by its own path is its own "study".
    study, folder = str(run["study"]), str(run["folder"])
    return study if study.endswith(f"/{folder}") else f"{study}/{folder}"
