"""Write all files of a summary: tables, figures, report.md and the web page."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Protocol

from analysis.figures.pictures import Pictures
from analysis.formats.files import (
    earlier_files,
    no_bold,
    remove_stale,
    replace_files,
    table_files,
    write_files,
)
from analysis.formats.latex import Style
from analysis.formats.markdown import markdown
from analysis.reading.cache import Cache
from analysis.reading.learning_curves import learning_curves
from analysis.reading.sources import Source
from analysis.reading.validation import lowest_perplexities
from analysis.report.report import Report
from analysis.report.sentences import best_runs, sentences
from analysis.report.two_studies import TwoStudies
from analysis.stats.kl_annealing import annealing_epochs
from analysis.stats.text_groups import first_texts
from analysis.tables.costs import unit_of_table
from analysis.tables.elements.csv_rows import (
    CELL_COLUMNS,
    COMPARE_COLUMNS,
    COMPARISON_COLUMNS,
    without_formulas,
)
from lvae_core.messages import notice

_log = logging.getLogger("lvae.analysis")


class Steps(Protocol):
    """Shows the progress of a step."""

    def __call__(self, name: str) -> AbstractContextManager[Callable[[int, int], None]]:
        """Begin a step; the context's function is called with ``(done, total)``."""


@dataclass(frozen=True)
class Wanted:
    """The options of a summary."""

    out: str
    command: str
    """The command that makes the same summary."""
    figures: bool = True
    samples: bool = True
    data_dir: str | None = None
    cache: Cache | None = None
    latex: Style = "plain"
    """How LaTeX files set numbers."""
    of: tuple[str, ...] = ()
    """The studies whose own folder ``out`` is; none if the user has chosen it."""


def write_tables(report: Report, out: str, *, latex: Style) -> str:
    """Write every table and report.md, each file whole or not at all; returns the path of report.md.

    Raises:
        OSError: ``out`` cannot be written.
    """
    # One after the other, because the files of a large study are large.
    rows = without_formulas(report.frame).to_csv(index=False, lineterminator="\n")
    write_files({"runs.csv": str(rows)}, out)
    write_files(table_files("table2", CELL_COLUMNS, report.table2, best=report.best_in, latex=latex), out)
    write_files(table_files("bounds", CELL_COLUMNS, report.bounds, best=report.best_in, latex=latex), out)
    compared = (*report.reproductions, *report.comparisons)
    # Not every study has these tables.
    optional = (
        table_files(name, columns, tables, best=best, latex=latex)
        for name, columns, tables, best in (
            ("table3", CELL_COLUMNS, report.table3, report.best_in),
            ("further", CELL_COLUMNS, report.further, no_bold),
            ("spelled", (), report.spelled, no_bold),
            ("comparisons", COMPARISON_COLUMNS, compared, no_bold),
            ("hyperparameters", (), report.hyperparameters, no_bold),
        )
    )
    replace_files(optional, out, ".tables.json")
    write_files({"report.md": markdown(report)}, out)
    return f"{out.rstrip('/')}/report.md"


def write_page(
    report: Report, sources: Sequence[Source], wanted: Wanted, steps: Steps, *, refresh: int
) -> str:
    """Write the figures and the web page of a report; returns the page's path.

    Raises:
        OSError: the place cannot be written.
    """
    # Imported here: the command starts, and prints its tables, before the libraries that draw are loaded.
    from analysis.formats.page.page import report_page

    with steps("drawing figures") as advance:
        pictures, damaged = _pictures(report, sources, wanted, advance)
    if damaged:
        for line in damaged:
            _log.warning("%s; its learning curve is left out", line)
        report = replace(report, problems=(*report.problems, *damaged))
        write_files({"report.md": markdown(report)}, wanted.out)
    generated = []
    if wanted.samples:
        valid = lowest_perplexities(report.frame, report.frame["run"].tolist())
        best = [run for dataset in report.datasets for run in best_runs(report.cells, dataset, valid)]
        folder = wanted.cache.folder if wanted.cache else None
        with steps("sampling sentences") as advance:
            generated = sentences(
                best, report.frame, data_dir=wanted.data_dir, cache=folder, advance=advance
            )
    page = report_page(report, pictures, generated, wanted.command, refresh=refresh)
    figures = _figure_files(pictures)
    write_files({**figures, "report.html": page}, wanted.out)
    _settle_figures(list(figures), wanted, "figures/.report.json", refresh)
    return f"{wanted.out.rstrip('/')}/report.html"


def write_comparison(compared: TwoStudies, wanted: Wanted, steps: Steps, *, refresh: int) -> str:
    """Write every file of two studies side by side; returns the page's path.

    Raises:
        OSError: the place cannot be written.
    """
    from analysis.formats.page.page import compare_page

    pictures = Pictures((), ("not asked for (--no-figures)",))
    if wanted.figures:
        from analysis.figures.draw import draw_differences

        with steps("drawing figures") as advance:
            pictures = draw_differences(compared.comparisons, advance=advance)
    tables = table_files("compare", COMPARE_COLUMNS, compared.tables, best=no_bold, latex=wanted.latex)
    replace_files([tables], wanted.out, ".compare-tables.json")
    page = compare_page(compared, pictures, wanted.command, refresh=refresh)
    figures = _figure_files(pictures)
    write_files({**figures, "compare.html": page}, wanted.out)
    _settle_figures(list(figures), wanted, "figures/.compare.json", refresh)
    return f"{wanted.out.rstrip('/')}/compare.html"


def _pictures(
    report: Report, sources: Sequence[Source], wanted: Wanted, advance: Callable[[int, int], None]
) -> tuple[Pictures, tuple[str, ...]]:
    """Draw all figures; also returns a line for each damaged file of a learning curve."""
    if not wanted.figures:
        return Pictures((), ("not asked for (--no-figures)",)), ()
    from analysis.figures.draw import draw_all, runs_with_curves  # loads matplotlib

    # Of a large study only the runs whose curves are drawn are read.
    cells = first_texts(report.cells)
    drawn = runs_with_curves(cells, report.datasets)
    done = report.frame[(report.frame["status"] == "done") & report.frame["run"].isin(drawn)]
    curves = learning_curves(sources, done)
    metrics = {str(run): rows for run, rows in curves.frame.groupby("run", sort=False)}
    anneal = dict(zip(map(str, done["run"]), map(float, annealing_epochs(done)), strict=True))
    units = {dataset: unit_of_table(report.cells, dataset) for dataset in report.datasets}
    return draw_all(cells, report.datasets, metrics, anneal, advance=advance, units=units), curves.problems


def _settle_figures(drawn: Sequence[str], wanted: Wanted, register: str, refresh: int) -> None:
    """Remove the figures that an earlier summary drew and this one did not; keep all if none was wanted."""
    if wanted.figures:
        remove_stale(drawn, wanted.out, register)
    elif not refresh and earlier_files(wanted.out, register):
        notice(
            f"{wanted.out.rstrip('/')}/figures: drawn by an earlier summary and kept; without --no-figures "
            "they are drawn again"
        )


def _figure_files(pictures: Pictures) -> dict[str, str | bytes]:
    files: dict[str, str | bytes] = {}
    for picture in pictures.drawn:
        files[f"figures/{picture.name}.svg"] = picture.svg
        files[f"figures/{picture.name}.png"] = picture.png
    return files
