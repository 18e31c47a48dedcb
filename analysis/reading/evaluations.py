"""Choose the evaluation that a cell is shown by: one mean never mixes two evaluations.

A run can be evaluated again with other fields, such as more importance samples. Of the evaluations of a
cell's runs, the one that most runs have is shown; in a tie the one with the larger S, then the one of newer
code. A run that lacks it keeps its row, without estimates.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from analysis.reading.duplicates import identities
from analysis.reading.frame import (
    COLUMNS,
    CONFIG_FIELDS,
    ESTIMATE_COLUMNS,
    EVALUATION_FIELDS,
    dtype_of,
    frame_of,
    table_of,
)
from lvae_core.errors import InputError
from lvae_core.fields.choices import FEWEST_EXACT
from lvae_core.settings import parse_settings

_EVALUATION_COLUMNS = ("evaluation", "evaluation_version", *ESTIMATE_COLUMNS, *EVALUATION_FIELDS)
"""The columns that describe one evaluation, not the run."""

_CELL = ("dataset", "system", "setting", "num_samples")
_SETTINGS = (
    *(name for name in CONFIG_FIELDS if name not in EVALUATION_FIELDS),
    "data_sha256",
    "numerics",
)
"""Fields that make runs of one cell variants, apart from iw_exact_samples if validation reads it."""


def parse_evaluation(settings: Iterable[str]) -> dict[str, Any]:
    """Parse the ``FIELD=VALUE`` settings that say which evaluation is shown.

    Raises:
        InputError: a setting is malformed, or its field is not one of evaluation.
    """
    wanted = parse_settings(settings)
    for name in wanted:
        if name not in EVALUATION_FIELDS:
            raise InputError(
                f"--evaluation {name}=…: not a field of evaluation; give one of "
                f"{', '.join(EVALUATION_FIELDS)}"
            )
    return wanted


def with_every_evaluation(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with a row for each evaluation of each run."""
    more = frame[frame["other_evaluations"].notna()]
    if more.empty:
        return frame
    known = more.astype(object).where(more.notna(), None).to_dict("records")
    unknown = dict.fromkeys(_EVALUATION_COLUMNS)
    rows = [
        {**run, **unknown, **evaluation}
        for run in known
        for evaluation in json.loads(run["other_evaluations"])
    ]
    return pd.concat([frame, frame_of(table_of(rows))], ignore_index=True)


def one_evaluation_per_cell(frame: pd.DataFrame, wanted: Mapping[str, Any]) -> pd.DataFrame:
    """Keep one row per run, of one evaluation in each cell.

    Args:
        frame: a row for each evaluation of each run.
        wanted: field -> value that the evaluation must have if its system reads the field; otherwise the
            most frequent one is taken.

    Raises:
        InputError: some runs read these fields, and none of them has such an evaluation.
    """
    done = frame[frame["status"] == "done"]
    _check_some_run_has(done, wanted)
    run = identities(frame)
    if not wanted and not run[done.index].duplicated().any() and _are_alike(done):
        return frame
    kept = [frame[frame["status"] != "done"]]
    names: Any = [*_CELL, *_SETTINGS, _validation_draws(done)]
    for _, cell in done.groupby(names, dropna=False, sort=False):
        chosen = _choose(cell, run, wanted)
        shown = cell[cell["evaluation"] == chosen]
        others = cell[~run[cell.index].isin(run[shown.index])]
        lacking = others[~run[others.index].duplicated()]
        kept += [shown, _without_evaluation(lacking.copy())]
    return pd.concat(kept).sort_index()


def _check_some_run_has(done: pd.DataFrame, wanted: Mapping[str, Any]) -> None:
    if not wanted:
        return
    reading = done[done["evaluation"].notna() & done[list(wanted)].notna().any(axis="columns")]
    if reading.empty or len(_fitting(reading, wanted)):
        return
    rows = reading[list(wanted)].drop_duplicates().sort_values(list(wanted)).astype(object)
    present = [
        " ".join(f"{name}={value}" for name, value in zip(wanted, row, strict=True) if not pd.isna(value))
        for row in rows.itertuples(index=False)
    ]
    asked = " ".join(f"{name}={value}" for name, value in wanted.items())
    raise InputError(
        f"--evaluation {asked}: no run has such an evaluation; there are {'; '.join(present)}"
        if len(present) > 1
        else f"--evaluation {asked}: no run has such an evaluation; all have {present[0]}"
    )


def _fitting(rows: pd.DataFrame, wanted: Mapping[str, Any]) -> pd.DataFrame:
    """The evaluations whose fields, as far as they are read, have the wanted values."""
    for name, value in wanted.items():
        column: Any = rows[name]
        rows = rows[column.isna() | (column == value).fillna(False)]
    return rows


def _are_alike(done: pd.DataFrame) -> bool:
    """Whether each cell has one evaluation."""
    return bool((done.groupby(list(_CELL), sort=False)["evaluation"].nunique() <= 1).all())


def _validation_draws(done: pd.DataFrame) -> pd.Series:
    """iw_exact_samples of runs whose validation reads it, 0 of others."""
    is_read = (done["valid_samples"] > FEWEST_EXACT).fillna(False)
    return done["iw_exact_samples"].where(is_read, 0).fillna(0).rename("validation_draws")


def _choose(cell: pd.DataFrame, run: pd.Series, wanted: Mapping[str, Any]) -> str | None:
    """The evaluation that a cell is shown by; None if none has the wanted fields."""
    fitting = _fitting(cell, wanted)
    if fitting.empty:
        return None
    having = Counter(zip(fitting["evaluation"], run[fitting.index], strict=True))
    runs = Counter(evaluation for evaluation, _ in having)
    facts = fitting.drop_duplicates("evaluation").set_index("evaluation")
    samples, version = facts["iw_samples"].fillna(0), facts["evaluation_version"]
    return str(max(runs, key=lambda one: (runs[one], samples[one], version[one], one)))


def _without_evaluation(rows: pd.DataFrame) -> pd.DataFrame:
    for name in _EVALUATION_COLUMNS:
        rows[name] = pd.array([pd.NA] * len(rows), dtype=dtype_of(COLUMNS[name]))
    return rows
