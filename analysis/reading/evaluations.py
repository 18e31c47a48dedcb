"""Choose the evaluation that a cell is shown by: one mean never mixes two evaluations.

A run can be evaluated again with other fields, such as more importance samples. Of the evaluations of a
cell's runs, the one that most runs have is shown; in a tie the one with the larger S, then the one of newer
code. A run that lacks it keeps its row, without estimates. An evaluation with other values of fields that
training reads, too, such as ``svi_steps``, is one of another system, and is shown only if it is asked for.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.reading.chosen_fields import parse_chosen
from analysis.reading.duplicates import identities
from analysis.reading.frame import (
    CONFIG_FIELDS,
    ESTIMATE_COLUMNS,
    EVALUATION_FIELDS,
    READ_BY_ESTIMATES,
    SHARED_FIELDS,
    frame_of,
    table_of,
)
from analysis.reading.plain import values_of
from lvae_core.errors import InputError
from lvae_core.identity import canonical_json
from lvae_core.rough_scoring import may_validate_roughly

_ABOUT = ("evaluation", "evaluation_version", "evaluated_with")

_EVALUATION_COLUMNS = (*_ABOUT, *ESTIMATE_COLUMNS, *EVALUATION_FIELDS)
"""The columns that describe one evaluation, not the run."""

_FACTS = (*_ABOUT, *READ_BY_ESTIMATES)
"""Those by which one is chosen."""

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
        InputError: a setting is malformed, its field is not one of evaluation, or it is given twice.
    """
    wanted = parse_chosen(settings, "--evaluation")
    for name in wanted:
        if name not in READ_BY_ESTIMATES:
            raise InputError(
                f"--evaluation {name}=…: not a field of evaluation; give one of "
                f"{', '.join(READ_BY_ESTIMATES)}"
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
    is_done = (frame["status"] == "done").to_numpy(bool)
    done = frame[is_done]
    read = _as_evaluated(done)
    _check_some_run_has(read, wanted)
    run = identities(frame)[is_done].to_numpy(object)
    has_others = len(set(run)) < len(run) or done["other_evaluations"].notna().any()
    if not wanted and not has_others and _are_alike(done):
        return frame
    # All on plain values: taking the rows of a frame of so many columns, cell by cell, takes far longer.
    found = _Evaluations(run, values_of(read, _FACTS), _fits(read, wanted), wanted)
    position = np.flatnonzero(is_done).tolist()
    kept = np.flatnonzero(~is_done).tolist()
    lacking: list[int] = []
    hidden: dict[int, str] = {}
    for rows in _cells(done):
        chosen = found.choose(rows)
        of_runs: dict[str, list[int]] = {}
        for row in rows:
            of_runs.setdefault(run[row], []).append(row)
        for of_run in of_runs.values():
            shown = next((row for row in of_run if found.ids[row] == chosen), None)
            here = position[of_run[0] if shown is None else shown]
            kept.append(here)
            lacking += [here] if shown is None else []
            if other := found.differences([row for row in of_run if row != shown], chosen):
                hidden[here] = canonical_json(other)
    others = pd.Series(pd.NA, frame.index, dtype=frame["other_evaluations"].dtype)
    others.iloc[list(hidden)] = list(hidden.values())
    without = np.zeros(len(frame), bool)
    without[lacking] = True
    places = sorted(kept)
    frame = frame.assign(other_evaluations=others).iloc[places]
    return _without_evaluation(frame, without[places])


def _as_evaluated(done: pd.DataFrame) -> pd.DataFrame:
    """The evaluations with the values that they read of fields that training reads, too."""
    others = done["evaluated_with"].dropna()
    if others.empty:
        return done
    read = done.astype(dict.fromkeys(SHARED_FIELDS, object))
    read[list(SHARED_FIELDS)] = read[list(SHARED_FIELDS)].where(read[list(SHARED_FIELDS)].notna(), None)
    for row, text in others.items():
        for name, value in json.loads(text).items():
            read.at[row, name] = value
    return read


def _check_some_run_has(done: pd.DataFrame, wanted: Mapping[str, Any]) -> None:
    if not wanted:
        return
    reading = done[done["evaluation"].notna() & done[list(wanted)].notna().any(axis="columns")]
    if reading.empty or _fits(reading, wanted).any():
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


def _fits(rows: pd.DataFrame, wanted: Mapping[str, Any]) -> NDArray[np.bool_]:
    """Of each evaluation, whether its fields, as far as they are read, have the wanted values."""
    fits = np.ones(len(rows), bool)
    for name, value in wanted.items():
        column: Any = rows[name]
        fits &= (column.isna() | (column == value).fillna(False)).to_numpy(bool)
    return fits


def _are_alike(done: pd.DataFrame) -> bool:
    """Whether each cell has one evaluation."""
    return bool((done.groupby(list(_CELL), sort=False)["evaluation"].nunique() <= 1).all())


def _validation_draws(done: pd.DataFrame) -> pd.Series:
    """iw_exact_samples of runs whose validation reads it, 0 of others."""
    is_read = may_validate_roughly(done["valid_samples"]).fillna(False)
    return done["iw_exact_samples"].where(is_read, 0).fillna(0).rename("validation_draws")


def _cells(done: pd.DataFrame) -> Iterable[list[int]]:
    """The positions of the evaluations of each variant of each cell."""
    settings = values_of(done, (*_CELL, *_SETTINGS))
    rows: dict[Any, list[int]] = defaultdict(list)
    for row, (draws, of_run) in enumerate(zip(_validation_draws(done), settings, strict=True)):
        rows[draws, *of_run].append(row)
    return rows.values()


class _Evaluations:
    """All evaluations of finished runs."""

    def __init__(
        self,
        run: NDArray[np.object_],
        facts: NDArray[np.object_],
        fits: NDArray[np.bool_],
        wanted: Mapping[str, Any],
    ) -> None:
        """Each of the arrays has a value, or the values of ``_FACTS``, for each evaluation."""
        self._run, self._fits, self._wanted = run, fits, wanted
        self._facts = [dict(zip(_FACTS, row, strict=True)) for row in facts]
        self._by_id = {fact["evaluation"]: fact for fact in self._facts}
        self.ids: list[str | None] = [fact["evaluation"] for fact in self._facts]

    def choose(self, rows: Sequence[int]) -> str | None:
        """The evaluation that a cell is shown by; None if none has the wanted fields."""
        fitting = [row for row in rows if self._fits[row] and self._may_be_shown(row)]
        runs = Counter(evaluation for evaluation, _ in {(self.ids[row], self._run[row]) for row in fitting})

        def rank(evaluation: str | None) -> tuple[Any, ...]:
            fact = self._by_id[evaluation]
            return runs[evaluation], fact["iw_samples"] or 0, fact["evaluation_version"], evaluation

        return max(runs, key=rank, default=None)

    def _may_be_shown(self, row: int) -> bool:
        is_of_the_trained = self._facts[row]["evaluated_with"] is None
        return is_of_the_trained or not self._wanted.keys().isdisjoint(SHARED_FIELDS)

    def differences(self, rows: Sequence[int], chosen: str | None) -> list[dict[str, Any]]:
        """The fields in which evaluations differ from the one that their cell is shown by.

        If it is shown by none, they differ from what was wanted.
        """
        shown = self._by_id.get(chosen, self._wanted)
        differing = [
            {
                name: value
                for name in READ_BY_ESTIMATES
                if name in shown and (value := self._facts[row][name]) is not None and value != shown[name]
            }
            for row in rows
        ]
        return [fields for fields in differing if fields]


def _without_evaluation(frame: pd.DataFrame, rows: NDArray[np.bool_]) -> pd.DataFrame:
    """The frame with nothing known of the evaluation of some rows."""
    if not rows.any():
        return frame
    unknown = {name: frame[name].mask(rows) for name in _EVALUATION_COLUMNS}
    return frame.assign(**unknown)
