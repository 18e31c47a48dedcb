"""The names of a search's trials in reports, and notes on what their numbers may be used for."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from analysis.reading.search_record import SearchRecord
from analysis.reading.sources import study_names
from analysis.stats.cells import Cell, table_order
from lvae_core.fields.choices import Setting
from lvae_core.messages import numbered
from lvae_core.run_folder.search_record import RECIPE
from lvae_core.systems import SYSTEMS, recipe


def name_trials(cells: Sequence[Cell], frame: pd.DataFrame, searches: Sequence[SearchRecord]) -> list[Cell]:
    """Name the cells of a search's trials as the search does, ``trial 3``, and put the recipe first.

    Args:
        cells: all cells; those of other studies stay as they are.
        frame: all runs.
        searches: the records of the studies that are of a search.
    """
    if not searches:
        return list(cells)
    by_study = {search.study: search for search in searches}
    rows = frame[frame["study"].isin(list(by_study)) & (frame["status"] == "done")].set_index("run")
    named = [(cell, _number(cell, rows, by_study)) for cell in cells]
    # In front of trial 0 the recipe, and cells that are of no trial.
    named.sort(key=lambda pair: (table_order(pair[0]), -1 if pair[1] is None else pair[1]))
    return [
        cell
        if number is None or not cell.shown
        else dataclasses.replace(cell, short_name=_name(number), of_search=True)
        for cell, number in named
    ]


def _name(number: int) -> str:
    return RECIPE if number < 0 else f"trial {number}"


def _number(cell: Cell, rows: pd.DataFrame, searches: Mapping[str, SearchRecord]) -> int | None:
    """The number of a cell's trial; -1 for the recipe, None if it is of no search."""
    runs = [run for average in cell.averages.values() for run in average.runs if run in rows.index]
    if not runs:
        return None
    run: Any = rows.loc[runs[0]]
    search = searches[run["study"]]
    values: dict[str, Any] = {name: run[name] for name in search.fields}
    # A field that the run does not read has no value.
    values = {name: None if pd.isna(value) else value for name, value in values.items()}
    usual = _recipe(cell, run["setting"], search) if search.retrained else {}
    if usual and all(value is None or value == usual.get(name) for name, value in values.items()):
        return -1
    return search.number_of(values)


def _recipe(cell: Cell, setting: Setting, search: SearchRecord) -> Mapping[str, Any]:
    """The searched fields of the recipe that a search started from; {} if they are unknown."""
    if search.recipe is not None:
        return search.recipe
    # Earlier versions recorded no recipe, so changes of --set to a searched field are unknown.
    if cell.system not in SYSTEMS:
        return {}
    usual = recipe(cell.system, dataset=cell.dataset, setting=setting)
    return {name: getattr(usual, name) for name in search.fields}


def search_notes(searches: Sequence[SearchRecord]) -> list[str]:
    """Say of each study of a search what its numbers may be used for."""
    return [_retrained(search) if search.retrained else _trials(search) for search in searches]


def _trials(search: SearchRecord) -> str:
    trials = numbered(len(search.points), "trial")
    return (
        f"{study_names([search.study])}: these runs are the {trials} of a search, which "
        "compares them by validation perplexity and has not used their test estimates. To choose a trial "
        "by the numbers below is to choose it by the test split, and makes its number too low: retrain "
        "it on fresh seeds. A trial that is unfinished here was dropped by the search, unless the search "
        "has not ended"
    )


def _retrained(search: SearchRecord) -> str:
    return (
        f"{study_names([search.study])}: these runs retrain the best trials of a search, and the recipe, "
        "on seeds that the search has not seen. Differences between them are trial minus recipe"
    )
