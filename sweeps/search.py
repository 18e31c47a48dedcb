"""Search hyperparameters of one system, then retrain the best and the recipe on fresh seeds.

    python sweeps/search.py --preset demo              a small search on text that comes with Python
    python sweeps/search.py --space learning_rate=0.3..3:log --space latent_size=16,32,64 --trials 48
    python sweeps/search.py --rungs 5 12 --keep 3      continue only one trial in three at these epochs
    python sweeps/search.py --rungs 5 12 --rule asha   compare all trials there, not only those of a round

Trials are compared by validation perplexity and never by test scores; a search stays within one cell.
Trials are runs like any others: the same command continues after an interruption, or with more --trials.
The best are retrained on fresh seeds, because the best of many trials is partly luck. Exit status: 0 all
runs are done, 1 some run has failed (a trial whose loss diverges has not: that is a finding), 2 the input
cannot be used, 130 interrupted.
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

import contextlib
import functools
import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from optuna.distributions import BaseDistribution
from rich.console import Console

from lvae_core.command import exit_status
from lvae_core.config import RunConfig
from lvae_core.errors import InputError
from lvae_core.identity import fields_read
from lvae_core.messages import command_here, notices_held_back
from lvae_core.run_folder.names import run_name
from lvae_core.run_folder.study import Study, open_study
from lvae_core.settings import parse_settings, system_name
from sweeps.guardian import closing_with
from sweeps.launching.progress.display import Display, console, unless_quiet
from sweeps.launching.progress.events import open_events
from sweeps.launching.session import Launch, on_ray
from sweeps.options import interrupted_line, parse_options, removing_new_folders
from sweeps.outcome import print_next
from sweeps.planning.grids.fitting import print_line
from sweeps.planning.kl_annealing import annealing_note
from sweeps.planning.loading import check_datasets, load_corpora, look_up
from sweeps.planning.plan import Plan
from sweeps.planning.retries import launch_notes, with_retries
from sweeps.planning.saved_runs import saved_text
from sweeps.planning.times.calibration import add_rough_times
from sweeps.sweep import check_surroundings, on_wandb, warn_of_damages
from sweeps.trials.asha import AshaSearch
from sweeps.trials.budget import budget_table, runs_left, verdict_text, verdict_warning
from sweeps.trials.cheap import cheap_config, cheap_notes
from sweeps.trials.fresh_seeds import fresh_configs, fresh_points, rerun
from sweeps.trials.history import recorded_space
from sweeps.trials.importances import importances_table
from sweeps.trials.objectives import check_objectives
from sweeps.trials.options import SYSTEM, Options, check_no_parent
from sweeps.trials.progress import coming
from sweeps.trials.proposals import Trial
from sweeps.trials.report import print_outcome, rerun_refusal, write_trials
from sweeps.trials.search import Search
from sweeps.trials.space import check_systems, parse_space
from sweeps.trials.tables import recipe_notes, rules_text, space_table, trials_table

_log = logging.getLogger("lvae.trials")

_LISTS = ("--rungs", "--objective")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    again = command_here("python", "sweeps/search.py", *arguments)

    def command() -> int:
        options = parse_options(Options, arguments, "search.py", __doc__, split=_LISTS)
        options.launch.messages.apply()
        return run(options, again=again)

    return exit_status(command, interrupted_line(arguments), closing=closing_with)


def run(options: Options, *, again: str) -> int:
    """Search, rerun the best on fresh seeds, and print the outcome; returns the exit status.

    Args:
        options: the command line.
        again: the command that continues after an interruption.

    Raises:
        InputError: something given cannot be used; nothing has been started or written.
    """
    out = console()
    base, search = _open(options)
    if options.dry_run:
        _print_rules(options, base, search, out)
        _dry_run(options, base, search, out)
        return 0
    if coming(search):
        check_surroundings(options.launch, search.study)
    # One Ray for the search and for the comparison.
    with removing_new_folders(search.study.url), contextlib.ExitStack() as ray:
        search.study.check_writable()
        with on_wandb(options.launch, search.study, out):
            _print_rules(options, base, search, out)
            completed, failed = _search(options, search, out, ray), False
        if search.known:
            out.print(trials_table(search), importances_table(search))
        best = search.best(options.best)
        if completed:
            completed, failed = _conclude(options, base, search, best, out)
        elif saved := saved_text(search.unfinished()):
            out.print(saved)
    if not completed:
        print_line(out, f"interrupted; resume with: {again}")
        return 130
    return int(failed or not best)


def _open(options: Options) -> tuple[RunConfig, Search]:
    """Check the options, load the data, and read what the study holds of the search.

    Returns:
        The recipe, and its search.

    Raises:
        InputError: something given cannot be used.
    """
    options.check()
    check_datasets([options.dataset or options.defaults.dataset], options.launch.data_dir)
    base, rules, given = options.base(), options.rules(), options.given_changes()
    check_no_parent(base, given)
    study = open_study(options.folder)
    space = _space(options, base, study)
    rules.check(base.max_epochs)
    check_objectives(rules.objectives, rules.rungs, base)
    # Fails now if the last seed is out of range, or the dataset's name too long for a folder's.
    run_name(replace(base, seed=base.seed + options.fresh_seeds), fingerprint=8 * "0")
    # A dry run reads failed trials as they are, and counts those that a launch would retry.
    retry = options.launch.retry_failed and not options.dry_run
    make = AshaSearch if options.rule == "asha" else Search
    with notices_held_back():  # an error is the only line
        (base,), corpora = load_corpora(
            [base],
            options.launch.data_dir,
            study,
            given={*parse_settings(given), *space},  # a field that varies has no value to look for
            command="sweeps/search.py",
        )
        search = make(cheap_config(base, study), space, rules, corpora, study, retry_failed=retry)
    if search.history.damage:
        _log.warning(search.history.damage)
    search.read_finished_rounds()
    return base, search


def _print_rules(options: Options, base: RunConfig, search: Search, out: Console) -> None:
    """Print the space and the rules of a search, notes on them, and what a verdict needs."""
    warn_of_damages(search.plan)
    unless_quiet(out).print(space_table(search))
    fresh = f"; then the best {options.best} and the recipe on {options.fresh_seeds} fresh seeds"
    summary = f"{options.folder}: {rules_text(search)}{fresh if options.fresh_seeds else ''}"
    if options.dry_run:
        verdict = verdict_text(options.fresh_seeds, options.best, bounds=base.encoder != "none")
    else:
        verdict = verdict_warning(options.fresh_seeds, options.best)
    annealing = annealing_note([base], search.corpora)
    notes = [*recipe_notes(search), *cheap_notes(options, base, search.base)]
    notes += [f"note: {annealing}"] if annealing else []
    for line in filter(None, (*notes, summary, verdict)):
        print_line(unless_quiet(out), line)


def _space(options: Options, base: RunConfig, study: Study) -> dict[str, BaseDistribution]:
    """The given space. Without one, a search that is continued keeps its own; a new one has the preset's.

    Raises:
        InputError: the space cannot be used; or the study has a search that does not suit the system.
    """
    if given := options.given_space():
        space = parse_space(given, base)
        check_systems(space, base, SYSTEM)
        return space
    recorded, read = recorded_space(study), fields_read(base, "training")
    for field in (text.partition("=")[0] for text in recorded):
        if field not in read:
            raise InputError(
                f"{study.url}: its search does not suit {system_name(base, field)}, which has no {field}; "
                "give another --study"
            )
    return parse_space(recorded or options.texts(), base)


def _dry_run(options: Options, base: RunConfig, search: Search, out: Console) -> None:
    """Print the trials so far, and what the rest of the search and its comparison cost at most."""
    best, retry = search.best(options.best), options.launch.retry_failed
    points = fresh_points(base, best)
    known = look_up(fresh_configs(options, base, points), search.corpora, open_study(options.best_folder))
    plan, again = with_retries(known, retry), search.failed_runs() if retry else []
    fresh_runs = _fresh_runs_left(options, base, search, plan, len(again))
    trial = look_up([search.base], search.corpora, search.study, evaluate=False)
    is_remote = options.launch.address is not None
    rough = add_rough_times(trial, search.corpora, options.launch.resources(), is_remote=is_remote)
    share = options.launch.resources().share
    left_to_do = runs_left(search, trial.speed, plan, fresh_runs, share, retries=len(again))
    tables = [*([trials_table(search)] if search.known else []), budget_table(left_to_do)]
    out.print(*tables)
    if rough:
        out.print(rough, soft_wrap=True)
    retried = [*again, *(known.with_status("failed") if retry else [])]
    for note in (*launch_notes(known, retried), options.launch.unfit_note(options.folder)):
        if note:
            print_line(out, note)
    print_line(out, f"a dry run of {options.folder}: nothing was started")


def _fresh_runs_left(options: Options, base: RunConfig, search: Search, plan: Plan, retries: int) -> int:
    """The most runs on fresh seeds that may be left. Trials to come may take the places of the best.

    Args:
        options: the command line.
        base: the recipe.
        search: its trials so far.
        plan: the runs of today's points on fresh seeds.
        retries: the number of failed trials that are trained again.
    """
    left = Counter(replace(run.config, seed=base.seed) for run in plan.with_status("left"))
    new = coming(search) + retries
    if new and len(search.rules.objectives) > 1:
        new = options.best  # one trial can remove several points from the front

    def with_new(places: int) -> int:
        kept = fresh_points(base, search.best(options.best)[: options.best - places])
        return sum(left[config] for config in kept.values()) + places * options.fresh_seeds

    return max(map(with_new, range(min(new, options.best) + 1)))


def _search(options: Options, search: Search, out: Console, ray: contextlib.ExitStack) -> bool:
    """Do what is left of the search; returns False after an interrupt.

    Args:
        options: the command line.
        search: its trials and its rules.
        out: receives every line.
        ray: keeps the connection to Ray open, once there is a trial to train.
    """
    events = open_events(search.study, wanted=options.launch.tensorboard)
    display = Display(search.board, unless_quiet(out), events)

    @functools.cache
    def launch() -> Launch:
        workload = search.expected_workload(options.launch.resources())
        return ray.enter_context(on_ray(options.launch, workload, display.say))

    return search.run(launch, display)


def _conclude(
    options: Options, base: RunConfig, search: Search, best: Sequence[Trial], out: Console
) -> tuple[bool, bool]:
    """Print the outcome of a search that has ended, and compare its best trials on fresh seeds.

    Returns:
        Whether the comparison was not interrupted; whether any run has failed.
    """
    failed = print_outcome(search, best, out)
    write_trials(options, search, out)
    if options.fresh_seeds and best:
        if not (refusal := rerun_refusal(search, best)):
            search.history.update_recipe()  # a report calls those of its runs "the recipe"
            swept = rerun(options, base, best, search.corpora, out)
            return not swept.interrupted, failed or swept.failed
        out.print(refusal)
    print_next(unless_quiet(out), search.plan, search.study)
    return True, failed


if __name__ == "__main__":
    sys.exit(main())
