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
import importlib.util
import io
import os
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from analysis.options import ComparedWith, Messages, Published, parsed_options
from analysis.published.catalogue import use
from analysis.published.unmatched import unmatched_notes
from analysis.reading.cache import user_cache
from analysis.reading.collect import collect
from analysis.reading.sources import open_source
from analysis.report.report import Report, compose
from analysis.stats.pairs import Baseline
from lvae_core.arguments import bound
from lvae_core.command import exit_status
from lvae_core.errors import InputError
from lvae_core.messages import Verbosity, command_here, notice

if TYPE_CHECKING:
    from analysis.formats.wandb import Place

_arg = tyro.conf.arg

_LONGEST_TITLE = 128


def wandb_report(
    studies: Annotated[
        tuple[str, ...],
        tyro.conf.Positional,
        _arg(
            metavar="STUDY [STUDY ...]",
            help="Folders or URLs of studies, which are merged.",
            help_behavior_hint="(required)",
        ),
    ],
    *,
    project: Annotated[str, _arg(metavar="NAME", help="The W&B project of the runs.")] = "lvae",
    entity: Annotated[
        str | None,
        _arg(metavar="NAME", help="The project's owner.", help_behavior_hint="(default: the API key's)"),
    ] = None,
    title: Annotated[
        str | None,
        _arg(
            metavar="TITLE",
            help="Title of the report; the project's report of this title is replaced.",
            help_behavior_hint="(default: the studies' names)",
        ),
    ] = None,
    baseline: ComparedWith = (),
    published: Published = (),
    messages: Messages = Verbosity(),  # noqa: B008 (it is frozen)
) -> None:
    """Write a W&B report on studies, or replace the one that is there."""
    messages.apply()
    compared_with = Baseline.parse(baseline)
    use(published)
    if not studies:
        raise InputError("wandb_report.py: give a study, such as runs/paper")
    if importlib.util.find_spec("wandb_workspaces") is None:
        raise InputError(
            "wandb_report.py: wandb is not installed; pip install -c constraints.txt -e '.[wandb]'"
        )
    runs = collect([open_source(path) for path in studies], cache=user_cache())
    for note in unmatched_notes(published, runs.datasets):
        notice(note)
    report = compose(runs, compared_with)
    names = ", ".join(study.rpartition("/")[2] for study in report.studies)
    print(save(report, project, entity, (title or f"lvae: {names}")[:_LONGEST_TITLE]))


def save(report: Report, project: str, entity: str | None, title: str) -> str:
    """Write the report; returns its URL.

    Raises:
        InputError: there is no API key, W&B cannot be reached, or there is no such project.
    """
    os.environ.pop("WANDB_MODE", None)  # it is meant for single runs
    os.environ.setdefault("WANDB_SILENT", "true")
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
    import wandb
    from wandb.sdk.lib import wbauth
    from wandb.sdk.lib.service.service_connection import WandbApiFailedError

    from analysis.formats.wandb import Place, write

    host = str(wandb.setup().settings.base_url)
    # The library prints hints on stderr, and would ask for a missing key.
    with contextlib.redirect_stderr(io.StringIO()):
        if not wbauth.authenticate_session(
            host=host, source="wandb_report.py", prompt=False, no_offline=True
        ):
            raise InputError(
                f"wandb_report.py: no API key for {host}; set WANDB_API_KEY, or run `wandb login`, which "
                "keeps one in ~/.netrc"
            )
        try:
            api = wandb.Api()
            place = Place(entity or str(api.default_entity), project)
            return write(report, place, title, _existing(api, place, title))
        except (wandb.Error, WandbApiFailedError) as error:
            line = str(error).strip().partition("\n")[0]
            raise InputError(f"wandb_report.py: W&B at {host} did not take the report ({line})") from None


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
    sys.exit(exit_status(_run, interrupted=""))


def _run() -> None:
    call = parsed_options(
        lambda: tyro.cli(bound(wandb_report), prog="wandb_report.py"), sys.argv[1:], ["--baseline"]
    )
    call()


if __name__ == "__main__":
    main()
