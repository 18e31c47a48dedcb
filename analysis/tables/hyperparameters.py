"""The table of hyperparameters: what all systems share once, what differs in a column per system."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields
from typing import Any

import pandas as pd

from analysis.reading.frame import CONFIG_FIELDS, runs_in_rows
from analysis.reading.plain import rows_by, values_of
from analysis.stats.field_texts import field_texts
from analysis.tables.elements.table import Column, Line, Table, dataset_title
from lvae_core.config import RunConfig
from lvae_core.systems import SYSTEMS

_GROUPS = {f.name: f.metadata["group"] for f in fields(RunConfig)}

_UNREAD = "–"


def hyperparameter_table(frame: pd.DataFrame, dataset: str) -> Table:
    """Show every field that the finished runs of a dataset read; no lines if there is none.

    A field has several values, separated by commas, if runs of a system differ in it. A note names the
    values that only runs without a result have.
    """
    frame = frame[["dataset", "system", "status", *CONFIG_FIELDS]]  # rows of all columns take long to copy
    known = runs_in_rows(frame[(frame["dataset"] == dataset) & frame["encoder"].notna()])
    done = known[known["status"] == "done"]
    of_systems = _of_systems(done)
    systems = [*(s for s in SYSTEMS if s in of_systems), *(s for s in of_systems if s not in SYSTEMS)]
    values = {name: {s: _text(of_systems[s][name]) for s in systems} for name in CONFIG_FIELDS}
    lines: list[Line] = []
    for group in dict.fromkeys(_GROUPS[name] for name in CONFIG_FIELDS):
        of_group = [
            _line(name, values[name])
            for name in CONFIG_FIELDS
            if _GROUPS[name] == group and any(values[name].values())
        ]
        lines += [Line("heading", group), *of_group] if of_group else []
    columns = (Column("all", text=True), *(Column(system, text=True) for system in systems))
    notes: tuple[str, ...] = (
        f"all: the value of every system that reads the field; {_UNREAD}: the system does not read it",
        "values separated by commas: runs of the system differ in the field",
        *_without_result(known[~known["status"].isin(["done", "missing"])], of_systems),
    )
    title = f"Hyperparameters, {dataset_title(dataset)}"
    notes = notes if lines else ()
    return Table(title, columns, tuple(lines), notes, marks=notes)


_Values = dict[str, list[Any]]
"""Field -> the values that runs have of it, each once; none if no run reads it."""


def _of_systems(runs: pd.DataFrame) -> dict[str, _Values]:
    """System -> the values of its runs, systems by name."""
    values = values_of(runs, CONFIG_FIELDS)
    rows = {str(system): found for (system,), found in rows_by(runs, ("system",)).items()}
    return {
        system: {
            name: [value for value in dict.fromkeys(column) if value is not None]
            for name, column in zip(CONFIG_FIELDS, values[rows[system]].T, strict=True)
        }
        for system in sorted(rows)
    }


def _text(values: Iterable[Any]) -> str:
    """Values of a field in one cell of the table."""
    texts = field_texts(values)
    numbers = not any(isinstance(value, str) for value in texts)
    return ", ".join(texts[value] for value in (sorted(texts) if numbers else sorted(texts, key=str)))


def _without_result(others: pd.DataFrame, done: Mapping[str, _Values]) -> Iterator[str]:
    """Say that the table is of finished runs, and name the values that only ``others`` have."""
    if others.empty:
        return
    named: list[str] = []
    for system, tried in _of_systems(others).items():
        if (finished := done.get(system)) is None:
            named.append(f"{system}: all")
            continue
        fields = [
            f"{name}={texts}"
            for name in CONFIG_FIELDS
            if (texts := _text(value for value in tried[name] if value not in finished[name]))
        ]
        named += [f"{system}: {'; '.join(fields)}"] if fields else []
    tried_too = f"; values of failed or unfinished runs alone: {'. '.join(named)}" if named else ""
    yield f"finished runs only{tried_too}"


def _line(name: str, of_systems: dict[str, str]) -> Line:
    distinct = {text for text in of_systems.values() if text}
    if len(distinct) == 1 and ", " not in (common := next(iter(distinct))):
        return Line("ours", name, (common, *(None for _ in of_systems)))
    return Line("ours", name, (None, *(text or _UNREAD for text in of_systems.values())))
