"""Write a W&B report on studies, or replace the existing one.

    python analysis/wandb_report.py STUDY… [--project NAME] [--entity NAME] [--title TITLE]

Tables and intervals come from the run folders. Panels are drawn by W&B over the runs that were sent by a
sweep with ``--wandb`` or by ``sweeps/wandb_push.py``. Exit status: 0, or 2 for input that cannot be used.
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

import contextlib
import io
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from analysis.options import ComparedWith, Messages, Published, arg, parse_options
from analysis.published.catalogue import use
from analysis.published.unmatched import unmatched_notes
from analysis.reading.cache import user_cache
from analysis.reading.collect import collect
from analysis.reading.sources import open_source
from analysis.report.report import Report, compose
from analysis.stats.pairs import Baseline
from lvae_core.command import exit_status
from lvae_core.errors import InputError
from lvae_core.messages import Verbosity, command_here, notice
from lvae_core.wandb_login import base_url, prepare_environment, require_key, require_wandb

if TYPE_CHECKING:
    from analysis.formats.wandb import Place

_COMMAND = "wandb_report.py"

_LONGEST_TITLE = 128


@dataclass(frozen=True, kw_only=True)
class Options:
    """Write a W&B report on studies, or replace the one that is there."""

    studies: Annotated[
        tuple[str, ...],
        tyro.conf.Positional,
        arg(metavar="STUDY [STUDY ...]", help_behavior_hint="(required)"),
    ]
    """Folders or URLs of studies, which are merged."""
    project: Annotated[str, arg(metavar="NAME")] = "lvae"
    """The W&B project of the runs."""
    entity: Annotated[str | None, arg(metavar="NAME", help_behavior_hint="(default: the API key's)")] = None
    """The project's owner."""
    title: Annotated[
        str | None, arg(metavar="TITLE", help_behavior_hint="(default: the studies' names)")
    ] = None
    """Title of the report; the project's report of this title is replaced."""
    baseline: ComparedWith = ()
    published: Published = ()
    messages: Messages = field(default_factory=Verbosity)


def run(options: Options) -> None:
    """Write the report and print its URL.

    Raises:
        InputError: an option, a study, a file of published numbers or W&B cannot be used.
    """
    compared_with = Baseline.parse(options.baseline)
    use(options.published)
    if not options.studies:
        raise InputError(f"{_COMMAND}: give a study, such as runs/paper")
    require_wandb(_COMMAND, "wandb_workspaces")
    runs = collect([open_source(path) for path in options.studies], cache=user_cache())
    for note in unmatched_notes(options.published, runs.datasets):
        notice(note)
    report = compose(runs, compared_with)
    names = ", ".join(study.rpartition("/")[2] for study in report.studies)
    title = (options.title or f"lvae: {names}")[:_LONGEST_TITLE]
    print(save(report, options.project, options.entity, title))


def save(report: Report, project: str, entity: str | None, title: str) -> str:
    """Write the report; returns its URL.

    Raises:
        InputError: there is no API key, W&B cannot be reached, or there is no such project.
    """
    prepare_environment()
    import wandb
    from wandb.sdk.lib.service.service_connection import WandbApiFailedError

    from analysis.formats.wandb import Place, write

    with contextlib.redirect_stderr(io.StringIO()):  # the library prints hints there
        require_key(_COMMAND)
        try:
            api = wandb.Api()
            place = Place(entity or str(api.default_entity), project)
            return write(report, place, title, _existing(api, place, title))
        except (wandb.Error, WandbApiFailedError) as error:
            line = str(error).strip().partition("\n")[0]
            raise InputError(f"{_COMMAND}: W&B at {base_url()} did not take the report ({line})") from None


def _existing(api: Any, place: Place, title: str) -> str | None:
    """The URL of the report of that title, if the project has one."""
    if place.project not in {found.name for found in api.projects(place.entity)}:
        raise InputError(
            f"--project {place.project}: {place.entity} has no such project; send the runs first, with "
            + command_here("python", "sweeps/wandb_push.py")
        )
    reports = api.reports(f"{place.entity}/{place.project}")
    return next((str(report.url) for report in reports if report.display_name == title), None)


def main() -> None:
    """Run the command line; bad input ends it with one line and status 2."""
    # No line about checkpoints after an interrupt: this command writes none.
    sys.exit(exit_status(_run, interrupted="stopped; if the report was not yet sent, it is as it was"))


def _run() -> None:
    options = parse_options(Options, _COMMAND, ["--baseline"])
    options.messages.apply()
    run(options)


if __name__ == "__main__":
    main()
