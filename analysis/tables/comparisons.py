"""Comparisons as tables: our systems with one another, and with what is published."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from analysis.published import AVERAGING, SEEDS, Fact, find
from analysis.stats.cells import Cell, joint_latent
from analysis.stats.comparisons import FAMILY, Comparison
from analysis.stats.paired import seeds_needed
from analysis.stats.reproduction import RULE, judge
from analysis.tables.csv_rows import ComparisonRecord, spaced
from analysis.tables.table import (
    NOT_A_BOUND,
    Column,
    Difference,
    Line,
    Table,
    Value,
    dataset_title,
    row_label,
)
from lvae_core.run_folder.estimates import bound

SHOWN = {"nll": "NLL (paper's)", "nll_valid": "NLL (tightest valid)"}
"""The metrics of METRICS that a table for reading has; the CSV has them all."""

_PUBLISHED = (("2", "nll", "NLL"), ("2", "kl", "KL"), ("2", "ppl", "PPL"), ("3", "nll_iw", "IW"))
"""Table, metric and its name in a line."""


def comparison_table(comparisons: Sequence[Comparison], dataset: str) -> Table:
    """A dataset's comparisons over common seeds, one line a pair."""
    own = [c for c in comparisons if c.a.dataset == dataset]
    lines: list[Line] = []
    shown: list[Comparison] = []
    for setting in dict.fromkeys(c.a.setting for c in own):
        for metric, title in SHOWN.items():
            family = [c for c in own if (c.a.setting, c.metric) == (setting, metric)]
            shown += family
            lines += [Line("heading", f"{setting}, {title}")] if family else []
            for b in dict.fromkeys(_label(c.b) for c in family):
                lines.append(Line("published", f"minus {b}"))
                lines += [_pair_line(c) for c in family if _label(c.b) == b]
    columns = (
        Column("diff"),
        Column("95%"),
        Column("n"),
        Column("flip p"),
        Column("t p"),
        Column("P(lower)"),
        Column("verdict", text=True),
    )
    title = f"Comparisons over seeds, {dataset_title(dataset)}"
    return Table(title, columns, tuple(lines), tuple(_notes(shown)), tuple(map(pair_record, own)))


def reproduction_table(cells: Sequence[Cell], dataset: str) -> Table:
    """A dataset's cells beside what Kruengkrai (2019) has for them, with a verdict on each number."""
    lines: list[Line] = []
    records: list[ComparisonRecord] = []
    own = [cell for cell in cells if cell.dataset == dataset and cell.shown]
    for setting in dict.fromkeys(cell.setting for cell in own):
        lines.append(Line("heading", setting))
        for cell in own:
            for table, metric, name in _PUBLISHED if cell.setting == setting else ():
                fact = find(table, dataset, cell.system, cell.num_samples, setting, metric)
                if fact and cell.estimate(metric) in cell.averages:
                    lines.append(_published_line(cell, fact, name))
                    records.append(_published_record(cell, fact))
    if not records:
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
    return Table(title, columns, tuple(lines), (RULE,) if lines else (), tuple(records))


def p_text(p: float | None) -> str | None:
    """A p-value for reading."""
    if p is None:
        return None
    return "<0.0001" if p < 0.0001 else f"{p:.2g}"


def _pair_line(comparison: Comparison) -> Line:
    paired = comparison.paired
    return Line(
        "ours",
        f"  {_label(comparison.a)}",
        (
            None if paired.mean is None else Difference(paired.mean, paired.interval, *comparison.averages),
            *verdict_values(comparison),
        ),
    )


def verdict_values(comparison: Comparison) -> tuple[Value, ...]:
    """What follows a difference in its line: 95%, n, flip p, t p, P(lower), verdict."""
    paired = comparison.paired
    return (
        paired.interval,
        str(len(paired.seeds)),
        p_text(comparison.flip_holm),
        p_text(comparison.t_holm),
        None if paired.below is None else f"{paired.below:.2f}",
        comparison.words.removesuffix(" at 5% after Holm"),
    )


def _label(cell: Cell) -> str:
    label = row_label(cell.system, cell.num_samples) + (NOT_A_BOUND if joint_latent(cell) else "")
    return label + (f" ({cell.variant})" if cell.variant else "")


def _notes(shown: Sequence[Comparison]) -> Iterable[str]:
    if not shown:
        return
    yield (
        "diff: mean difference over the n seeds that both have, with its 95% t interval; below 0, the row "
        "is better than what the line above names. flip p, t p: of the sign-flip test and of the paired t "
        "test, after Holm's correction. P(lower): probability that a seed of the row is lower than a seed "
        "of the other"
    )
    yield FAMILY
    yield from reach_notes(shown)
    if any(joint_latent(cell) for comparison in shown for cell in (comparison.a, comparison.b)):
        yield (
            f"{NOT_A_BOUND}: by the paper's convention not a bound, so that comparison says nothing about "
            "which model is better; the one by valid bounds does"
        )


def reach_notes(shown: Sequence[Comparison]) -> Iterable[str]:
    """The smallest p that so many seeds can reach, a line for each number of seeds and of comparisons."""
    reach: dict[tuple[int, int], float] = {}
    for comparison in shown:
        if comparison.paired.smallest_p is not None:
            reach[len(comparison.paired.seeds), comparison.family] = comparison.paired.smallest_p
    for (n, family), p in sorted(reach.items()):
        corrected = min(1.0, p * family)
        told = f"{n} seeds cannot bring the sign-flip test below p = {p:.4g}"
        told += f", nor below {corrected:.2g} after Holm over {family} comparisons" if family > 1 else ""
        needed = seeds_needed(family)
        told += f"; it takes {needed} seeds to be significant here" if n < needed else ""
        yield told


def pair_record(comparison: Comparison) -> ComparisonRecord:
    """A comparison with all its digits."""
    paired, (a, b) = comparison.paired, comparison.averages
    return ComparisonRecord(
        kind="pair",
        dataset=comparison.a.dataset,
        setting=comparison.a.setting,
        metric=comparison.metric,
        a_system=comparison.a.system,
        a_num_samples=comparison.a.num_samples,
        a_variant=comparison.a.variant,
        a_estimate=comparison.estimates[0],
        a_bound=comparison.a.bound(comparison.estimates[0]),
        a_n=a.n,
        a_mean=a.mean,
        a_std=a.std,
        b_system=comparison.b.system,
        b_num_samples=comparison.b.num_samples,
        b_variant=comparison.b.variant,
        b_estimate=comparison.estimates[1],
        b_source="",
        b_bound=comparison.b.bound(comparison.estimates[1]),
        b_n=b.n,
        b_mean=b.mean,
        b_std=b.std,
        difference=paired.mean,
        difference_low=paired.interval.low if paired.interval else None,
        difference_high=paired.interval.high if paired.interval else None,
        verdict=comparison.words,
        n=len(paired.seeds),
        seeds=spaced(paired.seeds),
        differences=spaced(paired.differences),
        difference_std=paired.std,
        flip_p=paired.flip_p,
        flip_holm=comparison.flip_holm,
        smallest_p=paired.smallest_p,
        t_p=paired.t_p,
        t_holm=comparison.t_holm,
        family=comparison.family,
        below=paired.below,
        below_paired=paired.below_paired,
    )


def _published_line(cell: Cell, fact: Fact, name: str) -> Line:
    average = cell.averages[cell.estimate(fact.metric)]
    verdict = judge(average, fact)
    label = row_label(cell.system, cell.num_samples) + (f", {cell.variant}" if cell.variant else "")
    return Line(
        "ours",
        f"  {label} {name}",
        (
            average,
            str(average.n),
            fact,
            Difference(verdict.difference, verdict.interval, average, fact),
            verdict.interval,
            None if verdict.margin is None else f"{verdict.margin:.1f}",
            verdict.word,
        ),
    )


def _published_record(cell: Cell, fact: Fact) -> ComparisonRecord:
    estimate = cell.estimate(fact.metric)
    average = cell.averages[estimate]
    verdict = judge(average, fact)
    return ComparisonRecord(
        kind="published",
        dataset=cell.dataset,
        setting=cell.setting,
        metric=fact.metric,
        a_system=cell.system,
        a_num_samples=cell.num_samples,
        a_variant=cell.variant,
        a_estimate=estimate,
        a_bound=cell.bound(estimate),
        a_n=average.n,
        a_mean=average.mean,
        a_std=average.std,
        b_system=fact.system,
        b_num_samples=fact.num_samples,
        b_variant="",
        b_estimate="",
        b_source=fact.source,
        b_bound=bound(estimate, AVERAGING[fact.system], fact.num_samples),
        b_n=SEEDS,
        b_mean=fact.mean,
        b_std=fact.std,
        difference=verdict.difference,
        difference_low=verdict.interval.low if verdict.interval else None,
        difference_high=verdict.interval.high if verdict.interval else None,
        verdict=verdict.word,
        welch_p=verdict.p,
        margin=verdict.margin,
    )
