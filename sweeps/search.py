"""Search hyperparameters of one system, then run the best anew on fresh seeds beside the recipe itself.

    python sweeps/search.py --preset demo              a small search on text that comes with Python
    python sweeps/search.py --space learning_rate=0.3..3:log --space latent_size=16,32,64 --trials 48
    python sweeps/search.py --rungs 5 12 --keep 3      only one trial in three goes on at these epochs

Trials are compared by validation perplexity and never by test numbers; what is searched stays within one
cell. They are runs like any others: the same command goes on after an interruption, or with more --trials.
Exit status: 0 all is done, 1 some run has failed, 2 the input cannot be used, 130 interrupted.
"""

from __future__ import annotations

import contextlib
import functools
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import tyro
from rich.console import Console

from analysis.cells import Cell, average_cells
from analysis.collect import collect
from analysis.comparisons import compare_family
from analysis.contrasts import reach_notes, verdict_values
from analysis.figures import style, trials
from analysis.report import RESAMPLING_SEED
from analysis.studies import open_source
from analysis.terminal import table as print_table
from analysis.values import Column, Difference, Line, Table
from analysis.write import write_files
from lvae_core.config import RunConfig, apply_settings
from lvae_core.corpus import Corpus
from lvae_core.record import STORE_PATIENCE, Study
from sweeps.closing import RETRY, failure_table, print_next
from sweeps.lookup import load_corpora
from sweeps.options import Launch, exit_status, on_ray
from sweeps.plan import Plan, PlannedRun
from sweeps.progress import Display, console
from sweeps.search_options import Options
from sweeps.search_tables import csv_text, settings, space_table, trials_table, values_text
from sweeps.space import Values, choices_of, is_log, parse_space, text_of
from sweeps.sweep import Swept, on_wandb, sweep
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
    corpora = load_corpora([base], options.launch.data_dir)
    study = Study(options.folder, patience=STORE_PATIENCE)
    retry = options.launch.retry_failed
    search = Search(apply_settings(base, CHEAP), space, rules, corpora, study, retry_failed=retry)
    if search.ledger.damage:
        print(f"warning: {search.ledger.damage}", file=sys.stderr)
    out.print(space_table(search))
    proposed = sum(map(len, search.ledger.rounds))
    out.print(
        f"{options.folder}: {rules.trials} trials, {proposed} of them proposed so far, {rules.at_once} a "
        f"round; then {options.best} of them and the recipe on {options.fresh_seeds} fresh seeds",
        markup=False,
        soft_wrap=True,
    )
    if options.dry_run:
        out.print("a dry run: nothing was started")
        return 0
    study.check_writable()
    went_through, failed = _search(options, search, corpora, study, out), False
    best = [trial.values for trial in search.best(options.best)]
    if went_through:
        failed = _close(search, best, out)
        _write(options, search, out)
    if went_through and best and options.fresh_seeds:
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
            # Room for all that could still come.
            like = PlannedRun(config=search.base, name="", status="left")
            expected = [like] * (search.rules.trials - len(search.known))
            return stack.enter_context(on_ray(options.launch, expected, corpora, study, display.say))

        return search.go_on(launch, display)


def _close(search: Search, best: Sequence[Values], out: Console) -> bool:
    """Print what has become of the trials; returns whether any has failed.

    That a loss diverges at some point of the space is a finding, not a failure.
    """
    out.print(trials_table(search))
    runs = {run.name: run for run in search.plan.runs}
    names = [search.name(trial.values) for trial in search.known if trial.state == "failed"]
    failures = {name: runs[name].failure or search.board.failures.get(name, {}) for name in names}
    if failures:
        out.print(failure_table(failures))
        out.print(RETRY)
    if best:
        out.print(f"best: {shlex.join(settings(best[0]))}", markup=False, soft_wrap=True)
    return bool(failures)


def _points(search: Search) -> list[trials.Point]:
    return [
        trials.Point(_placed(search, trial.values), trial.scores[-1], trial.state == "dropped")
        for trial in search.known
        if trial.scores and trial.state in ("done", "dropped")
    ]


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
    best: Sequence[Values],
    corpora: Mapping[str, Corpus],
    out: Console,
) -> Swept:
    """Run the best points and the recipe on fresh seeds and compare them."""
    points = [base, *(replace(base, **dict(values)) for values in best)]
    fresh, label = _fresh(points, options.fresh_seeds), functools.partial(_label, points)
    swept = sweep(options.launch, options.best_folder, fresh, corpora, out, label)
    if not swept.interrupted:
        _compare(swept.plan, options.best_folder, base, best, out)
        print_next(out, swept.plan, options.best_folder)
    return swept


def _fresh(points: Sequence[RunConfig], seeds: int) -> list[RunConfig]:
    """The recipe and the best points on seeds that the search has not seen, seed by seed."""
    numbers = range(points[0].seed + 1, points[0].seed + 1 + seeds)
    return [replace(point, seed=number) for number in numbers for point in dict.fromkeys(points)]


def _label(points: Sequence[RunConfig], config: RunConfig) -> str:
    place = points.index(replace(config, seed=points[0].seed))
    return f"{f'best {place}' if place else 'the recipe'}, seed {config.seed}"


def _compare(plan: Plan, folder: str, base: RunConfig, best: Sequence[Values], out: Console) -> None:
    """Print the best points minus the recipe over fresh seeds."""
    done = plan.with_status("done")
    cells = average_cells(collect([open_source(folder)]).frame) if done else []

    def cell_of(point: RunConfig) -> Cell | None:
        names = {run.name for run in done if replace(run.config, seed=base.seed) == point}
        return next(
            (cell for cell in cells for average in cell.averages.values() if names & set(average.runs)),
            None,
        )

    recipe = cell_of(base)
    labelled = [(values_text(values), cell_of(replace(base, **dict(values)))) for values in best]
    found = [(label, cell) for label, cell in labelled if cell is not None and cell is not recipe]
    if recipe is None or not found:
        return
    pairs = [(cell, recipe) for _, cell in found]
    compared = compare_family(pairs, METRIC, np.random.default_rng(RESAMPLING_SEED))
    lines = [Line("published", "the recipe", (compared[0].averages[1],))]
    for (label, _), comparison in zip(found, compared, strict=True):
        paired = comparison.paired
        difference = None if paired.mean is None else Difference(paired.mean, paired.interval)
        values = comparison.averages[0], difference, *verdict_values(comparison)
        lines.append(Line("ours", label, values))
    names = "NLL", "minus recipe", "95%", "n", "flip p", "t p", "P(lower)"
    columns = (*(Column(name, decimals=2) for name in names), Column("verdict", text=True))
    notes = (
        f"NLL: {' and '.join(dict.fromkeys(compared[0].estimates))} on the test split, nats a sentence, "
        "mean ± standard deviation over seeds that the search has not seen",
        *reach_notes(compared),
    )
    print_table(out, Table("On fresh seeds", columns, tuple(lines), notes, ()))


if __name__ == "__main__":
    sys.exit(main())
