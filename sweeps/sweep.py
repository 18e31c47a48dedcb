"""One sweep: the plan is looked up, what is left of it is done, and what has become of it is told."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

from rich.console import Console

from lvae_core.config import RunConfig
from lvae_core.data.corpus import Corpus
from lvae_core.run_folder.folder import Study
from lvae_core.storage.retrying import STORE_PATIENCE
from sweeps.closing import print_closing
from sweeps.lookup import look_up
from sweeps.options import LaunchOptions, on_ray
from sweeps.plan import Plan, PlannedRun
from sweeps.progress import Board, Display
from sweeps.wandb_mirror.driver import mirrored


class Swept(NamedTuple):
    """What has become of it."""

    plan: Plan
    """As the folders tell it at the end."""
    failed: bool
    """Whether any run of it has failed."""
    interrupted: bool


def sweep(
    options: LaunchOptions,
    folder: str,
    configs: Sequence[RunConfig],
    corpora: Mapping[str, Corpus],
    out: Console,
    label: Callable[[RunConfig], str] | None = None,
) -> Swept:
    """Do the runs of ``configs`` that are not done.

    Args:
        options: where and how.
        folder: of the study, as the user would write it.
        configs: see above.
        corpora: theirs, by the datasets that the configs name.
        out: told of everything.
        label: what a run is called there; None: by its own name.

    Raises:
        InputError: something cannot be used; no run has been started.
    """
    study = Study(folder, patience=STORE_PATIENCE)
    plan = look_up(configs, corpora, study)
    tell_damages(plan)
    todo = to_do(plan, options)
    board = Board.of(plan, todo)
    if label:
        board.labels = {run.name: label(run.config) for run in plan.runs}
    with on_wandb(options, folder, out) as mirror:
        mirror(plan, board)
        if not todo:
            done = len(plan.with_status("done"))
            out.print(f"nothing to start: {done} of {len(plan.runs)} runs are done")
            return Swept(plan, print_closing(out, plan, {}), interrupted=False)
        study.check_writable()
        out.print(f"{folder}: {len(todo)} of {len(plan.runs)} runs to do", markup=False)
        display = Display(board, out)
        with on_ray(options, todo, corpora, study, display.say) as launch:
            went_through = launch(todo, display)
        plan = look_up(configs, corpora, study)
        return Swept(plan, print_closing(out, plan, board.failures), not went_through)


def on_wandb(
    options: LaunchOptions, folder: str, out: Console
) -> contextlib.AbstractContextManager[Callable[[Plan, Board], None]]:
    """The mirror that the options ask for; see :func:`sweeps.wandb_mirror.driver.mirrored`."""
    say = partial(out.print, markup=False, soft_wrap=True)
    return mirrored(options.wandb, folder, options.wandb_project, options.wandb_entity, say)


def to_do(plan: Plan, options: LaunchOptions) -> list[PlannedRun]:
    """The runs that a launch would start."""
    return plan.with_status("left", "failed") if options.retry_failed else plan.with_status("left")


def tell_damages(plan: Plan) -> None:
    """A line on stderr for each file that is not what was written."""
    for damage in (line for run in plan.runs for line in run.damages):
        print(f"warning: {damage}; launching mends it", file=sys.stderr)
