"""The jobs of summarize.py: a report on merged studies, or a comparison of two; once, or as runs change."""

from __future__ import annotations

import dataclasses
import io
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from analysis.formats.summary import Wanted, write_comparison, write_page, write_tables
from analysis.formats.summary_folder import mark
from analysis.formats.terminal import print_comparison, print_report
from analysis.published.unmatched import unmatched_notes
from analysis.reading.cache import Cache
from analysis.reading.collect import Runs, collect
from analysis.reading.sources import (
    DEFAULT_STORAGE,
    Source,
    find_sources,
    leave_trials_out,
    open_source,
)
from analysis.reading.watch import status_line, watch_runs
from analysis.report.nothing_finished import nothing_finished
from analysis.report.report import compose
from analysis.report.two_studies import compare_studies
from analysis.stats.pairs import Baseline
from lvae_core.errors import InputError, reason
from lvae_core.messages import command_here, is_quiet, notice

_MIN_WIDTH = 100
"""The width in columns that tables are made for, also used for a pipe."""


class SummaryJob:
    """The job of writing the report on merged studies."""

    def __init__(
        self,
        studies: tuple[str, ...],
        wanted: Wanted,
        evaluation: Mapping[str, Any],
        baseline: Baseline,
        published: Sequence[str],
    ) -> None:
        self.studies, self.wanted, self.evaluation = studies, wanted, evaluation
        self.baseline = baseline
        self._unread: Sequence[str] = published
        """The files of published numbers that were not yet compared with the datasets of the runs."""
        self.path = ""

    def read(self) -> list[Runs]:
        self._sources, left_out = chosen_sources(self.studies)
        runs = _read(self._sources, self.wanted.cache, self.evaluation)
        for note in unmatched_notes(self._unread, runs.datasets):
            notice(note)
        self._unread = ()  # once is enough while watching
        return [dataclasses.replace(runs, left_out=left_out)]

    def make(self, runs: list[Runs], refresh: int = 0, show: bool = True) -> int:
        if not _finished(runs[0]):
            lines, status = nothing_finished(runs[0])
            self.path = "no run has finished"
            if show:
                print(*lines, sep="\n")
            return status
        with _step("computing tables"):
            report = compose(runs[0], self.baseline)
        # Tables are written and printed first: figures and sentences of a large study take minutes.
        with _writing(self.wanted.out):
            _mark(self.wanted)
            markdown_page = write_tables(report, self.wanted.out, latex=self.wanted.latex)
        console = _console()
        if show and not is_quiet():
            print_report(report, console)
        with _writing(self.wanted.out):
            self.path = write_page(report, self._sources, self.wanted, _step, refresh=refresh)
        if show:
            kinds = "Tables as Markdown, LaTeX and CSV" + (", figures" if self.wanted.figures else "")
            lines = [f"{kinds}: {self.wanted.out}", f"Report: {markdown_page}", f"Web page: {self.path}"]
            _print_places(console, lines)
        return 0


class ComparisonJob:
    """The job of comparing two studies."""

    def __init__(self, studies: Sequence[str], wanted: Wanted, evaluation: Mapping[str, Any]) -> None:
        self.studies, self.wanted, self.evaluation = studies, wanted, evaluation
        self.path = ""

    def read(self) -> list[Runs]:
        sources = [open_source(study) for study in self.studies]
        if sources[0].url == sources[1].url:
            raise InputError(f"--compare {' '.join(self.studies)}: both are the same study; give two")
        return [_read([source], self.wanted.cache, self.evaluation) for source in sources]

    def make(self, runs: list[Runs], refresh: int = 0, show: bool = True) -> int:
        compared = compare_studies(*runs)
        with _writing(self.wanted.out):
            _mark(self.wanted)
            self.path = write_comparison(compared, self.wanted, _step, refresh=refresh)
        if show:
            console = _console()
            if not is_quiet():
                print_comparison(compared, console)
            tables = [f"Tables: {self.wanted.out}/compare.*"] if compared.tables else []
            _print_places(console, [*tables, f"Web page: {self.path}"])
        return 0


@contextmanager
def _writing(out: str) -> Iterator[None]:
    """Raise InputError in place of an OSError if ``out`` cannot be written."""
    try:
        yield
    except OSError as error:
        raise InputError(f"--out {out}: cannot be written ({reason(error)}); give another folder") from None


def _mark(wanted: Wanted) -> None:
    """Let another study of the same name not take the folder for its own."""
    if wanted.of:
        mark(wanted.out, wanted.of)


def _print_places(console: Console, lines: Sequence[str]) -> None:
    """Say where the files are: the result of the command, which a quiet one prints too."""
    if not is_quiet():
        console.print()
    console.print("\n".join(lines), soft_wrap=True)


def watch_job(job: SummaryJob | ComparisonJob, seconds: float) -> None:
    """Do a job again whenever a run has changed, until Ctrl-C."""
    last: list[list[Runs]] = []

    def make(runs: list[Runs]) -> None:
        # Tables are printed once, when there are some.
        printed = bool(last) and all(_finished(of_study) for of_study in last[0])
        job.make(runs, refresh=max(1, round(seconds)), show=not printed)
        last[:] = [runs]
        notice(status_line(runs, job.path))

    def finish() -> None:
        job.make(last[0], show=False)  # the last page must not reload itself

    watch_runs(job.read, make, finish, seconds)


def _finished(runs: Runs) -> bool:
    return bool((runs.frame["status"] == "done").any())


def chosen_sources(paths: tuple[str, ...]) -> tuple[list[Source], tuple[str, ...]]:
    """The sources to read, and the URLs of those that a merge leaves out."""
    if paths:
        return _opened_once(paths), ()
    found = find_sources(DEFAULT_STORAGE)
    if not found:
        raise InputError(
            f"no study under {DEFAULT_STORAGE}/; make one with: "
            + command_here("python", "sweeps/paper_grid.py", "--preset", "demo")
        )
    return leave_trials_out(found)


def _opened_once(paths: Sequence[str]) -> list[Source]:
    given: dict[str, str] = {}
    sources = []
    for path in paths:
        source = open_source(path)
        if source.url in given:
            raise InputError(f"{path}: the same study as {given[source.url]}; give each study once")
        given[source.url] = path
        sources.append(source)
    return sources


def _read(sources: list[Source], cache: Cache | None, evaluation: Mapping[str, Any]) -> Runs:
    with _step("reading runs") as advance:
        return collect(sources, advance, cache, evaluation)


@contextmanager
def _step(name: str) -> Iterator[Callable[[int, int], None]]:
    """Show a progress bar on stderr until the step is done; stdout has only the tables."""
    columns = (TextColumn(name), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(
        *columns, console=console, transient=True, disable=is_quiet() or not console.is_terminal
    ) as progress:
        task = progress.add_task(name, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def _console() -> Console:
    # Tests and notebooks replace stdout by objects that cannot be reconfigured.
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A terminal that cannot show ± shows a ? instead.
        sys.stdout.reconfigure(errors="replace")
    console = Console(markup=False, highlight=False, emoji=False)
    console.width = max(_MIN_WIDTH, console.width)
    return console
