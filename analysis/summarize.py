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

from dataclasses import dataclass, field
from typing import Annotated

import tyro

from analysis.formats.latex import Style
from analysis.formats.summary import Wanted
from analysis.formats.summary_folder import SUMMARIES, summary_folder
from analysis.jobs import ComparisonJob, SummaryJob, chosen_sources, watch_job
from analysis.options import ComparedWith, Messages, Published, arg, parse_options
from analysis.published.catalogue import use
from analysis.reading.cache import user_cache
from analysis.reading.evaluations import parse_evaluation
from analysis.reading.sources import DEFAULT_STORAGE
from analysis.stats.pairs import Baseline
from lvae_core.command import exit_status
from lvae_core.errors import InputError
from lvae_core.messages import Verbosity, command_line

_PAUSE = 30.0
"""Seconds between two readings of ``--watch``."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """Tables, figures and a report from finished runs, with published numbers for comparison.

    Several studies are merged. A run in more than one of them counts once; it is an error if its numbers
    differ.
    """

    studies: Annotated[
        tuple[str, ...],
        tyro.conf.Positional,
        arg(
            metavar="[STUDY_DIR ...]",
            help_behavior_hint=f"(default: every study under {DEFAULT_STORAGE}/)",
        ),
    ] = ()
    """Folders or URLs of studies or single runs, which are merged."""
    out: Annotated[
        str | None,
        arg(
            metavar="DIR",
            help_behavior_hint=f"(default: {SUMMARIES}/ and the names of the studies)",
        ),
    ] = None
    """Folder for the files."""
    compare: Annotated[
        tuple[str, ...], arg(metavar="STUDY_A STUDY_B", help_behavior_hint="(default: no)")
    ] = ()
    """Compare two studies instead: B minus A by cell and seed."""
    watch: bool = False
    """Rewrite everything whenever a run has changed, until Ctrl-C."""
    every: Annotated[float | None, arg(metavar="SECONDS", help_behavior_hint=f"(default: {_PAUSE})")] = None
    """Pause between two readings of --watch."""
    figures: bool = True
    """Draw figures."""
    samples: bool = True
    """Generate sentences from the best run of each system; needs torch and a checkpoint."""
    data_dir: Annotated[
        str | None, arg(metavar="DIR", help_behavior_hint="(default: $LVAE_DATA_DIR, else data)")
    ] = None
    """Folder of the datasets, for --samples."""
    evaluation: Annotated[
        tuple[str, ...],
        arg(
            metavar="FIELD=VALUE ...",
            help_behavior_hint="(default: in each cell the one that most runs have)",
        ),
    ] = ()
    """Show this evaluation of runs that have several, such as iw_samples=5000."""
    latex: Style = "plain"
    """How the .tex files set numbers: as text, or in S columns of siunitx."""
    baseline: ComparedWith = ()
    published: Published = ()
    cache: bool = True
    """Read only runs that have changed since the last summary."""
    messages: Messages = field(default_factory=Verbosity)

    def check(self) -> None:
        """Raise InputError if an option cannot be used, or not with another one."""
        if self.compare and self.studies:
            both = [*self.studies, *self.compare]
            remedy = (
                f"give --compare {' '.join(both)}" if len(both) == 2 else f"leave out {self.studies[0]}"
            )
            raise InputError(f"--compare takes two studies, both after it, and no others; {remedy}")
        if len(self.compare) not in (0, 2):
            raise InputError(
                f"--compare {' '.join(self.compare)}: give two studies, as in "
                "--compare runs/before runs/after"
            )
        if self.compare and self.baseline:
            raise InputError(
                "--baseline: the baseline of --compare is its first study; leave --baseline out"
            )
        if self.compare and self.published:
            raise InputError("--published: --compare shows no published numbers; leave --published out")
        if self.compare and self.data_dir is not None:
            raise InputError("--data-dir: --compare generates no sentences; leave --data-dir out")
        if self.every is not None and not 1 <= self.every < 1e6:
            raise InputError(f"--every {self.every:g}: must be at least 1 second")
        if self.every is not None and not self.watch:
            raise InputError(f"--every {self.every:g}: only --watch reads it; add --watch, or leave it out")


def run(options: Options) -> int:
    """Make the summary, or the comparison of two studies; returns the exit status.

    Raises:
        InputError: an option, a study or a file of published numbers cannot be used.
    """
    options.check()
    use(options.published)
    place, of = options.out, tuple[str, ...]()
    if place is None:
        place, of = _default_place(options.studies, options.compare)
    kept = user_cache() if options.cache else None
    wanted = Wanted(
        place, _command(), options.figures, options.samples, options.data_dir, kept, options.latex, of
    )
    shown, compared_with = parse_evaluation(options.evaluation), Baseline.parse(options.baseline)
    job: SummaryJob | ComparisonJob = SummaryJob(
        options.studies, wanted, shown, compared_with, options.published
    )
    if options.compare:
        job = ComparisonJob(options.compare, wanted, shown)
    if options.watch:
        watch_job(job, options.every or _PAUSE)
        return 0
    return job.make(job.read())


def main() -> None:
    """Run the command line; bad input ends it with one line and status 2."""
    sys.exit(exit_status(_run, interrupted="stopped; files that it had not reached are as they were"))


def _run() -> int:
    if sys.stderr.isatty():
        print(" " * len("loading libraries …"), end="\r", file=sys.stderr, flush=True)
    options = parse_options(Options, "summarize.py", ("--compare", "--evaluation", "--baseline"))
    options.messages.apply()
    return run(options)


def _command() -> str:
    """The command that makes the same summary again, once, ready to be copied."""
    words = iter(sys.argv[1:])
    kept = []
    for word in words:
        if word == "--every":
            next(words, None)  # its value
        elif word != "--watch" and not word.startswith("--every="):
            kept.append(word)
    return command_line("python", "analysis/summarize.py", *kept)


def _default_place(studies: tuple[str, ...], compared: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
    """The folder of a summary for which none is given, and the studies that it is the folder of."""
    of = compared or studies or tuple(source.url for source in chosen_sources(())[0])
    return summary_folder(of, "-vs-" if compared else "+"), of


if __name__ == "__main__":
    main()
