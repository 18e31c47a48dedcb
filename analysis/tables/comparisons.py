"""Tables of comparisons: between our systems over common seeds, and with the published numbers."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence

from analysis.published.catalogue import compared_datasets, find
from analysis.published.facts import Fact
from analysis.stats.cells import Cell
from analysis.stats.comparisons import FAMILY, Comparison
from analysis.stats.declared import UNDECLARED, declaration_note
from analysis.stats.paired import ALPHA, seeds_needed, smallest_p
from analysis.stats.reproduction import ASSUMPTIONS, REPRODUCTION_RULE, judge
from analysis.stats.text_groups import has_published_text, names_of_texts
from analysis.stats.verdicts import RULE
from analysis.tables.elements.csv_rows import comparison_row, reproduction_row
from analysis.tables.elements.importance_weights import reading_notes, weight_notes
from analysis.tables.elements.shown_variants import variant_key
from analysis.tables.elements.table import (
    NOT_A_BOUND,
    Column,
    Difference,
    Line,
    Table,
    Value,
    cell_label,
    dataset_title,
    formula_notes,
)
from analysis.tables.elements.text_sections import TextNames
from analysis.tables.notes.substitutes import substitute_notes
from analysis.tables.notes.unequal_configs import unequal_notes
from analysis.tables.paper_lines import WEIGHTED
from lvae_core.run_folder.declared_seeds import DeclaredSeeds

SHOWN = {"nll": "NLL (published convention)", "nll_valid": "NLL (tightest bound)"}
"""The metrics that a table for reading shows; the CSV file has all of ``analysis.stats.comparisons``."""

_PUBLISHED = (("2", "nll", "NLL"), ("2", "kl", "KL"), ("2", "ppl", "PPL"), ("3", "nll_iw", "IW"))
"""Number of the table, metric, and the metric's name in a line."""


def metric_title(title: str, cells: Iterable[Cell]) -> str:
    """A metric's title, without the published convention if that gives bounds and nothing was published."""
    published = compared_datasets()
    apart = any(cell.joint_latent or cell.dataset in published for cell in cells)
    return title if apart else title.replace("(published convention)", "(ELBO or exact)")


def comparison_table(
    comparisons: Sequence[Comparison],
    cells: Sequence[Cell],
    dataset: str,
    declared: DeclaredSeeds | None = None,
) -> Table:
    """Compare a dataset's cells over common seeds, one line per pair.

    Args:
        comparisons: of any dataset.
        cells: all cells of the report, by which every table of it numbers texts.
        dataset: the one that is shown.
        declared: the declaration of the studies.
    """
    of_dataset = [c for c in comparisons if c.a.dataset == dataset]
    lines: list[Line] = []
    shown: list[Comparison] = []
    names = names_of_texts(cells, dataset)

    def heading(of: Comparison) -> str:
        return ", ".join(filter(None, (of.a.setting, names[of.a.text], titles[of.metric])))

    compared = [cell for c in of_dataset for cell in (c.a, c.b)]
    titles = {metric: metric_title(title, compared) for metric, title in SHOWN.items()}

    for setting, text in dict.fromkeys((c.a.setting, c.a.text) for c in of_dataset):
        for metric in SHOWN:
            key = setting, text, metric
            family = [c for c in of_dataset if (c.a.setting, c.a.text, c.metric) == key]
            shown += family
            of_family = [Line("heading", heading(family[0]))] if family else []
            for b in dict.fromkeys(_label(c.b, metric) for c in family):
                of_family.append(Line("published", f"minus {b}"))
                of_family += [_pair_line(c) for c in family if _label(c.b, metric) == b]
            # Only valid bounds decide, so these are the comparisons to read first.
            lines += [dataclasses.replace(line, detail=metric != "nll_valid") for line in of_family]
    columns = (Column("diff"), *verdict_columns())
    title = f"Comparisons over seeds, {dataset_title(dataset)}"
    letters = variant_key([cell for c in shown for cell in (c.a, c.b)], dataset)
    substitutes = substitute_notes(shown)
    unequal = unequal_notes(shown)
    marks = [*_columns_note(shown), *unequal, *substitutes, *_mark_note(shown), *letters]
    declaration = (
        [declaration_note(declared, (len(c.paired.seeds) for c in shown))] if declared and shown else []
    )
    if not declared and any(c.verdict.model for c in shown):
        declaration = [UNDECLARED]
    return Table(
        title,
        columns,
        tuple(lines),
        (
            *_columns_note(shown),
            *_notes(shown, heading),
            *unequal,
            *substitutes,
            *declaration,
            *_mark_note(shown),
            *letters,
        ),
        lambda: map(comparison_row, of_dataset),
        marks=tuple(marks),
        once=(*_columns_note(shown), RULE, FAMILY, *declaration, *letters),
        background=(RULE, FAMILY, *_mark_note(shown)),
    )


def reproduction_table(cells: Sequence[Cell], dataset: str) -> Table:
    """Compare a dataset's cells with the published numbers, with a verdict on each."""
    lines: list[Line] = []
    pairs: list[tuple[Cell, Fact]] = []
    names = TextNames(cells)
    beside = names.beside_published(cells, dataset)
    of_dataset = [c for c in cells if c.dataset == dataset and c.shown and names.of(c) == beside]
    for setting in dict.fromkeys(cell.setting for cell in of_dataset):
        lines.append(Line("heading", f"{setting}, {beside}" if beside else setting))
        for cell in (cell for cell in of_dataset if cell.setting == setting):
            for table, metric, name in _PUBLISHED:
                fact = find(table, dataset, cell.system, cell.num_samples, setting, metric)
                if fact and cell.estimate(metric) in cell.averages and has_published_text(cell):
                    lines.append(_published_line(cell, fact, name))
                    pairs.append((cell, fact))
    if not pairs:
        lines = []
    columns = (
        Column("ours"),
        Column("n"),
        Column("published"),
        Column("diff"),
        Column("95%"),
        Column("margin"),
        Column("verdict", text=True),
    )
    title = f"Reproduction, {dataset_title(dataset)}"
    key = variant_key(cells, dataset)
    # How far to rely on a weighted number belongs beside it, also where the table stands alone.
    weighted = [cell for cell, fact in pairs if fact.metric == WEIGHTED]
    marks = (
        (REPRODUCTION_RULE, *key, *formula_notes(lines), *weight_notes(weighted, [WEIGHTED]))
        if lines
        else ()
    )
    notes = (REPRODUCTION_RULE, ASSUMPTIONS, *marks[1:], *reading_notes(cells, [dataset])) if lines else ()
    return Table(
        title,
        columns,
        tuple(lines),
        notes,
        lambda: (reproduction_row(*pair) for pair in pairs),
        marks=marks,
        once=(REPRODUCTION_RULE, ASSUMPTIONS, *key),
        background=(ASSUMPTIONS,),
    )


def p_text(p: float | None) -> str | None:
    """Format a p-value for reading: with two digits, or as many as tell it from the level ALPHA."""
    if p is None:
        return None
    if p < 0.0001:
        return "<0.0001"
    texts = (f"{p:.{digits}g}" for digits in range(2, 18))
    return next(text for text in texts if p == ALPHA or float(text) != ALPHA)


def verdict_columns(lower: str = "lower", decimals: int = 1) -> tuple[Column, ...]:
    """The columns of :func:`verdict_values`; ``lower`` names the one that counts seeds."""
    numbers = Column("95%", decimals=decimals), Column("n"), Column("flip p"), Column("t p"), Column(lower)
    return (*numbers, Column("verdict", text=True))


def verdict_note(row: str, against: str, *, lower: str = "lower", over: str = "") -> str:
    """Say what :func:`verdict_columns` hold.

    Args:
        row: what a line is about, such as "the row".
        against: what it is compared with.
        lower: the name of the column that counts seeds.
        over: the comparisons that a correction is over, " over the rows of a heading".
    """
    return (
        "flip p, t p: p-values of the sign-flip test and of the paired t test, after Holm's "
        f"correction{over}. {lower}: at how many of the common seeds the number of {row} is lower; a tie "
        f"counts half. verdict: on {row} against {against}"
    )


def verdict_values(comparison: Comparison) -> tuple[Value, ...]:
    """The values after the difference in a comparison's line, for :func:`verdict_columns`."""
    paired, verdict = comparison.paired, comparison.verdict
    below = paired.below_paired
    return (
        paired.interval,
        str(len(paired.seeds)),
        p_text(comparison.flip_holm),
        p_text(comparison.t_holm),
        None if below is None or verdict.test == "equal" else f"{below * len(paired.seeds):g}",
        verdict.words,
    )


def reach_notes(
    shown: Sequence[Comparison], heading: Callable[[Comparison], str] | None = None
) -> Iterable[str]:
    """State the smallest p that is possible, once for each number of seeds and family.

    The number of seeds that significance needs is given only for comparisons that seeds could decide. If
    there are several notes, each begins with the headings that it is about, as ``heading`` gives them.
    """
    notes: dict[str, dict[str, None]] = {}
    reach: dict[tuple[int, int, int, float], list[Comparison]] = {}
    for comparison in shown:
        if comparison.reach is not None:
            key = len(comparison.paired.seeds), comparison.reported, comparison.family, comparison.reach
            reach.setdefault(key, []).append(comparison)
    for (n, reported, family, corrected), of_size in sorted(reach.items()):
        # Only valid bounds decide on models, so where there are some, the other metrics are not counted.
        counted = [c for c in of_size if c.metric == "nll_valid"] or of_size
        note = f"the smallest p of the sign-flip test with {n} seeds is {smallest_p(n):.4g}"
        note += f", and {p_text(corrected)} after Holm over {family} comparisons" if family > 1 else ""
        if open_ := sum(c.verdict.needs_seeds for c in counted):
            what = f"of the {open_} that more seeds can decide" if open_ < len(counted) else "here"
            # With more seeds, those that cannot be tested yet can be, and count in the correction.
            over = f" (after Holm over all {reported} comparisons)" if reported > family else ""
            note += (
                f"; significance {what} needs at most {seeds_needed(reported)} seeds{over}, if the "
                "differences of all have one sign: fix their number beforehand; adding seeds until it is "
                "reached gives false calls (12% when looking at 6 to 12)"
            )
        notes.setdefault(note, {}).update(dict.fromkeys(map(heading, of_size) if heading else ()))
    for note, about in notes.items():
        yield f"{'; '.join(about)}: {note}" if len(notes) > 1 and about else note


def _pair_line(comparison: Comparison) -> Line:
    paired = comparison.paired
    difference = (
        None if paired.mean is None else Difference(paired.mean, paired.interval, *comparison.averages)
    )
    return Line(
        "ours", f"  {_label(comparison.a, comparison.metric)}", (difference, *verdict_values(comparison))
    )


def _published_line(cell: Cell, fact: Fact, name: str) -> Line:
    average = cell.averages[cell.estimate(fact.metric)]
    verdict = judge(average, fact)
    values = (
        average,
        str(average.n),
        fact,
        Difference(verdict.difference, verdict.interval, average, fact),
        verdict.interval,
        None
        if verdict.margin is None
        else f"{verdict.margin:.{max(1, fact.decimals, fact.std_decimals)}f}",
        verdict.word,
    )
    unreliable = ", unreliable" if average.unreliable else ""
    return Line("ours", f"  {cell_label(cell)} {name}{unreliable}", values)


def _label(cell: Cell, metric: str) -> str:
    """The name of a cell; marked only beside a number that is no bound."""
    return cell_label(cell, marked=metric != "nll_valid")


def _columns_note(shown: Sequence[Comparison]) -> list[str]:
    if not shown:
        return []
    return [
        "diff: mean difference over the n common seeds, row minus the system named above it, with its 95% "
        f"t interval. {verdict_note('the row', 'the system named above it')}"
    ]


def _notes(shown: Sequence[Comparison], heading: Callable[[Comparison], str]) -> Iterable[str]:
    if shown:
        yield RULE
        yield FAMILY
        yield from reach_notes(shown, heading)


def _mark_note(shown: Sequence[Comparison]) -> list[str]:
    if not any(cell.joint_latent for comparison in shown for cell in (comparison.a, comparison.b)):
        return []
    return [f"{NOT_A_BOUND}: by the published convention not a bound, so this comparison decides nothing"]
