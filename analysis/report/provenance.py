"""What the runs were made by, from and at what cost."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from analysis.reading.collect import Runs
from analysis.reading.frame import STATUSES
from analysis.tables.table import dataset_title


def facts(runs: Runs, frame: pd.DataFrame) -> Iterable[str]:
    """Short lines for the head of a report; ``frame`` has the missing runs as well."""
    counts = frame["status"].value_counts()
    by_status = ", ".join(f"{counts[status]} {status}" for status in STATUSES if status in counts)
    yield f"runs: {len(runs.frame)} ({by_status})"
    if "running" in counts:
        yield "running: so says a claim in the run folder; a process that dies at once leaves it behind"
    if "missing" in counts:
        yield "missing: seeds that half or more of the cells of their study have"
    if runs.duplicates:
        yield f"the same run counts once, wherever it lies: {runs.duplicates} left out"
    for name, values in makings(frame):
        yield f"{name}: " + "; ".join(f"{value} ({count} runs)" for value, count in values)
    done = frame[frame["status"] == "done"]
    seconds = done[["train_seconds", "evaluate_seconds"]].sum(axis=1).groupby(done["dataset"]).sum()
    if len(seconds):
        unit, size = ("hours", 3600) if seconds.sum() >= 3600 else ("minutes", 60)
        parts = ", ".join(f"{dataset_title(str(name))} {s / size:.3g}" for name, s in seconds.items())
        total = f"{seconds.sum() / size:.3g} device-{unit}"
        yield f"cost: {total} in {len(done)} finished runs ({parts})"


def makings(frame: pd.DataFrame) -> Iterable[tuple[str, list[tuple[str, int]]]]:
    """What was noted of how runs came about: its name, and each value with the number of runs."""
    commits = frame["commit"].str[:10] + frame["dirty"].map({True: " + changes"}).fillna("")
    data = frame["dataset"] + " " + frame["data_sha256"].str[:16]
    noted = frame["numerics"].where(frame["numerics"] != "current")
    for name, column in [
        ("commit", commits),
        ("versions", frame["versions"]),
        ("device", frame["device"]),
        ("data (SHA-256)", data),
        ("another version of the numerics", noted),
    ]:
        found = column[frame["status"] != "missing"].value_counts()
        if len(found):
            yield name, [(str(value), int(count)) for value, count in found.items()]
