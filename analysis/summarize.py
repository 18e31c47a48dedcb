"""Summarize finished runs: tables, figures and a report, with published numbers for comparison.

python analysis/summarize.py STUDY_DIR… [--out DIR] [--watch] | --compare STUDY_A STUDY_B
"""

from __future__ import annotations

import sys
from pathlib import Path

if not __package__:
    # As a script, Python puts this folder first on the path, where our modules would hide libraries of the
    # same name (pandas imports one called tables). Put the folder above there instead.
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

if __name__ == "__main__":
    from lvae_core.environment import check_installed, end_quietly_on_ctrl_c

    end_quietly_on_ctrl_c()
    check_installed("analysis")
    # Loading pandas takes a second or more. The line is replaced by the first progress bar.
    if sys.stderr.isatty() and not {"--quiet", "--help", "-h"} & set(sys.argv):
        print("loading libraries …", end="\r", file=sys.stderr, flush=True)

import dataclasses
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Annotated, Any

import tyro
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from analysis.formats.latex import Style
from analysis.formats.summary import Wanted, write_comparison, write_page, write_tables
from analysis.formats.terminal import print_comparison, print_report
from analysis.options import ComparedWith, Messages, Published, parsed_options
from analysis.published.catalogue import use
from analysis.published.unmatched import unmatched_notes
from analysis.reading.cache import Cache, user_cache
from analysis.reading.collect import Runs, collect
from analysis.reading.evaluations import parse_evaluation
from analysis.reading.sources import (
    DEFAULT_STORAGE,
    Source,
    find_sources,
    leave_trials_out,
    open_source,
    summary_name,
)
from analysis.reading.watch import status_line, watch_runs
from analysis.report.nothing_finished import nothing_finished
from analysis.report.report import compose
from analysis.report.two_studies import compare_studies
from analysis.stats.pairs import Baseline
from lvae_core.arguments import bound
from lvae_core.command import exit_status
from lvae_core.errors import InputError, reason
from lvae_core.messages import Verbosity, command_line, is_quiet, notice

SUMMARIES = "summary"
"""The folder that holds a folder for each summary."""

_PAUSE = 30.0
"""Seconds between two readings of ``--watch``."""

_MIN_WIDTH = 100
"""The width in columns that tables are made for, also used for a pipe."""


def summarize(
    studies: Annotated[
        tuple[str, ...],
        tyro.conf.Positional,
        tyro.conf.arg(
            metavar="[STUDY_DIR ...]",
            help="Folders or URLs of studies or single runs, which are merged.",
            help_behavior_hint=f"(default: every study under {DEFAULT_STORAGE}/)",
        ),
    ] = (),
    *,
    out: Annotated[
        str | None,
        tyro.conf.arg(
            metavar="DIR",
            help="Folder for the files.",
            help_behavior_hint=f"(default: {SUMMARIES}/ and the names of the studies)",
        ),
    ] = None,
    compare: Annotated[
        tuple[str, ...],
        tyro.conf.arg(
            metavar="STUDY_A STUDY_B",
            help="Compare two studies instead: B minus A by cell and seed.",
            help_behavior_hint="(default: no)",
        ),
    ] = (),
    watch: Annotated[
        bool, tyro.conf.arg(help="Rewrite everything whenever a run has changed, until Ctrl-C.")
    ] = False,
    every: Annotated[
        float | None,
        tyro.conf.arg(
            metavar="SECONDS",
            help="Pause between two readings of --watch.",
            help_behavior_hint=f"(default: {_PAUSE})",
        ),
    ] = None,
    figures: Annotated[bool, tyro.conf.arg(help="Draw figures.")] = True,
    samples: Annotated[
        bool,
        tyro.conf.arg(
            help="Generate sentences from the best run of each system; needs torch and a checkpoint."
        ),
    ] = True,
    data_dir: Annotated[
        str | None,
        tyro.conf.arg(
            metavar="DIR",
            help="Folder of the datasets, for --samples.",
            help_behavior_hint="(default: $LVAE_DATA_DIR, else data)",
        ),
    ] = None,
    evaluation: Annotated[
        tuple[str, ...],
        tyro.conf.arg(
            metavar="FIELD=VALUE ...",
            help="Show this evaluation of runs that have several, such as iw_samples=5000.",
            help_behavior_hint="(default: in each cell the one that most runs have)",
        ),
    ] = (),
    latex: Annotated[
        Style,
        tyro.conf.arg(help="How the .tex files set numbers: as text, or in S columns of siunitx."),
    ] = "plain",
    baseline: ComparedWith = (),
    published: Published = (),
    cache: Annotated[
        bool, tyro.conf.arg(help="Read only runs that have changed since the last summary.")
    ] = True,
    messages: Messages = Verbosity(),  # noqa: B008 (it is frozen)
) -> int:
    """Tables, figures and a report from finished runs, with published numbers for comparison.

    Several studies are merged. A run in more than one of them counts once; it is an error if its numbers
    differ.
    """
    messages.apply()
    if compare and studies:
        both = [*studies, *compare]
        remedy = f"give --compare {' '.join(both)}" if len(both) == 2 else f"leave out {studies[0]}"
        raise InputError(f"--compare takes two studies, both after it, and no others; {remedy}")
    if len(compare) not in (0, 2):
        raise InputError(
            f"--compare {' '.join(compare)}: give two studies, as in --compare runs/before runs/after"
        )
    compared_with = Baseline.parse(baseline)
    if compare and baseline:
        raise InputError("--baseline: the baseline of --compare is its first study; leave --baseline out")
    use(published)
    if every is not None and not 1 <= every < 1e6:
        raise InputError(f"--every {every:g}: must be at least 1 second")
    if every is not None and not watch:
        raise InputError(f"--every {every:g}: only --watch reads it; add --watch, or leave it out")
    place = out or f"{SUMMARIES}/{_name(studies, compare)}"
    kept = user_cache() if cache else None
    wanted = Wanted(place, _command(), figures, samples, data_dir, kept, latex)
    shown = parse_evaluation(evaluation)
    summary = _Summary(studies, wanted, shown, compared_with, published)
    job = _Comparison(compare, wanted, shown) if compare else summary
    if watch:
        _watch(job, every or _PAUSE)
        return 0
    return job.make(job.read())


def main() -> None:
    """Run the command line; bad input ends it with one line and status 2."""
    # No line about checkpoints after an interrupt: this command writes none.
    sys.exit(exit_status(_run, interrupted=""))


def _run() -> int:
    if sys.stderr.isatty():
        print(" " * len("loading libraries …"), end="\r", file=sys.stderr, flush=True)
    call = parsed_options(
        lambda: tyro.cli(bound(summarize), prog="summarize.py"),
        sys.argv[1:],
        ("--compare", "--evaluation", "--baseline"),
    )
    return call()


class _Summary:
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
        self._sources, left_out = _sources(self.studies)
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
            markdown_page = write_tables(report, self.wanted.out, self.wanted.latex)
        console = _console()
        if show and not is_quiet():
            print_report(report, console)
        with _writing(self.wanted.out):
            self.path = write_page(report, self._sources, self.wanted, _step, refresh)
        if show:
            kinds = "Tables as Markdown, LaTeX and CSV" + (", figures" if self.wanted.figures else "")
            lines = [f"{kinds}: {self.wanted.out}", f"Report: {markdown_page}", f"Web page: {self.path}"]
            _print_places(console, lines)
        return 0


class _Comparison:
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
            self.path = write_comparison(compared, self.wanted, _step, refresh)
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


def _print_places(console: Console, lines: Sequence[str]) -> None:
    """Say where the files are: the result of the command, which a quiet one prints too."""
    if not is_quiet():
        console.print()
    console.print("\n".join(lines), soft_wrap=True)


def _watch(job: _Summary | _Comparison, seconds: float) -> None:
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


def _command() -> str:
    """The command that makes the same summary again, ready to be copied."""
    return command_line("python", "analysis/summarize.py", *(a for a in sys.argv[1:] if a != "--watch"))


def _name(studies: Sequence[str], compared: Sequence[str]) -> str:
    """The name of a summary, so that two studies do not write into the same folder."""
    if compared:
        return summary_name(compared, "-vs-")
    return summary_name(studies or [source.url for source in _sources(())[0]])


def _sources(paths: tuple[str, ...]) -> tuple[list[Source], tuple[str, ...]]:
    """The sources to read, and the URLs of those that a merge leaves out."""
    if paths:
        return _opened_once(paths), ()
    found = find_sources(DEFAULT_STORAGE)
    if not found:
        raise InputError(
            f"no study under {DEFAULT_STORAGE}/; make one with: "
            + command_line("python", "sweeps/paper_grid.py", "--preset", "demo")
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


if __name__ == "__main__":
    main()
