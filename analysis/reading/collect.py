"""Run folders -> one tidy frame, a row a run, from any number of studies."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from analysis.reading.cache import Cache
from analysis.reading.frame import frame_of, in_order, table_of
from analysis.reading.run_row import read_run
from analysis.reading.sources import Source
from lvae_core.run_folder.estimates import ESTIMATES
from lvae_core.run_folder.folder import RunFolder

# Of the same run in two studies the one that says most is kept.
_PREFERENCE = {"done": 0, "running": 1, "failed": 2, "unfinished": 3, "damaged": 4}

_REMOTE_READERS = 32

_ROWS_AT_ONCE = 2_000

Advance = Callable[[int, int], None]


@dataclass(frozen=True)
class Runs:
    """What was found."""

    frame: pd.DataFrame
    """One row a run, sorted by what its name says; see analysis/reading/frame.py for the columns."""
    studies: tuple[str, ...]
    problems: tuple[str, ...]
    """One line for each file that cannot be what was written."""
    duplicates: int
    """Runs left out because the same run is there once more."""


def collect(sources: Sequence[Source], advance: Advance | None = None, cache: Cache | None = None) -> Runs:
    """Read all runs of ``sources``.

    Args:
        sources: the same place twice is read once.
        advance: is told ``(read, total)`` as it goes.
        cache: what was read before and has not changed is taken from it; None: every file is read.
    """
    distinct = {source.url: source for source in sources}
    total = sum(len(source.folders) for source in distinct.values())
    problems: list[str] = []
    tables: list[pa.Table] = []
    done = 0
    for source in distinct.values():
        before = done

        def tell(read: int, before: int = before) -> None:
            if advance:
                advance(before + read, total)

        table, complaints = _read_source(source, cache, tell)
        tables.append(table.set_column(0, "study", pa.repeat(pa.scalar(source.url), len(table))))
        problems += complaints
        done += len(source.folders)
    frame = frame_of(pa.concat_tables(tables) if tables else table_of([]))
    kept, conflicts = _once(frame)
    return Runs(in_order(kept), tuple(distinct), (*problems, *conflicts), len(frame) - len(kept))


def _read_source(
    source: Source, cache: Cache | None, tell: Callable[[int], None]
) -> tuple[pa.Table, list[str]]:
    """The rows of a source in the order of its folders, and a line for each damaged file."""
    known = cache.open(source) if cache else None
    to_read = known.unknown if known else list(source.folders)
    before = len(source.folders) - len(to_read)
    if before:
        tell(before)
    problems: list[str] = []
    sound: list[bool] = []
    tables: list[pa.Table] = []
    rows: list[dict[str, Any]] = []
    for row, complaints in _read_all(to_read):
        rows.append(row)
        problems += complaints
        sound.append(not complaints)
        if len(rows) == _ROWS_AT_ONCE:
            tables.append(table_of(rows))
            rows = []
        tell(before + len(sound))
    read = pa.concat_tables([*tables, table_of(rows)])
    return (known.add(read, sound) if known else read), problems


def _read_all(folders: Sequence[RunFolder]) -> Iterator[tuple[dict[str, Any], list[str]]]:
    if not any("://" in folder.store.url for folder in folders):
        # From a local disk one thread is the fastest: the time goes into parsing, not waiting.
        yield from map(read_run, folders)
        return
    with ThreadPoolExecutor(_REMOTE_READERS) as pool:
        yield from pool.map(read_run, folders)


def _once(frame: pd.DataFrame) -> tuple[pd.DataFrame, Iterable[str]]:
    """The frame with every run once, and a line for each that has other numbers elsewhere."""
    if not frame["run"].duplicated().any():
        return frame, ()
    ranked = frame.iloc[np.argsort(frame["status"].map(_PREFERENCE).to_numpy(), kind="stable")]
    again = ranked["run"].duplicated().to_numpy()
    kept, others = ranked[~again], ranked[again]
    others = others[others["status"] == "done"]
    beside = kept.set_index("run").loc[others["run"]].reset_index()
    names = list(ESTIMATES)
    mine, theirs = (f[names].to_numpy(np.float64, na_value=np.nan) for f in (others, beside))
    differ = ~((mine == theirs) | (np.isnan(mine) & np.isnan(theirs))).all(axis=1)
    conflicts = [
        f"{run}: its numbers in {there} are not those in {here}; the latter are used"
        for run, there, here, differs in zip(
            others["run"], others["study"], beside["study"], differ, strict=True
        )
        if differs
    ]
    return kept.sort_index(), conflicts
