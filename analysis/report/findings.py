"""Say in one sentence what the comparisons of a dataset and setting show.

Every conclusion is a verdict of analysis/stats/claims.py.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

from analysis.published.catalogue import display_name
from analysis.stats.cells import Cell
from analysis.stats.claims import OF_DIRECTION, OF_KIND, Verdict
from analysis.stats.comparisons import Comparison
from analysis.stats.declared import seeds_caveat
from analysis.stats.valid_bounds import Substitute
from analysis.tables.elements.table import SETTINGS, cell_label, dataset_title
from analysis.tables.notes.unequal_configs import unequal_caveat
from lvae_core.messages import numbered
from lvae_core.systems import language_model_of

METRIC = "nll_valid"
"""The tightest valid bound of each cell, reliable if it has such a one: models are compared by no other."""

_MOST = 3
"""The largest number of conclusions that a sentence names; the table of comparisons has all."""

_ANNEALING = "undecided (not for lack of seeds): annealing"
_EXPLAINED = _ANNEALING + " (the tested epoch lies before the KL had its full weight; train longer{})"

Name = Callable[[Cell], str]


def findings(
    cells: Sequence[Cell], datasets: Sequence[str], compared: Sequence[Comparison], declared: int | None
) -> list[str]:
    """Sum up the comparisons of each dataset and setting that has a finished or failed run, a line each.

    Args:
        cells: all cells of a report.
        datasets: the datasets, in their order.
        compared: all comparisons of the report.
        declared: the number of seeds that was declared before there were results; None if none was.
    """
    lines = []
    for dataset in datasets:
        for setting in SETTINGS:
            of_setting = [c for c in cells if (c.dataset, c.setting) == (dataset, setting)]
            done = [c for c in of_setting if c.counts.done]
            found = [_of_setting(done, compared, declared)] if done else []
            if found or any(c.counts.failed for c in of_setting):
                text = ". ".join([*found, *_failed(of_setting)])
                lines.append(f"{dataset_title(dataset)} {setting}: {text}.")
    return explained_once(lines, compared)


def explained_once(sentences: Sequence[str], compared: Sequence[Comparison]) -> list[str]:
    """The sentences; the first with annealing as a reason says what it means and what to do.

    The last epoch has the full weight only if training outlasted the annealing.
    """
    first = next((k for k, text in enumerate(sentences) if _ANNEALING in text), -1)
    undecided = [cell for c in compared if c.verdict.obstacle == "annealing" for cell in (c.a, c.b)]
    outlasted = any(cell.unused_latent and cell.outlasts_annealing for cell in undecided)
    explained = _EXPLAINED.format(", or test the last epoch" if outlasted else "")
    return [
        text.replace(_ANNEALING, explained, 1) if k == first else text for k, text in enumerate(sentences)
    ]


def sum_up(compared: Sequence[Comparison], a: Name, b: Name, declared: int | None) -> str:
    """Count the verdicts of comparisons of one metric, and name the models that are better or worse.

    Args:
        compared: one comparison or more.
        a: gives the name of the first cell of a comparison.
        b: gives the name of the second one.
        declared: the number of seeds that was declared before there were results; None if none was.
    """
    decided = [c for c in compared if c.verdict.model]
    open_ = [c for c in compared if not c.verdict.model]
    total = f"{numbered(len(compared), 'comparison')} of tightest valid bounds"
    if not decided:
        return f"{total}, and no conclusion: {_reasons(open_)}"
    named = []
    for c in decided[:_MOST]:
        cells, seeds = {a(c.a): c.a, b(c.b): c.b}, len(c.paired.seeds)
        found = [seeds_caveat(declared, seeds), unequal_caveat(c.a, c.b), *_substitutes(cells)]
        caveats = "; ".join(filter(None, found))
        sentence = c.verdict.sentence(a(c.a), b(c.b), c.paired) + _idle_runs(cells)
        named.append(f"{sentence} ({caveats})" if caveats else sentence)
    named += [f"{len(decided) - _MOST} more in the table of comparisons"] if len(decided) > _MOST else []
    rest = f"; no conclusion from {len(open_)}: {_reasons(open_)}" if open_ else ""
    return f"{total}: {'; '.join(named)}{rest}"


def _idle_runs(cells: Mapping[str, Cell]) -> str:
    """For each decided cell, the number of its runs whose posterior says next to nothing, as a phrase."""
    parts = [
        f"z says next to nothing in {cell.idle_runs} of {cell.averages['mi'].n} runs of {name}"
        for name, cell in cells.items()
        if cell.idle_runs
    ]
    return f", though {' and '.join(parts)}" if parts else ""


def _substitutes(cells: Mapping[str, Cell]) -> Iterable[str]:
    """By which number each of some named cells is compared, if not by its tightest one."""
    for name, cell in cells.items():
        if found := Substitute.of(cell):
            yield f"{name} by its {found.used.words}, as its {found.unreliable.words} is unreliable"


def _of_setting(cells: Sequence[Cell], compared: Sequence[Comparison], declared: int | None) -> str:
    ids = set(map(id, cells))
    of_setting = [c for c in compared if c.metric == METRIC and id(c.a) in ids]
    if not of_setting:
        return _nothing_compared(cells)
    return sum_up(of_setting, cell_label, cell_label, declared)


def _failed(cells: Sequence[Cell]) -> list[str]:
    failed = sum(c.counts.failed for c in cells)
    # As in the head of a report, missing runs are not counted.
    total = sum(c.counts.total - c.counts.missing for c in cells)
    return [f"{failed} of {numbered(total, 'run')} failed"] if failed else []


def _nothing_compared(cells: Sequence[Cell]) -> str:
    if len(cells) == 1:
        return f"nothing to compare, only {cell_label(cells[0])} has finished runs"
    systems = {cell.system for cell in cells}
    if lacking := sorted({language_model_of(system) for system in systems} - systems):
        names = " and ".join(map(display_name, lacking))
        return (
            f"nothing to compare with, as {names} {'has' if len(lacking) == 1 else 'have'} no finished run"
        )
    return "nothing to compare, as no row has its baseline over the same text"


def _reasons(open_: Sequence[Comparison]) -> str:
    """The verdicts of comparisons that allow no conclusion, each with the number of comparisons."""
    few = sorted({len(c.paired.seeds) for c in open_ if c.verdict.needs_seeds})
    common = " to ".join(map(str, dict.fromkeys((few[0], few[-1])))) if few else ""
    # What more seeds would not help comes first, so that nobody trains them in hope.
    words = Counter(_word(c.verdict) for c in sorted(open_, key=lambda c: c.verdict.needs_seeds))
    reasons = ", ".join(
        f"{number} {'has' if number == 1 else 'have'} {word} ({common} in common)"
        if word == "too few seeds"
        else f"{number} {'is' if number == 1 else 'are'} {word}"
        for word, number in words.items()
    )
    if loose := sum(map(_more_samples_may_decide, open_)):
        reasons += (
            f"; of these {loose} {'has' if loose == 1 else 'have'} a tighter bound below the other number, "
            "but an unreliable one, which more importance samples may make count"
        )
    return reasons


def _more_samples_may_decide(c: Comparison) -> bool:
    """Whether an open comparison could be decided by a bound that is unreliable; two bounds never are."""
    sides = zip((c.a, c.b), reversed(c.averages), strict=True)
    return not _is_lasting(c.verdict) and any(
        found and cell.averages[found.unreliable.nll].mean < other.mean
        for cell, other in sides
        if (found := Substitute.of(cell))
    )


def _word(verdict: Verdict) -> str:
    """A verdict in a few words, which say if seeds are not what it lacks."""
    if not _is_lasting(verdict):
        return verdict.words
    seeds = "at any number of seeds" if verdict.obstacle in OF_KIND else "(not for lack of seeds)"
    return f"undecided {seeds}: {verdict.obstacle}"


def _is_lasting(verdict: Verdict) -> bool:
    """Whether the reason is neither a lack of seeds nor the direction of a difference."""
    return bool(verdict.obstacle) and verdict.obstacle not in OF_DIRECTION and verdict.test != "equal"
