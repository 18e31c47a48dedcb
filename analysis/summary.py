"""A summary from its sources to its files: tables, pictures, sentences, pages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import pandas as pd

from analysis.cache import Cache
from analysis.compare import Compared
from analysis.curves import learning_curves
from analysis.records import ComparisonRecord
from analysis.report import Report
from analysis.samples import best_runs, sentences
from analysis.studies import Source
from analysis.write import remove_stale, table_files, write_files

if TYPE_CHECKING:
    from analysis.figures import Pictures


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
    from analysis.page import report_page

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
    from analysis.figures import Pictures, draw_differences
    from analysis.page import compare_page

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
    from analysis.figures import Pictures, draw_all, runs_with_curves

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
