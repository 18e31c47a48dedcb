"""Search hyperparameters of one system, then run the best anew on fresh seeds beside the recipe itself.

    python sweeps/search.py --preset demo              a small search on text that comes with Python
    python sweeps/search.py --space learning_rate=0.3..3:log --space latent_size=16,32,64 --trials 48
    python sweeps/search.py --rungs 5 12 --keep 3      only one trial in three goes on at these epochs

Trials are compared by validation perplexity and never by test numbers; what is searched stays within one
cell. They are runs like any others: the same command goes on after an interruption, or with more --trials.
Exit status: 0 all is done, 1 some run has failed (a trial whose loss diverges has not: that is a finding),
2 the input cannot be used, 130 interrupted.
"""

from __future__ import annotations

import contextlib
import functools
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace

import tyro
from rich.console import Console

from analysis.formats.terminal import print_table
from analysis.report.search_points import compare_points
from lvae_core.command import exit_status
from lvae_core.config import RunConfig
from lvae_core.data.corpus import Corpus
from lvae_core.run_folder.folder import Study
from lvae_core.settings import apply_where_read, parse_settings
from lvae_core.storage.retrying import RETRY_SECONDS
from sweeps.launching.display import Display, console
from sweeps.launching.session import Launch, on_ray
from sweeps.planning.loading import load_corpora
from sweeps.planning.plan import PlannedRun
from sweeps.sweep import Swept, on_wandb, print_next, sweep, warn_of_damages
from sweeps.trials.options import Options
from sweeps.trials.proposals import Trial
from sweeps.trials.report import is_worth_running, print_outcome, write_trials
from sweeps.trials.search import Search
from sweeps.trials.space import largest, parse_space
from sweeps.trials.tables import rules_text, space_table, trials_table, values_text

CHEAP = ("iw_samples=2", "iw_exact_samples=0", "mi_samples=2")
"""Of a trial: its test estimates are not looked at, so they cost as little as they can."""


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    options = tyro.cli(Options, args=arguments, prog="search.py", description=__doc__)
    again = shlex.join(["python", "sweeps/search.py", *arguments])
    return exit_status(lambda: run(options, again=again))


def run(options: Options, *, again: str) -> int:
    """Search, run the best anew and close; returns the exit status.

    Args:
        options: the command line.
        again: the command that goes on from an interruption.

    Raises:
        InputError: something given cannot be used; nothing has been started or written.
    """
    options.check()
    out, base, rules = console(), options.base(), options.rules()
    space = parse_space(options.texts(), base)
    rules.check(base.max_epochs)
    replace(base, seed=base.seed + options.fresh_seeds)  # where the last of them is no seed, now
    corpora = load_corpora([base], options.launch.data_dir, "sweeps/search.py")
    study = Study(options.folder, patience=RETRY_SECONDS)
    retry = options.launch.retry_failed
    search = Search(
        apply_where_read(base, parse_settings(CHEAP))[0], space, rules, corpora, study, retry_failed=retry
    )
    if search.history.damage:
        print(f"warning: {search.history.damage}", file=sys.stderr)
    search.catch_up()
    warn_of_damages(search.plan)
    out.print(space_table(search))
    fresh = f"; then the best {options.best} and the recipe on {options.fresh_seeds} fresh seeds"
    told = f"{options.folder}: {rules_text(search)}{fresh if options.fresh_seeds else ''}"
    out.print(told, markup=False, soft_wrap=True)
    if options.dry_run:
        out.print(*([trials_table(search)] if search.known else []), "a dry run: nothing was started")
        return 0
    study.check_writable()
    went_through, failed = _search(options, search, corpora, study, out), False
    if search.known:
        out.print(trials_table(search))
    best = search.best(options.best)
    if went_through:
        failed = print_outcome(search, best, out)
        write_trials(options, search, out)
    if went_through and options.fresh_seeds and is_worth_running(search, best, out):
        swept = _run_anew(options, base, best, corpora, out)
        went_through, failed = not swept.interrupted, failed or swept.failed
    if not went_through:
        out.print(f"interrupted; this goes on from here: {again}", markup=False, soft_wrap=True)
        return 130
    return int(failed or not best)


def _search(
    options: Options, search: Search, corpora: Mapping[str, Corpus], study: Study, out: Console
) -> bool:
    """Do what is left of the search; returns whether it was not interrupted."""
    display = Display(search.board, out)
    with contextlib.ExitStack() as stack:
        stack.enter_context(on_wandb(options.launch, options.folder, out))

        @functools.cache
        def launch() -> Launch:
            # Room for all that could still come, of the largest size.
            like = PlannedRun(config=largest(search.space, search.base), name="", status="left")
            expected = [like] * max(1, search.rules.trials - len(search.known))
            return stack.enter_context(on_ray(options.launch, expected, corpora, study, display.say))

        return search.go_on(launch, display)


def _run_anew(
    options: Options,
    base: RunConfig,
    best: Sequence[Trial],
    corpora: Mapping[str, Corpus],
    out: Console,
) -> Swept:
    """Run the recipe and the best points on seeds that the search has not seen, and compare them."""
    points = {"the recipe": base}
    for place, trial in enumerate(best, start=1):
        if (config := replace(base, **dict(trial.values))) not in points.values():
            points[f"best {place}"] = config
    seeds = range(base.seed + 1, base.seed + 1 + options.fresh_seeds)
    fresh = [replace(point, seed=seed) for seed in seeds for point in points.values()]
    names = {point: name for name, point in points.items()}

    def name_of(config: RunConfig) -> str:
        return names[replace(config, seed=base.seed)]

    folder = options.best_folder
    swept = sweep(
        options.launch, folder, fresh, corpora, out, lambda config: f"{name_of(config)}, seed {config.seed}"
    )
    if not swept.interrupted:
        done = swept.plan.with_status("done")
        runs = {run.name: name for name in points for run in done if name_of(run.config) == name}
        meanings = [
            f"best {place}: trial {trial.number}, {values_text(trial.values)}"
            for place, trial in enumerate(best, start=1)
            if f"best {place}" in points
        ]
        table = compare_points(runs, folder, meanings)
        if table is None:
            out.print(
                "nothing to compare: the recipe, or all of the best, have no finished run on fresh seeds"
            )
        else:
            print_table(out, table)
        print_next(out, swept.plan, folder)
    return swept


if __name__ == "__main__":
    sys.exit(main())
