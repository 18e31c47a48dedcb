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

from collections.abc import Sequence
from typing import Annotated

import tyro

from analysis.formats.latex import Style
from analysis.formats.summary import Wanted
from analysis.jobs import ComparisonJob, SummaryJob, chosen_sources, watch_job
from analysis.options import ComparedWith, Messages, Published, parsed_options
from analysis.published.catalogue import use
from analysis.reading.cache import user_cache
from analysis.reading.evaluations import parse_evaluation
from analysis.reading.sources import DEFAULT_STORAGE, summary_name
from analysis.stats.pairs import Baseline
from lvae_core.arguments import bound
from lvae_core.command import exit_status
from lvae_core.errors import InputError
from lvae_core.messages import Verbosity, command_line

SUMMARIES = "summary"
"""The folder that holds a folder for each summary."""

_PAUSE = 30.0
"""Seconds between two readings of ``--watch``."""


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
    job: SummaryJob | ComparisonJob = SummaryJob(studies, wanted, shown, compared_with, published)
    if compare:
        job = ComparisonJob(compare, wanted, shown)
    if watch:
        watch_job(job, every or _PAUSE)
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


def _name(studies: Sequence[str], compared: Sequence[str]) -> str:
    """The name of a summary, so that two studies do not write into the same folder."""
    if compared:
        return summary_name(compared, "-vs-")
    return summary_name(studies or [source.url for source in chosen_sources(())[0]])


if __name__ == "__main__":
    main()
