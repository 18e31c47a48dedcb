"""Say in short sentences what the comparisons of a dataset and setting show.

Every conclusion is a verdict of analysis/stats/verdicts.py.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from analysis.published.catalogue import display_name
from analysis.stats.cells import Cell
from analysis.stats.comparisons import Comparison
from analysis.stats.declared import seeds_caveat
from analysis.stats.valid_bounds import Substitute
from analysis.stats.verdicts import OF_DIRECTION, OF_KIND, Verdict
from analysis.tables.elements.table import SETTINGS, cell_label, cell_names, dataset_title
from analysis.tables.notes.unequal_configs import unequal_caveat
from lvae_core.messages import listed, numbered
from lvae_core.systems import language_model_of

METRIC = "nll_valid"
"""The tightest valid bound of each cell, reliable if it has such a one: models are compared by no other."""

_MOST = 3
"""The largest number of conclusions that are named; the table of comparisons has all."""

_MOST_NAMES = 8
"""The largest number of models that a sentence names as compared with one other."""

_MOST_OPEN = 3
"""The largest number of models of which a sentence names the comparisons with others for one reason."""

Sides = tuple[str, str]
"""What is appended to the name of the first and of the second cell of a comparison."""


@dataclass(frozen=True)
class Finding:
    """A sentence at the top of a report, and the shorter ones that are listed below it."""

    text: str
    details: tuple[str, ...] = ()
    """The conclusions."""
    reasons: tuple[str, ...] = ()
    """Why other comparisons allow no conclusion; a terminal shows them below the tables."""


def findings(
    cells: Sequence[Cell], datasets: Sequence[str], compared: Sequence[Comparison], declared: int | None
) -> list[Finding]:
    """Sum up the comparisons of each dataset and setting that has a finished or failed run.

    Args:
        cells: all cells of a report.
        datasets: the datasets, in their order.
        compared: all comparisons of the report.
        declared: the number of seeds that was declared before there were results; None if none was.
    """
    found = []
    for dataset in datasets:
        for setting in SETTINGS:
            of_setting = [c for c in cells if (c.dataset, c.setting) == (dataset, setting)]
            done = [c for c in of_setting if c.counts.done]
            summed = _of_setting(done, compared, declared) if done else Finding("")
            if done or any(c.counts.failed for c in of_setting):
                text = ". ".join(filter(None, [summed.text, *_failed(of_setting)]))
                where = f"{dataset_title(dataset)} {setting}"
                found.append(Finding(f"{where}: {text}.", summed.details, summed.reasons))
    return found


def names_explained(cells: Iterable[Cell]) -> list[Finding]:
    """Say where the short names of variants are explained, as sentences stand above their key."""
    named = next((c for c in cells if c.shown and c.short_name and c.short_name != c.variant), None)
    if named is None:
        return []
    return [
        Finding(f"Names in parentheses, as in {cell_label(named)}, are explained below the first table.")
    ]


def sum_up(compared: Sequence[Comparison], declared: int | None, sides: Sides = ("", "")) -> Finding:
    """Count the conclusions from comparisons of one metric, and list them and the reasons for none.

    The text has no full stop, as more may follow.

    Args:
        compared: one comparison or more.
        declared: the number of seeds that was declared before there were results; None if none was.
        sides: what is appended to the names.
    """
    with_seeds = [c for c in compared if c.paired.seeds]
    if not with_seeds:
        return Finding("nothing to compare, as no two models have a common seed")
    decided = [c for c in compared if c.verdict.model]
    open_ = [c for c in compared if not c.verdict.model]
    concluded = numbered(len(decided), "conclusion") if decided else "no conclusion"
    details = [f"{_conclusion(c, sides, declared)}." for c in decided[:_MOST]]
    if len(decided) > _MOST:
        details.append(f"{len(decided) - _MOST} more in the table of comparisons.")
    return Finding(
        f"{concluded} from {numbered(len(with_seeds), 'comparison')} of tightest valid bounds",
        tuple(details),
        tuple(_reasons(open_, sides)),
    )


def _conclusion(c: Comparison, sides: Sides, declared: int | None) -> str:
    """Say which model is better or worse, and what a reader must know about this verdict."""
    a, b = (f"{cell_label(cell)}{side}" for cell, side in zip((c.a, c.b), sides, strict=True))
    cells = {a: c.a, b: c.b}
    found = [seeds_caveat(declared, len(c.paired.seeds)), unequal_caveat(c.a, c.b), *_substitutes(cells)]
    caveats = "; ".join(filter(None, found))
    sentence = c.verdict.sentence(a, b, c.paired) + _idle_runs(cells)
    return f"{sentence} ({caveats})" if caveats else sentence


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


def _of_setting(cells: Sequence[Cell], compared: Sequence[Comparison], declared: int | None) -> Finding:
    ids = set(map(id, cells))
    of_setting = [c for c in compared if c.metric == METRIC and id(c.a) in ids]
    if not of_setting:
        return Finding(_nothing_compared(cells))
    return sum_up(of_setting, declared)


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


def _reasons(open_: Sequence[Comparison], sides: Sides) -> Iterable[str]:
    """A sentence for each reason why comparisons allow no conclusion, with what may help."""
    by_reason: dict[tuple[str, bool], list[Comparison]] = defaultdict(list)
    # What more seeds would not help comes first, so that nobody trains them in hope.
    for c in sorted(open_, key=lambda c: c.verdict.needs_seeds):
        by_reason[_reason(c.verdict, len(c.paired.seeds)), _more_samples_may_decide(c)].append(c)
    for (reason, loose), those in by_reason.items():
        yield f"{_named(those, sides)}: {reason}{_advice(those)}{_ON_SAMPLES * loose}."


_ON_SAMPLES = (
    "; a tighter bound lies below the other number but is unreliable, so more importance samples may decide"
)
"""What may help if two numbers are compared by a bound that is reliable but loose."""


def _named(those: Sequence[Comparison], sides: Sides) -> str:
    """Name the models of some comparisons, those against one model together, and those of one system."""
    against: dict[str, list[Comparison]] = defaultdict(list)
    for c in those:
        against[f"{cell_label(c.b)}{sides[1]}"].append(c)
    parts = []
    for other, found in list(against.items())[:_MOST_OPEN]:
        names = [f"{name}{sides[0]}" for name in cell_names(c.a for c in found)]
        parts.append(f"{listed(_first(names))} against {other}")
    more = sum(len(found) for found in list(against.values())[_MOST_OPEN:])
    return "; ".join([*parts, f"{more} more in the table of comparisons"] if more else parts)


def _first(names: Sequence[str]) -> list[str]:
    """The first of some names, and the number of the others."""
    more = len(names) - _MOST_NAMES
    return [*names[:_MOST_NAMES], f"{more} more"] if more > 0 else list(names)


def _advice(those: Sequence[Comparison]) -> str:
    """Advice on runs that were tested within annealing; empty for another reason.

    The last epoch has the full weight only if training outlasted the annealing.
    """
    verdict = those[0].verdict
    if verdict.obstacle != "annealing" or not _is_lasting(verdict):
        return ""
    unused = [cell for c in those for cell in (c.a, c.b) if cell.unused_latent]
    return "; train longer" + (
        ", or test the last epoch" if any(c.outlasts_annealing for c in unused) else ""
    )


def _more_samples_may_decide(c: Comparison) -> bool:
    """Whether an open comparison could be decided by a bound that is unreliable; two bounds never are."""
    sides = zip((c.a, c.b), reversed(c.averages), strict=True)
    return not _is_lasting(c.verdict) and any(
        found and cell.averages[found.unreliable.nll].mean < other.mean
        for cell, other in sides
        if (found := Substitute.of(cell))
    )


def _reason(verdict: Verdict, seeds: int) -> str:
    """The reason that a comparison over so many seeds allows no conclusion, and whether it lacks seeds."""
    if not _is_lasting(verdict):
        return verdict.reason(seeds)
    lasting = "at any number of seeds" if verdict.obstacle in OF_KIND else "not for lack of seeds"
    return f"{verdict.reason(seeds)} ({lasting})"


def _is_lasting(verdict: Verdict) -> bool:
    """Whether the reason is neither a lack of seeds nor the direction of a difference."""
    return bool(verdict.obstacle) and verdict.obstacle not in OF_DIRECTION and verdict.test != "equal"
