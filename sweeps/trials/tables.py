"""The tables of a search: its space, its rules, and its trials."""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Iterator, Sequence

from rich.table import Table
from rich.text import Text

from lvae_core.run_folder.estimates import best_ppl_is_bound
from lvae_core.run_folder.names import CellName
from lvae_core.run_folder.search_record import RECIPE
from sweeps.trials.objectives import OBJECTIVES, pareto_front
from sweeps.trials.progress import states
from sweeps.trials.proposals import State, Trial
from sweeps.trials.search import Search
from sweeps.trials.space import Values, contains, spec_of, text_of

SHOWN = 12
"""The largest number of trials that a table shows, the best first."""

_DIGITS = 4
"""Significant digits of numbers from a range, for reading."""

_ORDER: tuple[State, ...] = ("done", "dropped", "diverged", "failed", "open")


def space_table(search: Search) -> Table:
    """The fields of the space, with the recipe's values and their ranges."""
    table = Table("field", title="what may vary")
    table.add_column("recipe", justify="right")
    table.add_column("range")
    fields = search.base.to_dict()
    for field, distribution in search.space.items():
        table.add_row(field, text_of(fields[field]), spec_of(distribution))
    table.caption = "\n".join(_earlier_spaces(search)) or None
    return table


def recipe_notes(search: Search) -> Iterator[str]:
    """A line if the space leaves out the recipe's point."""
    fields = search.base.to_dict()
    if left_out := left_out_of_recipe(search):
        point = ", ".join(f"{field}={text_of(fields[field])}" for field in left_out)
        yield f"the recipe's {point} cannot be proposed, so no trial has the recipe's point"


def left_out_of_recipe(search: Search) -> list[str]:
    """The fields of the space whose range or list does not have the recipe's value."""
    fields = search.base.to_dict()
    return [field for field, among in search.space.items() if not contains({field: among}, fields)]


def _earlier_spaces(search: Search) -> Iterator[str]:
    """A line for each space that earlier rounds were proposed in, with what differs from today's."""
    today = {field: spec_of(distribution) for field, distribution in search.space.items()}
    rounds = zip(search.history.rounds, search.history.spaces, strict=True)
    first = 0
    for space, group in itertools.groupby(rounds, key=lambda pair: pair[1]):
        last = first + sum(len(proposals) for proposals, _ in group) - 1
        if changed := [f"{f} {space.get(f, 'fixed')}" for f, spec in today.items() if space.get(f) != spec]:
            yield f"trials {first} to {last}: {', '.join(changed)}"
        first = last + 1


def rules_text(search: Search) -> str:
    """The rules of a search and its progress, in one line."""
    rules = search.rules
    epochs = f"{search.base.max_epochs} epochs at most"
    if rules.rungs:
        rungs = " and ".join(map(str, rules.rungs))
        epochs += f"; after {rungs} of them one in {rules.keep} continues"
    turn = "step of asha" if rules.rule == "asha" else "round"
    counts = states(search)
    over = ", ".join(f"{counts[state]} {state}" for state in _ORDER if counts[state]) or "none ended yet"
    trials = f"{rules.trials} trials ({over}), {rules.at_once} per {turn}, of {epochs}"
    return f"{CellName.of(search.base).words}: {trials}"


def trials_table(search: Search) -> Table:
    """The trials, best first, with the state of those that were dropped or failed."""

    def rank(trial: Trial) -> tuple[float, ...]:
        epochs = 0 if trial.state == "done" else len(trial.scores)
        on_front = front.index(trial.number) if trial.number in front else len(front)
        return _ORDER.index(trial.state), on_front, -epochs, trial.score or 0.0, trial.number

    front = front_numbers(search)
    ranked = sorted(search.known, key=rank)
    more = len(ranked) - SHOWN
    table = Table("trial", title=f"trials by validation perplexity{bound_note(search)}")
    table.caption = f"and {more} more" if more > 0 else None
    for heading in ("valid ppl", "epochs"):
        table.add_column(heading, justify="right")
    objectives = [OBJECTIVES[name] for name in search.rules.objectives] if front else []
    for objective in objectives:
        table.add_column(objective.heading, justify="right")
    table.add_column("point")
    table.add_column("remark")
    for trial in ranked[:SHOWN]:
        perplexity = "" if trial.score is None else f"{trial.score:.2f}"
        point = Text(values_text(trial.values))
        values = [
            f"{value:.{objective.digits}f}"
            for value, objective in zip(trial.objectives or (), objectives, strict=False)
        ]
        values += [""] * (len(objectives) - len(values))
        remark = _remark(search, trial, front)
        table.add_row(str(trial.number), perplexity, str(len(trial.scores)), *values, point, remark)
    return table


def bound_note(search: Search) -> str:
    """The suffix of the name of a loss or perplexity of the trials: ``, not a bound``, or "" if it is."""
    return "" if best_ppl_is_bound(search.base) else ", not a bound"


def front_numbers(search: Search) -> list[int]:
    """The numbers of the trials on the Pareto front, the lowest NLL first; [] for a single objective."""
    names = search.rules.objectives
    return [trial.number for trial in pareto_front(search.known, names)] if len(names) > 1 else []


def _remark(search: Search, trial: Trial, front: Sequence[int]) -> Text:
    words: list[str] = [] if trial.state == "done" else [trial.state]
    if trial.number in front:
        words.append("on the front")
    if is_recipe(search, trial.values):
        words.append(RECIPE)
    return Text(", ".join(words))


def is_recipe(search: Search, values: Values) -> bool:
    """Whether a point is that of the recipe."""
    fields = search.base.to_dict()
    return all(values[field] == fields[field] for field in search.space)


def short_text(value: object) -> str:
    """Format a value for reading."""
    return f"{value:.{_DIGITS}g}" if isinstance(value, float) else text_of(value)


def values_text(values: Values) -> str:
    """Format a point for reading: ``learning_rate=0.8124 dropout=0.31``."""
    return " ".join(f"{field}={short_text(value)}" for field, value in values.items())


def csv_text(search: Search) -> str:
    """All trials as CSV, with all digits."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    names, front = search.rules.objectives, front_numbers(search)
    several = [*(f"objective_{name}" for name in names), "on_front"] if len(names) > 1 else []
    rows.writerow(["trial", "state", "epochs", "valid_ppl", *several, *search.space, "run"])
    for trial in search.known:
        score = "" if trial.score is None else trial.score
        values = [text_of(trial.values[field]) for field in search.space]
        objectives: list[object] = []
        if several:
            objectives += trial.objectives or [""] * len(names)
            objectives.append(str(trial.number in front).lower())
        row = [trial.number, trial.state, len(trial.scores), score, *objectives, *values]
        row.append(search.runs.name(trial.values))
        rows.writerow(row)
    return text.getvalue()


def settings(values: Values) -> Sequence[str]:
    """A point as options of the command line, with all digits."""
    return [part for field, value in values.items() for part in ("--set", f"{field}={text_of(value)}")]
