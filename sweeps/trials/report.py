"""Report a search: failures, the lowest perplexity, the comparison on fresh seeds, and its files."""

from __future__ import annotations

import logging
import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from matplotlib.figure import Figure
from rich.console import Console

from analysis.figures import parallel, trials
from analysis.figures.elements import finish, style
from analysis.formats.files import write_files
from analysis.formats.summary_folder import mark, summary_folder
from analysis.formats.terminal import print_table
from analysis.report.search_points import compare_points
from analysis.stats.verdicts import RULE
from lvae_core.errors import reason
from lvae_core.run_folder.names import CellName
from sweeps.outcome import print_failures
from sweeps.planning.grids.fitting import print_line
from sweeps.trials.importances import importances, importances_csv
from sweeps.trials.objectives import OBJECTIVES
from sweeps.trials.options import Options
from sweeps.trials.proposals import Trial
from sweeps.trials.search import Search
from sweeps.trials.space import Values, choices_of, conflict, is_log, range_of, text_of
from sweeps.trials.tables import (
    bound_note,
    csv_text,
    front_numbers,
    is_recipe,
    left_out_of_recipe,
    settings,
    short_text,
    values_text,
)

_log = logging.getLogger("lvae.trials")


def print_outcome(search: Search, best: Sequence[Trial], out: Console) -> bool:
    """Print the failed trials and the one of the lowest perplexity; returns whether any trial has failed.

    A loss that diverges at some point of the space is a finding, not a failure.
    """
    runs = {run.name: run for run in search.plan.runs}
    failed = [trial for trial in search.known if trial.state == "failed"]
    for trial in (trial for trial in failed if not search.runs.is_valid(trial.values)):
        why = conflict(search.base, trial.values)
        line = f"trial {trial.number}, {values_text(trial.values)}: cannot be trained ({why})"
        print_line(out, line)
    failed = [trial for trial in failed if search.runs.is_valid(trial.values)]
    values = {search.runs.name(trial.values): values_text(trial.values) for trial in failed}
    failures = {name: runs[name].failure or search.board.failures.get(name, {}) for name in values}
    if failures:
        print_failures(out, failures, values)
    if best:
        point = shlex.join(settings(best[0].values))
        line = f"lowest validation perplexity: trial {best[0].number}, {point}"
        print_line(out, line)
    return bool(failures)


def rerun_refusal(search: Search, best: Sequence[Trial]) -> str:
    """The reason in one line not to rerun the best trials on fresh seeds; "" if there is none."""
    if all(is_recipe(search, trial.values) for trial in best):
        return "the recipe has the lowest validation perplexity: there is nothing to rerun on fresh seeds"
    return ""


def print_comparison(runs: Mapping[str, str], study: str, meanings: Sequence[str], out: Console) -> None:
    """Print the table of the best points against the recipe; see :func:`compare_points`."""
    table = compare_points(runs, study, meanings)
    if table is None:
        out.print("nothing to compare: the recipe, or all of the best, have no finished run on fresh seeds")
    else:
        print_table(out, replace(table, notes=tuple(map(_short_note, table.notes))))


def _short_note(note: str) -> str:
    """A note of a table; a reference in place of the rule behind verdicts, which has eight lines."""
    return "The rule behind the verdicts: docs/report.md" if note == RULE else note


def _points(search: Search) -> list[trials.Point]:
    """The points to draw, without trials whose failure says nothing about their point."""
    points = []
    for trial in search.known:
        if trial.state == "diverged":
            points.append(trials.Point(_placed(search, trial.values), math.inf))
        elif trial.scores and trial.state in ("done", "dropped"):
            dropped = trial.state == "dropped"
            points.append(trials.Point(_placed(search, trial.values), trial.scores[-1], dropped))
    return points


def _placed(search: Search, values: Values) -> dict[str, Any]:
    """Field -> number, or index among its choices; fields with another value are left out."""
    placed = {}
    for field, distribution in search.space.items():
        choices = choices_of(distribution)
        if not choices:
            placed[field] = values[field]
        elif values[field] in choices:
            placed[field] = choices.index(values[field])
    return placed


def _front_figure(search: Search, title: str, note: str) -> Figure | None:
    """The scatter of a search's objectives; None for a single one.

    Args:
        search: the search.
        title: the figure's title.
        note: follows the heading of the NLL.
    """
    names, front = search.rules.objectives, front_numbers(search)
    if not front:
        return None
    outcomes = [
        trials.Outcome(trial.objectives, trial.number in front)
        for trial in search.known
        if trial.objectives
    ]
    headings = [OBJECTIVES[name].heading + note * (name == "nll") for name in names]
    return trials.draw_front(outcomes, headings, names.index("nll"), title)


def write_trials(options: Options, search: Search, out: Console) -> None:
    """Write the trials and the importances of their fields as CSV, and the trials as figures."""
    name = options.folder.rpartition("/")[2]
    config = search.base
    title = f"{name}: {CellName.of(config).words}, seed {config.seed}"
    fields, left_out = config.to_dict(), left_out_of_recipe(search)
    panels = [
        trials.Field(
            field,
            is_log(distribution),
            tuple(map(text_of, choices_of(distribution))),
            range_of(distribution),
            short_text(fields[field]) if field in left_out else "",
        )
        for field, distribution in search.space.items()
    ]
    files: dict[str, str | bytes] = {f"{name}.csv": csv_text(search)}
    if (found := importances(search)) is not None:
        files[f"{name}-importances.csv"] = importances_csv(search, found)
    note = bound_note(search).replace(" ", "\n", 1)  # in a second line: an axis may be short
    with style.style():
        if figure := trials.draw(_points(search), panels, _placed(search, fields), title, note):
            files[f"{name}.svg"], files[f"{name}.png"] = finish.save(figure)
        if figure := parallel.draw(_points(search), panels, title, note):
            files[f"{name}-parallel.svg"], files[f"{name}-parallel.png"] = finish.save(figure)
        if figure := _front_figure(search, title, note):
            files[f"{name}-front.svg"], files[f"{name}-front.png"] = finish.save(figure)
    place = options.out or summary_folder((options.folder,))
    try:
        if not options.out:
            mark(place, (options.folder,))
        write_files(files, place)
    except OSError as error:  # no reason to stop before the rerun
        _log.warning("--out %s: cannot be written (%s)", place, reason(error))
    else:
        listed = " ".join(f"{place}/{file}" for file in files)
        print_line(out, f"trials: {listed}")
