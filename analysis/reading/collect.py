"""Read run folders of any number of studies into one tidy frame, one row per run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import pandas as pd
import pyarrow as pa

from analysis.reading.cache import Cache
from analysis.reading.duplicates import one_copy_of_each
from analysis.reading.evaluations import one_evaluation_per_cell, with_every_evaluation
from analysis.reading.frame import frame_of, in_order, table_of
from analysis.reading.run_row import read_run
from analysis.reading.search_record import SearchRecord, read_search
from analysis.reading.sources import REMOTE_READERS, Source, check_merge
from lvae_core.errors import cannot_read
from lvae_core.run_folder.declared_seeds import DeclaredSeeds, read_declared_seeds
from lvae_core.run_folder.folder import DamagedError
from lvae_core.run_folder.planned_runs import read_planned_runs
from lvae_core.run_folder.study import open_study
from lvae_core.storage.parallel import read_each

_ROWS_AT_ONCE = 2_000
"""Rows that are held as Python objects before they become columns, which take a tenth of the memory."""

Advance = Callable[[int, int], None]
Record = TypeVar("Record")


@dataclass(frozen=True)
class Runs:
    """The runs of one or more studies."""

    frame: pd.DataFrame
    """One row per run, sorted by name; see analysis/reading/frame.py for the columns."""
    studies: tuple[str, ...]
    problems: tuple[str, ...]
    """One line for each damaged file."""
    duplicates: int
    """Number of copies of runs that were left out."""
    declared: tuple[tuple[str, DeclaredSeeds], ...] = ()
    """Study and declared number of seeds, of those studies that have declared one."""
    planned: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """Study and names of the runs of its last launch, of those studies whose last launch has not ended."""
    searches: tuple[SearchRecord, ...] = ()
    """The records of those studies that a search has made."""
    left_out: tuple[str, ...] = ()
    """Studies with the trials of a search, which a merge of all studies leaves out."""

    @property
    def datasets(self) -> tuple[str, ...]:
        """The datasets that there are runs of."""
        return tuple(self.frame["dataset"].dropna().unique())


def collect(
    sources: Sequence[Source],
    advance: Advance | None = None,
    cache: Cache | None = None,
    evaluation: Mapping[str, Any] | None = None,
) -> Runs:
    """Read all runs of ``sources``; a run in several places counts once.

    Args:
        sources: the places to read; one that is given twice is read once.
        advance: called with ``(read, total)`` after each run.
        cache: runs that have not changed since they were cached are taken from it; None reads every file.
        evaluation: field -> value of the evaluation that is shown; see analysis/reading/evaluations.py.

    Raises:
        InputError: trials of a search are to be merged with other runs, a run is in two places with
            different numbers, no run has the wanted evaluation, or a storage cannot be reached.
    """
    # A study that is given twice is one source.
    distinct = {source.url: source for source in sources}
    check_merge(list(distinct.values()))
    total = sum(len(source.folders) for source in distinct.values())
    problems: list[str] = []
    tables: list[pa.Table] = []
    done = 0
    for source in distinct.values():
        before = done

        def report(read: int, before: int = before) -> None:
            if advance:
                advance(before + read, total)

        table, damaged = _read_source(source, cache, report)
        # Rows, cached or not, are read without their study.
        tables.append(table.set_column(0, "study", pa.repeat(pa.scalar(source.url), len(table))))
        problems += damaged
        done += len(source.folders)
    frame = frame_of(pa.concat_tables(tables) if tables else table_of([]))
    kept = one_evaluation_per_cell(one_copy_of_each(with_every_evaluation(frame)), evaluation or {})
    declared = tuple(_present(distinct, _declared, problems))
    planned = tuple(_present(distinct, _planned, problems))
    searches = tuple(search for _, search in _present(distinct, read_search, problems))
    duplicates = len(frame) - len(kept)
    return Runs(in_order(kept), tuple(distinct), tuple(problems), duplicates, declared, planned, searches)


def _present(
    urls: Iterable[str], read: Callable[[str], Record | None], problems: list[str]
) -> Iterable[tuple[str, Record]]:
    """The studies that have a record, with it; damaged ones are added to ``problems``."""
    for url in urls:
        try:
            record = read(url)
        except DamagedError as damage:
            problems.append(str(damage))
        except OSError as error:
            raise cannot_read(url, error) from None
        else:
            if record:
                yield url, record


def _declared(url: str) -> DeclaredSeeds | None:
    return read_declared_seeds(open_study(url, create=False))


def _planned(url: str) -> tuple[str, ...]:
    return read_planned_runs(open_study(url, create=False))


def _read_source(
    source: Source, cache: Cache | None, report: Callable[[int], None]
) -> tuple[pa.Table, list[str]]:
    """The rows of a source in the order of its folders, and a line for each damaged file."""
    cached = cache.open(source) if cache else None
    to_read = cached.to_read if cached else list(source.folders)
    before = len(source.folders) - len(to_read)
    if before:
        report(before)
    problems: list[str] = []
    intact: list[bool] = []
    tables: list[pa.Table] = []
    rows: list[dict[str, Any]] = []
    for row, damaged in read_each(source.url, read_run, to_read, readers=REMOTE_READERS):
        rows.append(row)
        problems += damaged
        intact.append(not damaged)
        if len(rows) == _ROWS_AT_ONCE:
            tables.append(table_of(rows))
            rows = []
        report(before + len(intact))
    read = pa.concat_tables([*tables, table_of(rows)])
    return (cached.add(read, intact) if cached else read), problems
