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
import math
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import tyro
from rich.console import Console

from analysis.figures import style, trials
from analysis.formats.files import write_files
from analysis.formats.terminal import table as print_table
from analysis.reading.collect import collect
from analysis.reading.sources import open_source
from analysis.report.report import RESAMPLING_SEED
from analysis.stats.cells import Cell, average_cells
from analysis.stats.comparisons import compare_family
from analysis.tables.comparisons import reach_notes, verdict_values
from analysis.tables.table import Column, Difference, Line, Table
from lvae_core.config import RunConfig, apply_settings
from lvae_core.data.corpus import Corpus
from lvae_core.run_folder.folder import Study
from lvae_core.storage.retrying import STORE_PATIENCE
from sweeps.closing import RETRY, failure_table, print_next
from sweeps.lookup import load_corpora
from sweeps.options import Launch, exit_status, on_ray
from sweeps.plan import PlannedRun
from sweeps.progress import Display, console
from sweeps.propose import Trial
from sweeps.search_options import Options
from sweeps.search_tables import (
    csv_text,
    is_recipe,
    rules_text,
    settings,
    space_table,
    trials_table,
    values_text,
)
from sweeps.space import Values, choices_of, is_log, largest, parse_space, text_of
from sweeps.sweep import Swept, on_wandb, sweep, tell_damages
from sweeps.trials import Search

CHEAP = ("iw_samples=2", "iw_exact_samples=0", "mi_samples=2")
"""Of a trial: its test estimates are not looked at, so they cost as little as they can."""

METRIC = "nll_valid"
"""What points are compared by on fresh seeds: the tightest of their bounds that are bounds."""


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
    study = Study(options.folder, patience=STORE_PATIENCE)
    retry = options.launch.retry_failed
    search = Search(apply_settings(base, CHEAP), space, rules, corpora, study, retry_failed=retry)
    if search.ledger.damage:
        print(f"warning: {search.ledger.damage}", file=sys.stderr)
    search.catch_up()
    tell_damages(search.plan)
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
        failed = _close(search, best, out)
        _write(options, search, out)
    if went_through and options.fresh_seeds and _worth_running(search, best, out):
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
        stack.enter_context(on_wandb(options.launch, options.folder, out))(search.plan, search.board)

        @functools.cache
        def launch() -> Launch:
            # Room for all that could still come, of the largest size.
            like = PlannedRun(config=largest(search.space, search.base), name="", status="left")
            expected = [like] * max(1, search.rules.trials - len(search.known))
            return stack.enter_context(on_ray(options.launch, expected, corpora, study, display.say))

        return search.go_on(launch, display)


def _close(search: Search, best: Sequence[Trial], out: Console) -> bool:
    """Print what has failed, and the best; returns whether any trial has failed.

    That a loss diverges at some point of the space is a finding, not a failure.
    """
    runs = {run.name: run for run in search.plan.runs}
    names = [search.name(trial.values) for trial in search.known if trial.state == "failed"]
    failures = {name: runs[name].failure or search.board.failures.get(name, {}) for name in names}
    if failures:
        out.print(failure_table(failures))
        out.print(RETRY)
    if best:
        point = shlex.join(settings(best[0].values))
        out.print(f"best: trial {best[0].number}, {point}", markup=False, soft_wrap=True)
    return bool(failures)


def _worth_running(search: Search, best: Sequence[Trial], out: Console) -> bool:
    """Whether there is anything to compare with the recipe; says so where there is not."""
    if best and all(is_recipe(search, trial.values) for trial in best):
        out.print("no trial is better than the recipe: there is nothing to run anew")
        return False
    return bool(best)


def _points(search: Search) -> list[trials.Point]:
    """What can be drawn: all but the trials that failed for no fault of their own."""
    points = []
    for trial in search.known:
        if trial.state == "diverged":
            points.append(trials.Point(_placed(search, trial.values), math.inf))
        elif trial.scores and trial.state in ("done", "dropped"):
            dropped = trial.state == "dropped"
            points.append(trials.Point(_placed(search, trial.values), trial.scores[-1], dropped))
    return points


def _placed(search: Search, values: Values) -> dict[str, Any]:
    """Field -> number, or place among its choices; without what is none of them."""
    placed = {}
    for field, distribution in search.space.items():
        choices = choices_of(distribution)
        if not choices:
            placed[field] = values[field]
        elif values[field] in choices:
            placed[field] = choices.index(values[field])
    return placed


def _write(options: Options, search: Search, out: Console) -> None:
    """Write the trials as a table for computing with and as a picture."""
    name = options.folder.rpartition("/")[2]
    config = search.base
    title = f"{name}: {config.cell.replace('__', ', ')}, seed {config.seed}"
    panels = [
        trials.Field(field, is_log(distribution), tuple(map(text_of, choices_of(distribution))))
        for field, distribution in search.space.items()
    ]
    files: dict[str, str | bytes] = {f"{name}.csv": csv_text(search)}
    with style.style():
        if figure := trials.draw(_points(search), panels, _placed(search, config.to_dict()), title):
            files[f"{name}.svg"], files[f"{name}.png"] = style.save(figure)
    try:
        write_files(files, options.out)
    except OSError as error:  # not worth losing what follows
        reason = error.strerror or str(error)
        print(f"warning: --out {options.out}: cannot be written ({reason})", file=sys.stderr)
    else:
        listed = " ".join(f"{options.out}/{file}" for file in files)
        out.print(f"trials: {listed}", markup=False, soft_wrap=True)


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
        _compare(runs, folder, meanings, out)
        print_next(out, swept.plan, folder)
    return swept


def _compare(runs: Mapping[str, str], folder: str, meanings: Sequence[str], out: Console) -> None:
    """Print the best points minus the recipe over fresh seeds.

    Args:
        runs: name of a run that is done -> which point it is of, the best first.
        folder: theirs.
        meanings: what the points are.
        out: where to.
    """
    cells: dict[str, Cell] = {}
    if runs:
        frame = collect([open_source(folder)]).frame
        for cell in average_cells(frame[frame["run"].isin(list(runs))]):
            cells |= {runs[run]: cell for average in cell.averages.values() for run in average.runs}
    recipe = cells.pop("the recipe", None)
    if recipe is None or not cells:
        out.print(
            "nothing to compare: on fresh seeds the recipe, or all of the best, have no run that is done"
        )
        return
    ordered = [name for name in dict.fromkeys(runs.values()) if name in cells]
    compared = compare_family(
        [(cells[n], recipe) for n in ordered], METRIC, np.random.default_rng(RESAMPLING_SEED)
    )
    lines = [Line("published", "the recipe", (compared[0].averages[1],))]
    for name, comparison in zip(ordered, compared, strict=True):
        paired = comparison.paired
        difference = None if paired.mean is None else Difference(paired.mean, paired.interval)
        values = comparison.averages[0], difference, *verdict_values(comparison)
        lines.append(Line("ours", name, values))
    headings = "NLL", "diff", "95%", "n", "flip p", "t p", "P(lower)"
    columns = (*(Column(name, decimals=2) for name in headings), Column("verdict", text=True))
    notes = (
        *meanings,
        f"NLL: {' and '.join(dict.fromkeys(compared[0].estimates))} on the test split, nats a sentence, "
        "mean ± standard deviation over seeds that the search has not seen",
        "diff: mean of point minus recipe over the n seeds that both have, below 0 where it is better, and "
        "its 95% t interval. flip p, t p: of the sign-flip test and of the paired t test, after Holm's "
        "correction. P(lower): probability that a seed of the point is lower than a seed of the recipe",
        *reach_notes(compared),
    )
    print_table(out, Table("On fresh seeds", columns, tuple(lines), notes, ()))


if __name__ == "__main__":
    sys.exit(main())
