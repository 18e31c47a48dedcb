"""Tables 2 and 3 of Kruengkrai (2019) from whatever has finished, beside the published numbers.

python analysis/summarize.py STUDY_DIR… [--out DIR] [--no-cache]
"""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Annotated

if not __package__:
    # Run as a script: Python puts this folder first on the path, where our modules would stand in for
    # any of the same name (pandas knows one called tables). The folder above is meant.
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

import tyro
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from analysis.cache import Cache, user_cache
from analysis.collect import Runs, collect
from analysis.report import compose, print_report, write
from analysis.studies import Source, find_sources, open_source
from lvae_core.config import InputError

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
    cache: Annotated[
        bool, tyro.conf.arg(help="Take runs that have not changed from what was read of them before.")
    ] = True,
) -> None:
    """Tables 2 and 3 of Kruengkrai (2019) from finished runs, beside the published numbers.

    Several studies are merged; a run that is in more than one of them counts once.
    """
    report = compose(_read(_sources(studies), user_cache() if cache else None))
    try:
        path = write(report, out)
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(f"--out {out}: cannot be written ({reason}); give another folder") from None
    console = _console()
    print_report(report, console)
    console.print(f"\nTables as Markdown, LaTeX and CSV: {out}\nReport: {path}", soft_wrap=True)


def main() -> None:
    """The command line; bad input ends it with one line and status 2."""
    try:
        tyro.cli(summarize)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


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
    columns = (TextColumn("reading runs"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    # On stderr, and gone when done: stdout has the tables alone.
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("read", total=None)
        return collect(
            sources, lambda read, total: progress.update(task, completed=read, total=total), cache
        )


def _console() -> Console:
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A terminal that lacks ± shows a ? in its place.
        sys.stdout.reconfigure(errors="replace")
    console = Console(markup=False, highlight=False, emoji=False)
    console.width = max(_MIN_WIDTH, console.width)
    return console


if __name__ == "__main__":
    main()
