"""The files of a summary: tables as Markdown, LaTeX and CSV, and report.md."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import hashlib
import io
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Protocol

import pandas as pd

from analysis.formats.latex import LATEX_HEADER, latex_table
from analysis.formats.markdown import markdown, section
from analysis.reading.cache import Cache
from analysis.reading.learning_curves import learning_curves
from analysis.reading.sources import Source
from analysis.report.report import Report
from analysis.report.sentences import best_runs, sentences
from analysis.report.two_studies import Compared
from analysis.tables.csv_rows import ComparisonRecord, Record
from analysis.tables.table import Table
from lvae_core.storage.store import Store, open_store

if TYPE_CHECKING:
    from analysis.figures.draw import Pictures


def write(report: Report, out: str) -> str:
    """Write every table and report.md, each whole or not at all; returns the path of report.md.

    Raises:
        OSError: the place cannot be written.
    """
    # One after the other: those of a large study are large.
    write_files({"runs.csv": str(report.frame.to_csv(index=False, lineterminator="\n"))}, out)
    write_files(table_files("table2", Record, report.table2), out)
    write_files(table_files("table3", Record, report.table3), out)
    write_files(table_files("bounds", Record, report.bounds), out)
    compared = (*report.reproductions, *report.comparisons)
    write_files(table_files("comparisons", ComparisonRecord, compared), out)
    write_files({"report.md": markdown(report)}, out)
    return f"{out.rstrip('/')}/report.md"


def table_files(
    name: str, kind: type[Record | ComparisonRecord], tables: Sequence[Table]
) -> dict[str, str]:
    """Tables in three formats: file name -> content."""
    return {
        f"{name}.md": "\n".join(map(section, tables)),
        f"{name}.tex": "\n".join([LATEX_HEADER, *map(latex_table, tables)]),
        f"{name}.csv": csv_text(tables, kind),
    }


def remove_stale(names: Sequence[str], out: str, register: str) -> None:
    """Remove the files that an earlier summary wrote and this one, of ``names``, has not.

    ``register`` is a file in ``out`` that names them, each with its digest: one that has been changed since
    is the user's own and stays.
    """
    store = open_store(out)
    for name, digest in _registered(store, register).items():
        with contextlib.suppress(FileNotFoundError):
            if name not in names and _sha256(store.read(name)) == digest:
                store.delete(name)
    now = {name: _sha256(store.read(name)) for name in names}
    store.write(register, json.dumps(now, indent=1, sort_keys=True).encode())


def _registered(store: Store, register: str) -> dict[str, str]:
    try:
        files = json.loads(store.read(register))
    except (FileNotFoundError, ValueError):  # a damaged one says nothing, and nothing is removed
        return {}
    if not isinstance(files, dict):
        return {}
    # Whatever it says, nothing outside its own folder is touched.
    folder = register.rpartition("/")[0]
    return {f"{folder}/{PurePosixPath(name).name}": str(digest) for name, digest in files.items()}


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def write_files(files: Mapping[str, str | bytes], out: str) -> None:
    """Write each whole or not at all; an OSError says that the place cannot be written."""
    store = open_store(out)
    for name, content in files.items():
        store.write(name, content.encode() if isinstance(content, str) else content)


def csv_text(tables: Sequence[Table], kind: type[Record | ComparisonRecord] = Record) -> str:
    """The records of tables, all of one kind: all digits, empty where there is no number."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(field.name for field in dataclasses.fields(kind))
    for table in tables:
        writer.writerows(vars(record).values() for record in table.records)
    return text.getvalue()


class Steps(Protocol):
    """Shows how far a step of several has got."""

    def __call__(self, name: str) -> AbstractContextManager[Callable[[int, int], None]]:
        """Within it, the function is told ``(done, total)``."""


@dataclass(frozen=True)
class Wanted:
    """What a summary is to have, and how."""

    out: str
    command: str
    """Makes the same again."""
    figures: bool = True
    samples: bool = True
    data_dir: str | None = None
    cache: Cache | None = None


def write_summary(
    report: Report, sources: Sequence[Source], wanted: Wanted, steps: Steps, refresh: int = 0
) -> str:
    """Write the figures and the page of a report; returns the page's path.

    Raises:
        OSError: the place cannot be written.
    """
    from analysis.formats.page.page import report_page

    with steps("drawing figures") as advance:
        pictures = _pictures(report, sources, wanted, advance)
    told = []
    if wanted.samples:
        best = [each for dataset in report.datasets for each in best_runs(report.cells, dataset)]
        with steps("sampling sentences") as advance:
            folder = wanted.cache.folder if wanted.cache else None
            told = sentences(best, report.frame, data_dir=wanted.data_dir, cache=folder, advance=advance)
    page = report_page(report, pictures, told, wanted.command, refresh)
    drawn = _files(pictures)
    write_files({**drawn, "report.html": page}, wanted.out)
    remove_stale(list(drawn), wanted.out, "figures/.report.json")
    return f"{wanted.out.rstrip('/')}/report.html"


def write_comparison(compared: Compared, wanted: Wanted, steps: Steps, refresh: int = 0) -> str:
    """Write every file of two studies side by side; returns the page's path.

    Raises:
        OSError: the place cannot be written.
    """
    from analysis.figures.draw import Pictures, draw_differences
    from analysis.formats.page.page import compare_page

    pictures = Pictures((), ("not asked for (--no-figures)",))
    if wanted.figures:
        with steps("drawing figures") as advance:
            pictures = draw_differences(compared.comparisons, advance)
    files = table_files("compare", ComparisonRecord, compared.tables)
    page = compare_page(compared, pictures, wanted.command, refresh)
    drawn = _files(pictures)
    write_files({**files, **drawn, "compare.html": page}, wanted.out)
    remove_stale(list(drawn), wanted.out, "figures/.compare.json")
    return f"{wanted.out.rstrip('/')}/compare.html"


def _pictures(
    report: Report, sources: Sequence[Source], wanted: Wanted, advance: Callable[[int, int], None]
) -> Pictures:
    from analysis.figures.draw import Pictures, draw_all, runs_with_curves

    if not wanted.figures:
        return Pictures((), ("not asked for (--no-figures)",))
    named = runs_with_curves(report.cells, report.datasets)
    done = report.frame[(report.frame["status"] == "done") & report.frame["run"].isin(named)]
    frame = learning_curves(sources, done).frame
    metrics = {str(run): rows for run, rows in frame.groupby("run", sort=False)}
    anneal = {
        str(run): 0.0 if pd.isna(epochs) else float(epochs)
        for run, epochs in zip(done["run"], done["kl_anneal_epochs"], strict=True)
    }
    return draw_all(report.cells, report.datasets, metrics, anneal, advance)


def _files(pictures: Pictures) -> dict[str, str | bytes]:
    files: dict[str, str | bytes] = {}
    for picture in pictures.drawn:
        files[f"figures/{picture.name}.svg"] = picture.svg
        files[f"figures/{picture.name}.png"] = picture.png
    return files
