"""Write one W&B report on studies, or write it anew in the same place.

    python analysis/wandb_report.py STUDY… [--project NAME] [--entity NAME] [--title TITLE]

Tables and their intervals come from the run folders; the panels are W&B's own, over the runs that a sweep
with ``--wandb`` or ``sweeps/wandb_push.py`` has sent. Exit status: 0, or 2 where the input cannot be used.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

if not __package__:
    # Run as a script: Python puts this folder first on the path, where our modules would stand in for
    # any of the same name (pandas knows one called tables). The folder above is meant.
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

import tyro

from analysis.reading.cache import user_cache
from analysis.reading.collect import collect
from analysis.reading.sources import open_source
from analysis.report.report import Report, compose
from lvae_core.errors import InputError

if TYPE_CHECKING:
    from analysis.formats.wandb import Place

_arg = tyro.conf.arg

_LONGEST_TITLE = 128

DESCRIPTION = (
    "Written from the run folders by analysis/wandb_report.py, which writes it anew in this place."
)


def wandb_report(
    studies: Annotated[
        tuple[str, ...],
        tyro.conf.Positional,
        _arg(metavar="STUDY [STUDY ...]", help="Folders or addresses of studies, merged."),
    ],
    *,
    project: Annotated[str, _arg(metavar="NAME", help="The W&B project of the runs.")] = "lvae",
    entity: Annotated[
        str | None,
        _arg(metavar="NAME", help="Whose project it is.", help_behavior_hint="(the key's own)"),
    ] = None,
    title: Annotated[
        str | None,
        _arg(
            metavar="TITLE",
            help="Of the report: the one of this title in the project is written anew.",
            help_behavior_hint="(the studies' names)",
        ),
    ] = None,
) -> None:
    """Write one W&B report on studies, or write it anew in the same place."""
    if not studies:
        raise InputError("wandb_report.py: give a study, such as runs/paper")
    if importlib.util.find_spec("wandb_workspaces") is None:
        raise InputError("wandb_report.py: wandb is not installed; pip install 'lvae[wandb]'")
    report = compose(collect([open_source(path) for path in studies], cache=user_cache()))
    names = ", ".join(study.rpartition("/")[2] for study in report.studies)
    print(save(report, project, entity, (title or f"lvae: {names}")[:_LONGEST_TITLE]))


def save(report: Report, project: str, entity: str | None, title: str) -> str:
    """Write the report; returns its address.

    Raises:
        InputError: there is no key, W&B cannot be reached, or there is no such project.
    """
    os.environ.setdefault("WANDB_SILENT", "true")
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
    import wandb
    from wandb.sdk.lib import wbauth
    from wandb.sdk.lib.service.service_connection import WandbApiFailedError

    from analysis.formats.wandb import Place, write

    host = str(wandb.setup().settings.base_url)
    # The library talks on stderr, and asks for a key where it has none.
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
    """The address of the report of that title, if the project has one."""
    if place.project not in {found.name for found in api.projects(place.entity)}:
        raise InputError(
            f"--project {place.project}: {place.entity} has no such project; send the runs first, with "
            "python sweeps/wandb_push.py"
        )
    reports = api.reports(f"{place.entity}/{place.project}")
    return next((str(report.url) for report in reports if report.display_name == title), None)


def main() -> None:
    """The command line; bad input ends it with one line and status 2."""
    try:
        tyro.cli(wandb_report, prog="wandb_report.py")
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
