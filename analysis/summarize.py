"""Tables, pictures and a report from whatever has finished, beside the numbers of Kruengkrai (2019).

python analysis/summarize.py STUDY_DIR… [--out DIR] [--watch] | --compare STUDY_A STUDY_B
"""

from __future__ import annotations

import io
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

if not __package__:
    # Run as a script: Python puts this folder first on the path, where our modules would stand in for
    # any of the same name (pandas knows one called tables). The folder above is meant.
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

import tyro
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from analysis.formats.files import Wanted, write, write_comparison, write_summary
from analysis.formats.terminal import print_comparison, print_report
from analysis.reading.cache import Cache, user_cache
from analysis.reading.collect import Runs, collect
from analysis.reading.sources import Source, find_sources, open_source
from analysis.reading.watch import status_line, watch_runs
from analysis.report.report import compose
from analysis.report.two_studies import compare_studies
from lvae_core.errors import InputError
from lvae_core.storage.retrying import outages_in_lines

DEFAULT_STORAGE = "runs"
"""Where the sweeps keep their studies unless told otherwise."""

_MIN_WIDTH = 100
"""Columns that the tables are made for; a pipe has no width of its own."""


def summarize(
    studies: Annotated[
        tuple[str, ...],
        tyro.conf.Positional,
        tyro.conf.arg(
            metavar="[STUDY_DIR ...]",
            help="Folders or URLs of studies or of single runs, merged.",
            help_behavior_hint=f"(default: every study under {DEFAULT_STORAGE}/)",
        ),
    ] = (),
    *,
    out: Annotated[str, tyro.conf.arg(metavar="DIR", help="Where the files are written.")] = "summary",
    compare: Annotated[
        tuple[str, str] | None,
        tyro.conf.arg(
            metavar="STUDY_A STUDY_B",
            help="Instead: two studies side by side, B minus A by cell and seed.",
            help_behavior_hint="(default: no)",
        ),
    ] = None,
    watch: Annotated[
        bool, tyro.conf.arg(help="Write all anew whenever a run has changed, until Ctrl-C.")
    ] = False,
    every: Annotated[float, tyro.conf.arg(metavar="SECONDS", help="Between two looks of --watch.")] = 30.0,
    figures: Annotated[bool, tyro.conf.arg(help="Draw figures.")] = True,
    samples: Annotated[
        bool, tyro.conf.arg(help="Let the best run of each system speak; needs torch and its checkpoint.")
    ] = True,
    data_dir: Annotated[
        str | None, tyro.conf.arg(metavar="DIR", help="Where the datasets are, for --samples.")
    ] = None,
    cache: Annotated[
        bool, tyro.conf.arg(help="Take runs that have not changed from what was read of them before.")
    ] = True,
) -> None:
    """Tables, figures and a report from finished runs, beside the numbers of Kruengkrai (2019).

    Several studies are merged; a run that is in more than one of them counts once.
    """
    if compare and studies:
        raise InputError(f"--compare takes two studies and no others; leave out {studies[0]}")
    if not 1 <= every < 1e6:
        raise InputError(f"--every {every:g}: must be at least 1 second")
    wanted = Wanted(out, _command(), figures, samples, data_dir, user_cache() if cache else None)
    job = _Comparison(compare, wanted) if compare else _Summary(studies, wanted)
    try:
        if watch:
            _watch(job, every)
        else:
            job.make(job.read())
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(f"--out {out}: cannot be written ({reason}); give another folder") from None


def main() -> None:
    """The command line; bad input ends it with one line and status 2."""
    try:
        with outages_in_lines():
            tyro.cli(summarize)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)


class _Summary:
    """The report on studies merged."""

    def __init__(self, studies: tuple[str, ...], wanted: Wanted) -> None:
        self.studies, self.wanted = studies, wanted
        self.path = ""

    def read(self) -> list[Runs]:
        self._sources = _sources(self.studies)
        return [_read(self._sources, self.wanted.cache)]

    def make(self, runs: list[Runs], refresh: int = 0, told: bool = True) -> None:
        report = compose(runs[0])
        page = write(report, self.wanted.out)
        if told:
            print_report(report, console := _console())
        self.path = write_summary(report, self._sources, self.wanted, _step, refresh)
        if told:
            kinds = "Tables as Markdown, LaTeX and CSV" + (", figures" if self.wanted.figures else "")
            console.print(
                f"\n{kinds}: {self.wanted.out}\nReport: {page}\nWeb page: {self.path}", soft_wrap=True
            )


class _Comparison:
    """Two studies side by side."""

    def __init__(self, studies: tuple[str, str], wanted: Wanted) -> None:
        self.studies, self.wanted = studies, wanted
        self.path = ""

    def read(self) -> list[Runs]:
        return [_read([open_source(study)], self.wanted.cache) for study in self.studies]

    def make(self, runs: list[Runs], refresh: int = 0, told: bool = True) -> None:
        compared = compare_studies(*runs)
        self.path = write_comparison(compared, self.wanted, _step, refresh)
        if told:
            print_comparison(compared, console := _console())
            console.print(f"\nTables: {self.wanted.out}/compare.*\nWeb page: {self.path}", soft_wrap=True)


def _watch(job: _Summary | _Comparison, seconds: float) -> None:
    last: list[list[Runs]] = []

    def make(runs: list[Runs]) -> None:
        job.make(runs, refresh=max(1, round(seconds)), told=not last)
        last[:] = [runs]
        print(status_line(runs, job.path), file=sys.stderr)

    # The page that stays does not load itself again.
    watch_runs(job.read, make, lambda: job.make(last[0], told=False), seconds)


def _command() -> str:
    """What makes the same summary again, to be copied."""
    return shlex.join(["python", "analysis/summarize.py", *(a for a in sys.argv[1:] if a != "--watch")])


def _sources(paths: tuple[str, ...]) -> list[Source]:
    if paths:
        return [open_source(path) for path in paths]
    found = find_sources(DEFAULT_STORAGE)
    if not found:
        raise InputError(
            f"no study under {DEFAULT_STORAGE}/; make one with: python sweeps/paper_grid.py --preset demo"
        )
    return found


def _read(sources: list[Source], cache: Cache | None) -> Runs:
    with _step("reading runs") as advance:
        return collect(sources, advance, cache)


@contextmanager
def _step(name: str) -> Iterator[Callable[[int, int], None]]:
    """Shows how far a step has got. On stderr, and gone when done: stdout has the tables alone."""
    columns = (TextColumn(name), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(name, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def _console() -> Console:
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A terminal that lacks ± shows a ? in its place.
        sys.stdout.reconfigure(errors="replace")
    console = Console(markup=False, highlight=False, emoji=False)
    console.width = max(_MIN_WIDTH, console.width)
    return console


if __name__ == "__main__":
    main()
