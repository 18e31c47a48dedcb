"""Provenance of the runs: the code, versions, devices and data that made them, and their cost."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence

import pandas as pd

from analysis.reading.collect import Runs
from analysis.reading.frame import READ_BY_ESTIMATES, STATUSES
from analysis.reading.sources import study_names
from analysis.report.unfinished_launches import unfinished_launches
from analysis.stats.cells import Cell
from analysis.stats.declared import declaration_note, declared_for
from analysis.stats.field_texts import field_text
from analysis.tables.costs import Unit, amount_text, unit_of, unit_of_table
from analysis.tables.elements.table import dataset_title
from lvae_core.messages import command_line, numbered


def facts(
    runs: Runs, frame: pd.DataFrame, cells: Sequence[Cell], units: Mapping[str, Unit] | None = None
) -> Iterable[str]:
    """Short lines for the head of a report.

    Args:
        runs: the runs.
        frame: the runs, missing ones included.
        cells: the cells of ``frame``.
        units: the unit of each dataset's cost; None: those of a page of these runs alone.
    """
    counts = frame["status"].value_counts()
    present = [status for status in STATUSES if status in counts and status != "missing"]
    by_status = ", ".join(f"{counts[status]} {status}" for status in present)
    # A launch that has not ended knows what is missing, and the findings say it.
    missing = 0 if any(unfinished_launches(runs)) else counts.get("missing", 0)
    without = f", and {missing} missing" if missing else ""
    yield f"runs: {len(runs.frame)} ({by_status}){without}"
    if "running" in counts:
        yield "running: a process works on the run, or one of another machine did and cannot be seen"
    if missing:
        yield "missing: a seed that at least half of the dataset's cells have, and a cell has not"
    if runs.duplicates:
        yield (
            f"a run in several places counts once: {runs.duplicates} left out (copied, or trained again "
            "with the same numbers)"
        )
    if runs.left_out:
        names = study_names(runs.left_out)
        yield (
            f"left out of the merge: the trials of {'a search' if len(runs.left_out) == 1 else 'searches'} "
            f"({names}), which were chosen by the seed that they ran with; to see them: "
            f"{command_line('python', 'analysis/summarize.py', runs.left_out[0])}"
        )
    yield from _other_evaluations(frame)
    yield from _declarations(runs, [cell.counts.done for cell in cells])
    for name, values in origins(frame):
        yield f"{name}: " + "; ".join(f"{value} ({numbered(count, 'run')})" for value, count in values)
    done = frame[frame["status"] == "done"]
    hours = _hours(frame)
    if hours:
        total, parts = _cost(hours, units or cost_units([frame], cells))
        uncounted = [
            *(["those left out"] if runs.duplicates else []),
            *(["unfinished and failed runs"] if len(done) < len(runs.frame) else []),
        ]
        shown = numbered(len(done), "finished run")
        without = f"; without {' and '.join(uncounted)}" if uncounted else ""
        yield f"cost: {total} in the {shown} shown ({parts}){without}"


def cost_units(frames: Sequence[pd.DataFrame], cells: Sequence[Cell]) -> dict[str, Unit]:
    """Dataset -> the one unit of its costs on a page.

    Args:
        frames: the runs of each study on the page.
        cells: the cells of all of them.
    """
    spent = [_hours(frame) for frame in frames]
    return {
        name: unit_of_table(cells, name)
        # The runs of a dataset without a table, such as autoencoders alone.
        if any(cell.dataset == name and cell.hours and cell.shown for cell in cells)
        else unit_of(max(of_study.get(name, 0.0) for of_study in spent))
        for name in dict.fromkeys(name for of_study in spent for name in of_study)
    }


def _hours(frame: pd.DataFrame) -> dict[str, float]:
    """The device-hours of each dataset's finished runs, if any of them recorded its times."""
    done = frame[frame["status"] == "done"]
    seconds = done[["train_seconds", "evaluate_seconds"]].sum(axis=1, min_count=1)
    spent = seconds.groupby(done["dataset"]).sum(min_count=1).dropna()
    return {str(name): float(total) / 3600 for name, total in spent.items()}


def _cost(hours: Mapping[str, float], units: Mapping[str, Unit]) -> tuple[str, str]:
    """The device time in all and of each dataset, in the largest unit of the page."""
    unit, per_hour = min((units[name] for name in hours), key=lambda unit: unit[1])
    parts = [f"{dataset_title(name)} {amount_text(spent * per_hour)}" for name, spent in hours.items()]
    return f"{amount_text(sum(hours.values()) * per_hour)} device-{unit}", ", ".join(parts)


def _other_evaluations(frame: pd.DataFrame) -> Iterable[str]:
    """That runs have evaluations which are not shown, and how to see one of them."""
    having = frame["other_evaluations"].dropna()
    settings = dict.fromkeys(
        " ".join(f"{name}={field_text(found[name])}" for name in READ_BY_ESTIMATES if name in found)
        for of_run in having
        for found in json.loads(of_run)
    )
    if settings:
        number = numbered(len(having), "run", "has")
        yield f"other evaluations: {number} some, to be seen with --evaluation {' or '.join(settings)}"


def _declarations(runs: Runs, seeds: Sequence[int]) -> Iterable[str]:
    """The declared numbers of seeds; ``seeds``: the number of each cell."""
    if declared := declared_for(runs):
        yield f"seeds: {declaration_note(declared, seeds)}"
        return
    for study, other in runs.declared:
        yield f"seeds: {study_names([study])} has {other.words}; not all studies here have this number"


def origins(frame: pd.DataFrame) -> Iterable[tuple[str, list[tuple[str, int]]]]:
    """Each kind of origin that runs recorded, and each of its values with its number of runs."""
    commits = frame["commit"].str[:10] + frame["dirty"].map({True: " + changes"}).fillna("")
    data = frame["dataset"] + " " + frame["data_sha256"].str[:16]
    other_numerics = frame["numerics"].where(frame["numerics"] != "current")
    for name, column in [
        ("commit", commits),
        ("versions", frame["versions"]),
        ("device", frame["device"]),
        ("data (SHA-256)", data),
        ("another version of the numerics", other_numerics),
    ]:
        found = column[frame["status"] != "missing"].value_counts()
        if len(found):
            yield name, [(str(value), int(count)) for value, count in found.items()]
