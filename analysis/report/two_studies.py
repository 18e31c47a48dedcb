"""Compare two studies cell by cell over their common seeds, such as before and after a change."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.reading.collect import Runs
from analysis.reading.frame import CONFIG_FIELDS, runs_in_rows
from analysis.reading.sources import distinct_names
from analysis.report.findings import METRIC, Finding, names_explained, sum_up
from analysis.report.provenance import cost_units, facts, origins
from analysis.report.report import RESAMPLING_SEED
from analysis.stats.cells import Cell
from analysis.stats.comparisons import Comparison, compare_family
from analysis.stats.declared import declared_beforehand
from analysis.stats.field_texts import field_text
from analysis.stats.over_seeds import average_cells
from analysis.stats.text_groups import same_text
from analysis.stats.variants import CommonVariants, common_variants, variants_by_row
from analysis.tables.elements.csv_rows import Row
from analysis.tables.elements.shown_variants import can_be_names, states_of
from analysis.tables.elements.table import Table, cell_label, cell_names, dataset_title
from analysis.tables.notes.capped import capped
from analysis.tables.two_studies import HOURS, METRICS, Pair, study_tables
from lvae_core.messages import numbered


@dataclass(frozen=True)
class TwoStudies:
    """The comparison of study B with study A."""

    studies: tuple[str, str]
    facts: tuple[tuple[str, ...], tuple[str, ...]]
    """The head of each study's report."""
    findings: tuple[Finding, ...]
    """What the comparisons of each dataset and setting show."""
    notes: tuple[str, ...]
    """List the differences between the studies, apart from numbers."""
    tables: tuple[Table, ...]
    """Two for each dataset: the estimates and the cost."""
    comparisons: tuple[Comparison, ...]
    problems: tuple[str, ...]


def compare_studies(a: Runs, b: Runs) -> TwoStudies:
    """Compare every cell that both studies have, by every metric, over common seeds: ``b`` minus ``a``."""
    rng = np.random.default_rng(RESAMPLING_SEED)
    rows = [runs_in_rows(runs.frame) for runs in (a, b)]
    cells = _labelled_alike(*rows)
    pairs, halves, apart, alone = _match(*([_with_hours(cell) for cell in of_one] for of_one in cells))
    pairs, halves = _named([pairs, halves])
    compared: list[Comparison] = []
    for dataset, setting in dict.fromkeys((cell.dataset, cell.setting) for cell, _ in pairs):
        family = [pair for pair in pairs if (pair[0].dataset, pair[0].setting) == (dataset, setting)]
        for metric in METRICS:
            compared += compare_family(family, metric, rng)
    datasets = dict.fromkeys(c.a.dataset for c in compared)
    units = cost_units([a.frame, b.frame], [*cells[0], *cells[1]])
    return TwoStudies(
        studies=(a.studies[0], b.studies[0]),
        facts=(tuple(facts(a, a.frame, cells[0], units)), tuple(facts(b, b.frame, cells[1], units))),
        findings=(
            *_findings(compared, _declared_by_both(a, b), _copies(*rows)),
            *names_explained(cell for pair in pairs for cell in pair),
        ),
        notes=(
            *_equality_notes(pairs, bool(apart)),
            *_changes(rows[0], rows[1], [*pairs, *apart]),
            *map(_refusal, apart),
            *alone,
        ),
        tables=tuple(
            # Elsewhere the studies are named above the tables.
            _with_studies(table, a, b)
            for name in datasets
            for table in study_tables(compared, halves, name, units)
        ),
        comparisons=tuple(compared),
        problems=(*a.problems, *b.problems),
    )


def _declared_by_both(a: Runs, b: Runs) -> int | None:
    """The number of common seeds that was fixed beforehand; None if a study has not declared its own."""
    numbers = [declared_beforehand(runs) for runs in (a, b)]
    return None if None in numbers else min(number for number in numbers if number is not None)


def _findings(
    compared: Sequence[Comparison], declared: int | None, copies: Collection[str]
) -> Iterable[Finding]:
    valid = [c for c in compared if c.metric == METRIC]
    for dataset, setting in dict.fromkeys((c.a.dataset, c.a.setting) for c in valid):
        of_setting = [c for c in valid if (c.a.dataset, c.a.setting) == (dataset, setting)]
        where = f"{dataset_title(dataset)} {setting}"
        if same := [c for c in of_setting if _is_of_copies(c, copies)]:
            runs = numbered(len({run for c in same for run in _common_runs(c)}), "run")
            named = capped(cell_names(c.a for c in same), ", ")
            yield Finding(f"{where}: A and B hold the same {runs} of {named}.")
        if others := [c for c in of_setting if not _is_of_copies(c, copies)]:
            found = sum_up(others, declared, (" of B", " of A"))
            yield Finding(f"{where}: {found.text}.", found.details, found.reasons)


def _copies(*frames: pd.DataFrame) -> set[str]:
    """The names of the runs that both studies have with the same result, byte for byte."""
    of_a, of_b = (
        set(frame[["run", "result_sha256"]].dropna().itertuples(index=False, name=None)) for frame in frames
    )
    return {run for run, _ in of_a & of_b}


def _is_of_copies(c: Comparison, copies: Collection[str]) -> bool:
    """Whether a comparison is of the same runs on both sides; not if there are none."""
    return c.verdict.test == "equal" and _common_runs(c) <= set(copies)


def _common_runs(c: Comparison) -> set[str]:
    """The names of the runs of both sides with a common seed."""
    return {
        run
        for average in c.averages
        for seed, run in zip(average.seeds, average.runs, strict=True)
        if seed in c.paired.seeds
    }


def _with_studies(table: Table, a: Runs, b: Runs) -> Table:
    """The table with the names of the studies, in its files as well."""
    of_a, of_b = distinct_names([a.studies[0], b.studies[0]])
    key = f"A: study {of_a}; B: study {of_b}"
    # A comparison's first cell is that of study B, from which A's is subtracted.
    named = {"a": {"study": of_b}, "b": {"study": of_a}}

    def rows() -> Iterator[Row]:
        for row in table.csv_rows():
            yield {**row, **{side: {**study, **row[side]} for side, study in named.items()}}

    return dataclasses.replace(
        table, notes=(key, *table.notes), marks=(key, *table.marks), once=(key, *table.once), csv_rows=rows
    )


def _labelled_alike(*frames: pd.DataFrame) -> list[list[Cell]]:
    """The cells of two studies, with equal names for equal variants of a row."""
    keys = ["dataset", "system", "num_samples"]
    rows = [dict(list(frame.groupby(keys, sort=False))) for frame in frames]
    own = [
        {tuple(frame[keys].iloc[places[0]]): variants for places, variants in variants_by_row(frame)}
        for frame in frames
    ]
    alike = {
        key: common_variants(rows[0][key], rows[1][key], (own[0][key], own[1][key]))
        for key in rows[0].keys() & rows[1]
    }
    nothing: tuple[CommonVariants, CommonVariants] = ({}, {})

    def renamed(cell: Cell, side: int) -> Cell:
        of_row = alike.get((cell.dataset, cell.system, cell.num_samples), nothing)[side]
        common = of_row.get((cell.variant, cell.setting))
        return (
            dataclasses.replace(cell, variant=common.label, varied=dict(common.fields)) if common else cell
        )

    return [[renamed(cell, side) for cell in average_cells(frame)] for side, frame in enumerate(frames)]


def _with_hours(cell: Cell) -> Cell:
    averages = {**cell.averages, **({HOURS: cell.hours} if cell.hours else {})}
    return dataclasses.replace(cell, averages=averages)


def _match(a: Sequence[Cell], b: Sequence[Cell]) -> tuple[list[Pair], list[Pair], list[Pair], list[str]]:
    """Pair the cells of B and A.

    Returns the pairs (of B, of A), those of which only one has a finished run, the pairs over different
    text, and notes on the cells without a finished partner.

    Variants of the same name are paired. A name has only fields that vary within a study, so cells that
    differ by what was changed between the studies are paired. Cells over different text are not.
    """
    groups: dict[tuple[object, ...], tuple[list[Cell], list[Cell]]] = defaultdict(lambda: ([], []))
    for side, cells in enumerate((a, b)):
        for cell in cells:
            groups[cell.dataset, cell.system, cell.num_samples, cell.setting][side].append(cell)
    pairs: list[Pair] = []
    halves: list[Pair] = []
    apart: list[Pair] = []
    alone: dict[tuple[str, str], list[str]] = defaultdict(list)

    for sides in groups.values():
        of_a, of_b = ([cell for cell in side if cell.counts.done] for side in sides)
        lost = [{cell.variant: cell for cell in side if not cell.counts.done} for side in sides]
        names = {cell.variant: cell for cell in of_a}
        matched = {cell.variant: cell for cell in of_b if cell.variant in names}
        for variant, cell in matched.items():
            (pairs if same_text(cell, names[variant]) else apart).append((cell, names[variant]))
        halves += [
            (lost[1][cell.variant], cell) for cell in of_a if cell.variant in lost[1].keys() - matched
        ]
        halves += [
            (cell, lost[0][cell.variant]) for cell in of_b if cell.variant in lost[0].keys() - matched
        ]
        met = {id(cell) for half in halves for cell in half}
        for study, cells, paired in (("A", of_a, names), ("B", of_b, matched)):
            for cell in cells:
                if id(cell) not in met and (
                    cell.variant not in matched or paired[cell.variant] is not cell
                ):
                    alone[f"only study {study} has", _where(cell)].append(cell_label(cell))
        for study, unfinished in zip("AB", lost, strict=True):
            for cell in unfinished.values():
                where = f"{_where(cell)}: {', '.join(states_of(cell))}"
                alone[f"study {study} has no finished run of", where].append(cell_label(cell))
    # One note for each study and setting, as studies without a common cell have many.
    return (
        pairs,
        halves,
        apart,
        [f"{said} {capped(rows, ', ')} {where}" for (said, where), rows in alone.items()],
    )


def _where(cell: Cell) -> str:
    return f"on {dataset_title(cell.dataset)}, {cell.setting}"


def _named(pairs: Sequence[Sequence[Pair]]) -> list[list[Pair]]:
    """The pairs with ``v1``, ``v2``, … as names of variants whose values are too long for names.

    Letters are the names of the studies.
    """
    cells = [cell for some in pairs for pair in some for cell in pair if cell.variant]
    variants = list(dict.fromkeys(cell.variant for cell in cells))
    names = (
        {} if can_be_names(cells) or len(variants) < 2 else {v: f"v{k}" for k, v in enumerate(variants, 1)}
    )

    def named(cell: Cell) -> Cell:
        return dataclasses.replace(cell, short_name=names.get(cell.variant))

    return [[(named(b), named(a)) for b, a in some] for some in pairs]


def _refusal(pair: Pair) -> str:
    """The reason why two cells over different text are not compared."""
    b, a = pair
    return (
        f"not compared: {cell_label(b)} on {_where(b).removeprefix('on ')}; "
        f"numbers over different text measure different problems (A: {a.text}; B: {b.text})"
    )


def _equality_notes(pairs: Iterable[Pair], refused: bool) -> Iterable[str]:
    """That the studies have no number in common, or that all of those, the estimates, are equal.

    Args:
        pairs: of cells over the same text.
        refused: whether there are pairs over different text.
    """
    common = [
        (of_b[seed], of_a[seed])
        for b, a in pairs
        for name in b.averages.keys() & a.averages.keys() - {HOURS}
        for of_b, of_a in [(b.averages[name].by_seed(), a.averages[name].by_seed())]
        for seed in of_b.keys() & of_a.keys()
    ]
    if not common:
        over = " over the same text" if refused else ""
        yield f"the studies have no finished run of the same cell and seed{over}"
    elif all(b == a for b, a in common):
        yield f"all {len(common)} numbers of the common seeds are equal to the last bit"


def _changes(a: pd.DataFrame, b: pd.DataFrame, pairs: Sequence[Pair]) -> Iterable[str]:
    """A note on each config field and each kind of origin that differs between paired cells.

    Cells that only one study has are named elsewhere, and their fields are no change.

    Args:
        a: the runs of study A.
        b: those of study B.
        pairs: the cells (of B, of A) with finished runs, compared or not.
    """
    sides = [
        [frame.set_index("run", drop=False).loc[_runs_of(pair[side])] for pair in pairs]
        for side, frame in ((1, a), (0, b))
    ]
    for name in CONFIG_FIELDS:
        values: tuple[set[str], set[str]] = set(), set()
        for of_pair in zip(*sides, strict=True):
            found = [{field_text(v) for v in runs[name].dropna().astype(object)} for runs in of_pair]
            if found[0] != found[1] and all(found):
                for of_study, of_cell in zip(values, found, strict=True):
                    of_study |= of_cell
        if all(values):
            yield f"{name}: {', '.join(sorted(values[0]))} in A; {', '.join(sorted(values[1]))} in B"
    recorded = [dict(origins(pd.concat(side))) if side else {} for side in sides]
    for name in dict.fromkeys([*recorded[0], *recorded[1]]):
        shown = [
            ", ".join(sorted(value for value, _ in side.get(name, []))) or "not recorded"
            for side in recorded
        ]
        if shown[0] != shown[1]:
            yield f"{name}: {shown[0]} in A; {shown[1]} in B"


def _runs_of(cell: Cell) -> list[str]:
    """The names of a cell's finished runs."""
    return sorted({run for average in cell.averages.values() for run in average.runs})
