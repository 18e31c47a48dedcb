"""Run the grid of Kruengkrai (2019), or a part of it, on this machine or a Ray cluster.

    python sweeps/paper_grid.py --preset demo          a small grid on text that comes with Python
    python sweeps/paper_grid.py --dry-run              what the paper's grid would take
    python sweeps/paper_grid.py --datasets ptb --seeds 3 --gpus-per-run 0.25

Finished runs are never repeated: after an interruption, or with a longer list, the same command does what
is missing. With other fields of evaluation, such as --set iw_samples=5000, trained runs are only evaluated
again. Exit status: 0 all runs are done, 1 some run has failed, 2 the input cannot be used,
130 interrupted.
"""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    # Python puts the folder of a script first on the path; lvae_core is in the folder above it.
    sys.path[0] = str(Path(__file__).resolve().parent.parent)
    from lvae_core.environment import check_installed, end_quietly_on_ctrl_c

    end_quietly_on_ctrl_c()
    check_installed("sweeps")
    from sweeps.guardian import let_a_child_work

    let_a_child_work()

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from statistics import fmean

from rich.console import Console

from lvae_core.command import exit_status
from lvae_core.data.corpus import data_hashes
from lvae_core.errors import InputError
from lvae_core.messages import command_here, next_line, notices_held_back
from lvae_core.run_folder.search_record import holds_search
from lvae_core.run_folder.study import Study, open_study
from sweeps.grid_options import LISTS, Options
from sweeps.guardian import closing_with
from sweeps.launching.progress.display import console, unless_quiet
from sweeps.launching.session import connected
from sweeps.options import interrupted_line, parse_options
from sweeps.outcome import print_next
from sweeps.planning.former_values import unreadable
from sweeps.planning.grid import protocol_note
from sweeps.planning.grids.declared import check_declarable, declaration_note
from sweeps.planning.grids.files import GridFile
from sweeps.planning.grids.fitting import print_line
from sweeps.planning.grids.overview import axes_of, common_seeds, overview, print_overview, run_label
from sweeps.planning.grids.run_list import print_runs
from sweeps.planning.grids.writing import write_grid
from sweeps.planning.kl_annealing import annealing_note
from sweeps.planning.loading import add_expected_times, check_datasets, load_corpora, look_up
from sweeps.planning.plan import PlannedRun, by_variant
from sweeps.planning.resources import Resources, cores_here
from sweeps.planning.retries import launch_notes, with_retries
from sweeps.planning.significance import seeds_note
from sweeps.planning.times.calibration import add_rough_times
from sweeps.planning.times.cost import variant_costs
from sweeps.planning.times.plan_table import print_costs
from sweeps.planning.workload import Workload
from sweeps.sweep import (
    check_surroundings,
    on_wandb,
    runs_to_start,
    sweep,
    warn_of_damages,
    work_text,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    again = command_here("python", "sweeps/paper_grid.py", *arguments)

    def command() -> int:
        options = parse_options(
            Options, arguments, "paper_grid.py", __doc__, split=LISTS, lists=["--seeds"]
        )
        options.launch.messages.apply()
        return run(options, again=again)

    return exit_status(command, interrupted_line(arguments), closing=closing_with)


def run(options: Options, *, again: str) -> int:
    """Plan the grid and do what is left of it; returns the exit status.

    Args:
        options: the command line.
        again: the command that continues after an interruption.

    Raises:
        InputError: something given cannot be used; nothing has been started or written.
    """
    options.check()
    out, grid = console(), options.grid()
    check_datasets((name for part in grid.grids for name in part.datasets), options.launch.data_dir)
    configs, study, given = grid.configs(), open_study(options.folder), options.chosen_fields()
    notes = [protocol_note(configs)] if grid.protocol == "original" else []
    notes += grid.notes(given)
    dry_option = "--dry-run" if options.dry_run else "--list" if options.list_runs else ""
    with notices_held_back():  # an error is the only line
        if options.declare_seeds is not None:
            check_declarable(study, configs, options.declare_seeds)
        configs, corpora = load_corpora(configs, options.launch.data_dir, study, given=given)
        plan = look_up(configs, corpora, study)
        todo = runs_to_start(plan, options.launch)
        if not options.list_runs:
            check_no_search(study, todo)
        if starts := bool(todo) and not dry_option:
            check_surroundings(options.launch, study)
    workload = Workload(plan=plan, corpora=corpora, study=study, resources=options.launch.resources())
    notes += declaration_note(study, configs, options.declare_seeds, dry_option=dry_option)
    notes.append(annealing_note(configs, corpora))
    if options.dry_run:
        notes.append(seeds_note(plan.runs, data_hashes(corpora), study, options.declare_seeds))
    lines = [f"note: {note}" for note in notes if note]
    if dry_option:
        print_lines(out, lines)
    if options.list_runs:
        warn_of_damages(plan)
        print_runs(out, unless_quiet(out), plan)
        return 0
    if options.dry_run:
        dry_run(options, workload, out)
        if options.write_grid is not None:
            write_grid(options.write_grid, GridFile(grid, options.study))
            line = next_line("python", "sweeps/paper_grid.py", "--grid", options.write_grid)
            print_line(unless_quiet(out), line)
        return 0
    axes = axes_of(configs)
    label = partial(run_label, axes=axes) if axes else None  # names of runs do not tell variants apart
    with on_wandb(options.launch, study, out):
        print_lines(out, lines)
        if starts:
            launched = with_retries(plan, options.launch.retry_failed)
            print_overview(unless_quiet(out), overview(launched.runs))
        swept = sweep(options.launch, workload, out, label, declared_seeds=options.declare_seeds)
    if swept.interrupted:
        print_line(out, f"interrupted; resume with: {again}")
        return 130
    print_next(unless_quiet(out), swept.plan, study)
    return int(swept.failed)


def print_lines(out: Console, lines: Sequence[str]) -> None:
    """Print lines unless the command is quiet."""
    for line in lines:
        print_line(unless_quiet(out), line)


def check_no_search(study: Study, todo: Sequence[PlannedRun]) -> None:
    """Check that no run would be trained among the trials of a search, whose report would count it.

    Raises:
        InputError: one would, or the storage cannot be read.
    """
    try:
        is_of_search = any(not run.evaluation for run in todo) and holds_search(study)
    except OSError as error:
        raise InputError(unreadable(study, error)) from None
    if is_of_search:
        raise InputError(
            f"{study.given}: holds the trials of a search, and a grid's runs would be taken for some; give "
            "another --study"
        )


def dry_run(options: Options, workload: Workload, out: Console) -> None:
    """Print what is left to do and its cost; with auto, probe first."""
    plan = workload.plan
    warn_of_damages(plan)
    todo = runs_to_start(plan, options.launch)
    plan = with_retries(plan, options.launch.retry_failed)
    probes = options.launch.auto and todo
    if probes:
        workload.study.check_writable()
        say = partial(print_line, unless_quiet(out))
        with connected(options.launch, workload.only(todo), say) as probed:
            workload = replace(workload, per_run=probed.per_run)
            add_expected_times(plan, workload.corpora, workload.study)
    shares = shares_of(workload, todo)
    columns = overview(plan.runs)
    if seeds := common_seeds(columns):  # then the table of costs has the same lines
        out.print(f"seed{'' if seeds.isdecimal() else 's'} of each cell: {seeds}")
    else:
        print_overview(out, columns)
    is_remote = options.launch.address is not None
    rough = add_rough_times(plan, workload.corpora, workload.resources, is_remote=is_remote)
    costs = variant_costs(plan, shares.__getitem__)
    devices = options.devices or usual_devices(workload.resources, is_remote=is_remote)
    launch, price = workload.only(todo), options.price_per_hour
    print_costs(out, plan, costs, launch, devices, price, starts_ray=not is_remote)
    if rough:
        out.print(rough, soft_wrap=True)
    if plan.with_status("evaluate") or any(run.epochs for run in todo):
        out.print(work_text(plan, todo))
    unfit = options.launch.unfit_note(options.folder) if todo else ""
    for note in (*launch_notes(plan, todo), unfit):
        if note:
            print_line(out, note)
    what = "no run" if probes else "nothing"
    print_line(out, f"a dry run of {options.folder}: {what} was started")


def shares_of(workload: Workload, todo: Sequence[PlannedRun]) -> dict[str, float]:
    """Variant -> devices that each of its runs takes up; only those still to do have been probed."""
    variants = by_variant(workload.plan.all_runs) | by_variant(todo)
    return {
        variant: fmean(workload.resources_of(run.name).share for run in runs)
        for variant, runs in variants.items()
    }


def usual_devices(resources: Resources, *, is_remote: bool) -> list[int]:
    """The numbers of devices that a dry run gives times for: 1, 8, and the cores that runs get here."""
    numbers = {1, 8}
    if not (is_remote or resources.gpus):  # to count GPUs takes seconds
        cores = cores_here()
        numbers.add(min(cores, resources.max_concurrent * resources.cpus or cores))
    return sorted(numbers)


if __name__ == "__main__":
    sys.exit(main())
