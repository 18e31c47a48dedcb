"""The cost of the rest of a search and of its comparison on fresh seeds, and what a verdict needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from rich.table import Table

from analysis.stats.paired import seeds_needed, smallest_p
from lvae_core.model.counts import operations
from sweeps.planning.plan import Plan
from sweeps.planning.times.cost import UNKNOWN, amount_text, device_hours, time_text
from sweeps.planning.times.durations import Speed
from sweeps.planning.times.variants import variant_of
from sweeps.trials.progress import left
from sweeps.trials.proposals import Trial
from sweeps.trials.rules import Rules
from sweeps.trials.search import Search


@dataclass(frozen=True)
class RunsLeft:
    """Some runs that are left to do."""

    name: str
    runs: int
    seconds: float | None
    """Expected seconds of one of them, on average; None if unknown."""
    share: float = 1.0
    """Devices that one run takes up."""
    is_rough: bool = False

    @property
    def hours(self) -> float | None:
        """Device-hours of all runs; None if unknown."""
        return device_hours(self.runs, self.seconds, self.share)


def epochs_left(rules: Rules, trials: int, epochs: float, known: Sequence[Trial] = ()) -> float:
    """The epochs that the rungs let trials train, at most: early stopping is not counted.

    Args:
        rules: of the search.
        trials: the number of trials. With asha, they count as one round.
        epochs: of a run that is trained to its end.
        known: with asha, those of the trials that have begun.
    """
    size = rules.at_once if rules.rule == "rounds" else max(1, trials)
    total = 0.0
    for first in range(0, trials, size):
        count, before = min(size, trials - first), 0.0
        for rung in (*rules.rungs, epochs):
            end = min(rung, epochs)
            reached = sum(len(trial.scores) > before or not before for trial in known)
            total += max(0, count - reached) * (end - before)
            count, before = -(-count // rules.keep), end
    return total


def runs_left(
    search: Search, speed: Speed, fresh: Plan, fresh_runs: int, share: float, *, retries: int = 0
) -> list[RunsLeft]:
    """The trials and the runs on fresh seeds that are left, with the times that are known.

    Trained runs on fresh seeds that a launch evaluates again have a line if there are any.

    Args:
        search: its trials and its rules.
        speed: the times of its trials.
        fresh: the plan of runs on fresh seeds: one of the points of each seed at least, if there are seeds.
        fresh_runs: the number of runs on fresh seeds that are left.
        share: the devices that one run takes up.
        retries: the number of failed trials that are trained again.
    """
    base = search.base
    corpus, whole = search.corpora[base.dataset], speed.expected_seconds(variant_of(base))
    trials, epochs = left(search) + retries, corpus.epochs_at_most(base)
    trial = None
    if whole is not None and trials:
        trial = whole * _epochs_to_train(search, trials, epochs, retries) / (trials * epochs)
    expected = [fresh.speed.expected_seconds(variant) for variant in fresh.variants()]
    known = [seconds for seconds in expected if seconds is not None]
    seconds = fmean(known) if known else None
    if seconds is None and whole is not None and fresh.runs:
        # Unlike trials, these runs are evaluated in full.
        seconds = whole * operations(fresh.runs[0].config, corpus) / operations(base, corpus)
    rough = speed.is_rough(variant_of(base))
    fresh_rough = rough if not known else any(map(fresh.speed.is_rough, fresh.variants()))
    lines = [
        RunsLeft("trials", trials, trial, share, rough),
        RunsLeft("runs on fresh seeds", fresh_runs, seconds, share, fresh_rough),
    ]
    if again := fresh.with_status("evaluate"):
        each = [fresh.speed.evaluation_seconds(run.variant) for run in again]
        mean = None if None in each else fmean(second or 0.0 for second in each)
        lines.append(RunsLeft("to evaluate again", len(again), mean, share))
    return lines


def _epochs_to_train(search: Search, trials: int, epochs: float, retries: int) -> float:
    """The epochs of the ``trials`` that are left, ``retries`` included, at most."""
    if search.rules.rule == "rounds":
        return epochs_left(search.rules, trials, epochs)
    # A rung compares all trials: those that have reached it leave less to train.
    again = ("failed", "diverged") if retries else ()
    known = [trial for trial in search.known if trial.state not in again]
    ended = [trial for trial in known if trial.state != "open"]
    return epochs_left(search.rules, trials + len(ended), epochs, known)


def reach(seeds: int, comparisons: int) -> float | None:
    """The smallest p that ``seeds`` paired seeds can give, after Holm's correction over ``comparisons``.

    None for fewer than two seeds, which allow no test.
    """
    return min(1.0, comparisons * smallest_p(seeds)) if seeds > 1 else None


def verdict_text(seeds: int, comparisons: int, *, bounds: bool) -> str:
    """Say in one line what a verdict on ``comparisons`` points needs, and whether these seeds reach it.

    Args:
        seeds: the number of fresh seeds; 0: no comparison follows.
        comparisons: the number of points that are compared with the recipe.
        bounds: whether their numbers are bounds, as those of every model with a latent variable.
    """
    if not seeds:
        return "no comparison on fresh seeds: the best of many trials is partly luck"
    reached, needed = _reach_text(seeds, comparisons), seeds_needed(comparisons)
    more = seeds < needed
    if not bounds:
        return f"{reached}; give --seeds {needed}" if more else reached
    allowed = f"; --seeds {needed} would allow one, and still give no verdict on the models" if more else ""
    return (
        "no number of seeds gives a verdict on the models: with a latent variable both numbers are bounds, "
        f"and two bounds decide nothing (docs/report.md). Between the bounds {reached}{allowed}"
    )


def verdict_warning(seeds: int, comparisons: int) -> str:
    """Say in one line that these seeds allow no conclusion, for a launch; empty if they allow one.

    Args:
        seeds: the number of fresh seeds; 0: no comparison follows.
        comparisons: the number of points that are compared with the recipe.
    """
    if not seeds:
        return verdict_text(seeds, comparisons, bounds=False)
    return (
        f"{_reach_text(seeds, comparisons)} (docs/search.md)" if seeds < seeds_needed(comparisons) else ""
    )


def _reach_text(seeds: int, comparisons: int) -> str:
    """Say whether a difference over these seeds can be significant."""
    smallest = reach(seeds, comparisons)
    over = f" after Holm over {comparisons} comparisons" if comparisons > 1 else ""
    if smallest is None:
        return "no significant difference is possible: 1 fresh seed allows no test"
    reached = f"the smallest p of the test on {seeds} fresh seeds is {smallest:.2g}{over}"
    possible = "no" if seeds < seeds_needed(comparisons) else "a"
    return f"{possible} significant difference is possible: {reached}"


def budget_table(lines: Sequence[RunsLeft]) -> Table:
    """Runs and hours that are left, without what early stopping saves."""
    table = Table("left to do", title="at most")
    for heading in ("runs", "time per run", "device-hours"):
        table.add_column(heading, justify="right")
    for line in lines:
        seconds = time_text(line.seconds, is_rough=line.is_rough)
        table.add_row(line.name, str(line.runs), seconds if line.runs else "", _text(line.hours))
    table.add_section()
    hours = [line.hours for line in lines]
    total = None if None in hours else sum(hour or 0.0 for hour in hours)
    table.add_row("all", str(sum(line.runs for line in lines)), "", _text(total))
    return table


def _text(hours: float | None) -> str:
    if hours is None:
        return UNKNOWN
    return amount_text(hours)
