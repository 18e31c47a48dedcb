"""Compare two studies cell by cell over their common seeds, such as before and after a change."""

from __future__ import annotations

import dataclasses
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.reading.collect import Runs
from analysis.reading.frame import CONFIG_FIELDS
from analysis.reading.sources import study_names
from analysis.report.findings import METRIC, sum_up
from analysis.report.provenance import facts, origins
from analysis.report.report import RESAMPLING_SEED
from analysis.stats.average import Average, average
from analysis.stats.cells import Cell
from analysis.stats.claims import RULE
from analysis.stats.comparisons import Comparison, compare_family, estimate_of
from analysis.stats.intervals import Interval
from analysis.stats.over_seeds import average_cells
from analysis.stats.text_groups import same_text
from analysis.stats.variants import Variant, common_variants, setting_text
from analysis.tables.comparisons import (
    metric_title,
    reach_notes,
    verdict_columns,
    verdict_note,
    verdict_values,
)
from analysis.tables.costs import scaled, unit_of
from analysis.tables.elements.csv_rows import comparison_row
from analysis.tables.elements.shown_variants import can_be_names, states_of
from analysis.tables.elements.table import Column, Difference, Line, Table, cell_label, dataset_title
from analysis.tables.notes import huge_notes
from lvae_core.run_folder.estimates import LATENT_USE

HOURS = "device_hours"

_Pair = tuple[Cell, Cell]
"""A cell of study B and the cell of study A that it is compared with."""

METRICS = {
    "nll": "NLL (as published)",
    "nll_valid": "NLL (tightest bound)",
    "ppl": "PPL (as published)",
    **{name: estimate.title for name, estimate in LATENT_USE.items()},
    HOURS: "device-hours per run",
}


@dataclass(frozen=True)
class TwoStudies:
    """The comparison of study B with study A."""

    studies: tuple[str, str]
    facts: tuple[tuple[str, ...], tuple[str, ...]]
    """The head of each study's report."""
    findings: tuple[str, ...]
    """What the comparisons of each dataset and setting show, in a sentence."""
    notes: tuple[str, ...]
    """List the differences between the studies, apart from numbers."""
    tables: tuple[Table, ...]
    """Two for each dataset: the estimates and the cost."""
    comparisons: tuple[Comparison, ...]
    problems: tuple[str, ...]


def compare_studies(a: Runs, b: Runs) -> TwoStudies:
    """Compare every cell that both studies have, by every metric, over common seeds: ``b`` minus ``a``."""
    rng = np.random.default_rng(RESAMPLING_SEED)
    cells = _labelled_alike(a.frame, b.frame)
    pairs, halves, alone = _match(*([_with_hours(cell) for cell in of_one] for of_one in cells))
    compared: list[Comparison] = []
    for dataset, setting in dict.fromkeys((cell.dataset, cell.setting) for cell, _ in pairs):
        family = [pair for pair in pairs if (pair[0].dataset, pair[0].setting) == (dataset, setting)]
        for metric in METRICS:
            compared += compare_family(family, metric, rng)
    datasets = dict.fromkeys(c.a.dataset for c in compared)
    return TwoStudies(
        studies=(a.studies[0], b.studies[0]),
        facts=(tuple(facts(a, a.frame, cells[0])), tuple(facts(b, b.frame, cells[1]))),
        findings=tuple(_findings(compared)),
        notes=(*_equality_notes(compared), *_changes(a.frame, b.frame), *alone),
        tables=tuple(
            # Elsewhere the studies are named above the tables.
            dataclasses.replace(table, marks=(_study_key(a, b), *table.marks))
            for name in datasets
            for table in _tables(compared, halves, name)
        ),
        comparisons=tuple(compared),
        problems=(*a.problems, *b.problems),
    )


def _findings(compared: Sequence[Comparison]) -> Iterable[str]:
    valid = [c for c in compared if c.metric == METRIC]
    for dataset, setting in dict.fromkeys((c.a.dataset, c.a.setting) for c in valid):
        of_setting = [c for c in valid if (c.a.dataset, c.a.setting) == (dataset, setting)]
        text = sum_up(of_setting, lambda b: f"{cell_label(b)} of B", lambda a: f"{cell_label(a)} of A")
        yield f"{dataset_title(dataset)} {setting}: {text}."


def _study_key(a: Runs, b: Runs) -> str:
    return f"A: study {study_names(a.studies)}; B: study {study_names(b.studies)}"


def _labelled_alike(*frames: pd.DataFrame) -> list[list[Cell]]:
    """The cells of two studies, with equal names for equal variants of a row."""
    keys = ["dataset", "system", "num_samples"]
    rows = [dict(list(frame.groupby(keys, sort=False))) for frame in frames]
    alike = {
        key: common_variants(*(of_study[key] for of_study in rows)) for key in rows[0].keys() & rows[1]
    }
    nothing: tuple[dict[str, Variant], ...] = ({}, {})

    def renamed(cell: Cell, side: int) -> Cell:
        of_row = alike.get((cell.dataset, cell.system, cell.num_samples), nothing)[side]
        common = of_row.get(cell.variant)
        return (
            dataclasses.replace(cell, variant=common.label, varied=dict(common.fields)) if common else cell
        )

    return [[renamed(cell, side) for cell in average_cells(frame)] for side, frame in enumerate(frames)]


def _with_hours(cell: Cell) -> Cell:
    averages = {**cell.averages, **({HOURS: cell.hours} if cell.hours else {})}
    return dataclasses.replace(cell, averages=averages)


def _match(a: Sequence[Cell], b: Sequence[Cell]) -> tuple[list[_Pair], list[_Pair], list[str]]:
    """Pair the cells of B and A.

    Returns the pairs (of B, of A), those of which only one has a finished run, and a note on each cell
    without a finished partner.

    Variants of the same name are paired. A name has only fields that vary within a study, so cells that
    differ by what was changed between the studies are paired. Cells over different text are not.
    """
    groups: dict[tuple[object, ...], tuple[list[Cell], list[Cell]]] = defaultdict(lambda: ([], []))
    for side, cells in enumerate((a, b)):
        for cell in cells:
            groups[cell.dataset, cell.system, cell.num_samples, cell.setting][side].append(cell)
    pairs: list[_Pair] = []
    halves: list[_Pair] = []
    alone: list[str] = []

    def pair(b: Cell, a: Cell) -> None:
        if same_text(b, a):
            pairs.append((b, a))
        else:
            alone.append(
                f"not compared: {cell_label(b, ' ({})')} on {dataset_title(b.dataset)}, {b.setting}; "
                f"numbers over different text measure different problems (A: {a.text}; B: {b.text})"
            )

    for sides in groups.values():
        of_a, of_b = ([cell for cell in side if cell.counts.done] for side in sides)
        lost = [{cell.variant: cell for cell in side if not cell.counts.done} for side in sides]
        names = {cell.variant: cell for cell in of_a}
        matched = {cell.variant: cell for cell in of_b if cell.variant in names}
        for variant, cell in matched.items():
            pair(cell, names[variant])
        halves += [
            (lost[1][cell.variant], cell) for cell in of_a if cell.variant in lost[1].keys() - matched
        ]
        halves += [
            (cell, lost[0][cell.variant]) for cell in of_b if cell.variant in lost[0].keys() - matched
        ]
        met = {id(cell) for half in halves for cell in half}
        for study, cells, paired in (("A", of_a, names), ("B", of_b, matched)):
            alone += [
                f"only study {study} has {_where(cell)}"
                for cell in cells
                if id(cell) not in met and (cell.variant not in matched or paired[cell.variant] is not cell)
            ]
        alone += [
            f"study {study} has no finished run of {_where(cell)}: {', '.join(states_of(cell))}"
            for study, cells in zip("AB", lost, strict=True)
            for cell in cells.values()
        ]
    return pairs, halves, alone


def _where(cell: Cell) -> str:
    return f"{cell_label(cell, ' ({})')} on {dataset_title(cell.dataset)}, {cell.setting}"


def _equality_notes(compared: Sequence[Comparison]) -> Iterable[str]:
    pairs = [c.paired for c in compared if c.metric != HOURS]
    differences = [d for paired in pairs for d in paired.differences]
    if not any(paired.seeds for paired in pairs):
        yield "the studies have no finished run of the same cell and seed"
    elif not any(differences) and not any(paired.too_large for paired in pairs):
        yield f"all {len(differences)} numbers of the common seeds are equal to the last bit"


def _changes(a: pd.DataFrame, b: pd.DataFrame) -> Iterable[str]:
    """A note on each config field and each kind of origin that differs between the studies."""
    for name in CONFIG_FIELDS:
        values = [sorted({setting_text(v) for v in f[name].dropna().astype(object)}) for f in (a, b)]
        if values[0] != values[1] and all(values):
            yield f"{name}: {', '.join(values[0])} in A, {', '.join(values[1])} in B"
    recorded = [dict(origins(frame)) for frame in (a, b)]
    for name in dict.fromkeys([*recorded[0], *recorded[1]]):
        listed = [
            ", ".join(sorted(value for value, _ in side.get(name, []))) or "not recorded"
            for side in recorded
        ]
        if listed[0] != listed[1]:
            yield f"{name}: {listed[0]} in A; {listed[1]} in B"


def _tables(compared: Sequence[Comparison], halves: Sequence[_Pair], dataset: str) -> Iterable[Table]:
    estimates = [c for c in compared if c.a.dataset == dataset and c.metric != HOURS]
    hours = [c for c in compared if c.a.dataset == dataset and c.metric == HOURS]
    if estimates:
        of_dataset = [half for half in halves if half[0].dataset == dataset]
        yield _table(estimates, f"B minus A, {dataset_title(dataset)}", 1, halves=of_dataset)
    if hours:
        unit, per_hour = unit_of(max(average.mean for c in hours for average in c.averages))
        title = f"Cost of B minus A, {dataset_title(dataset)}"
        shown = [_in_unit(comparison, per_hour) for comparison in hours]
        table = _table(shown, title, 2, f"device-{unit} per run")
        # The CSV file has hours, whatever the table shows.
        yield dataclasses.replace(table, csv_rows=lambda: (comparison_row(c, "study") for c in hours))


def _in_unit(comparison: Comparison, per_hour: int) -> Comparison:
    """A comparison of hours in another unit."""
    paired, a, b = comparison.paired, comparison.a, comparison.b
    interval = paired.interval and Interval(paired.interval.low * per_hour, paired.interval.high * per_hour)
    return dataclasses.replace(
        comparison,
        a=dataclasses.replace(a, averages={HOURS: scaled(a.averages[HOURS], per_hour)}),
        b=dataclasses.replace(b, averages={HOURS: scaled(b.averages[HOURS], per_hour)}),
        paired=dataclasses.replace(
            paired,
            mean=None if paired.mean is None else paired.mean * per_hour,
            interval=interval,
        ),
    )


def _table(
    compared: Sequence[Comparison],
    title: str,
    decimals: int,
    measure: str = "",
    halves: Sequence[_Pair] = (),
) -> Table:
    names = _short_names([*(c.a for c in compared), *(cell for cell, _ in halves)])
    lines: list[Line] = []
    cells = [cell for c in compared for cell in (c.a, c.b)]

    def heading(of: Comparison) -> str:
        return f"{of.a.setting}, {measure or metric_title(METRICS[of.metric], cells)}"

    for setting, metric in dict.fromkeys((c.a.setting, c.metric) for c in compared):
        of_heading = [c for c in compared if (c.a.setting, c.metric) == (setting, metric)]
        lines.append(Line("heading", heading(of_heading[0])))
        lines += [_line(c, names) for c in of_heading]
        lines += [_half_line(half, metric, names) for half in halves if half[0].setting == setting]
    columns = (
        Column("A", decimals=decimals),
        Column("B", decimals=decimals),
        Column("B - A", decimals=max(2, decimals)),
        *verdict_columns("B lower", max(2, decimals)),
    )
    huge = _huge([*((c.a, c.b) for c in compared), *halves])
    notes = (
        "A, B: over the n common seeds. B - A: mean difference over them, with its 95% t interval. "
        + verdict_note("B", "A", lower="B lower", over=" over the rows of a heading"),
        *([RULE] if any(c.metric.startswith("nll") for c in compared) else []),
        *huge,
        *reach_notes(compared, heading),
        *(f"{name}: {variant}" for variant, name in names.items()),
    )
    key = notes[len(notes) - len(names) :] if names else ()
    return Table(
        title,
        columns,
        tuple(lines),
        notes,
        lambda: (comparison_row(c, "study") for c in compared),
        marks=(notes[0], *huge, *key),
        once=(RULE, *key),
        background=(RULE,),
    )


def _huge(pairs: Sequence[_Pair]) -> list[str]:
    """A note on the huge estimates of each study."""
    return [
        f"{study}: {note}"
        for study, side in (("A", 1), ("B", 0))
        for note in huge_notes({id(pair[side]): pair[side] for pair in pairs}.values())
    ]


def _short_names(cells: Sequence[Cell]) -> dict[str, str]:
    """Variant -> ``v1``, ``v2``, … if values are too long for names; letters are names of the studies."""
    cells = [cell for cell in cells if cell.variant]
    variants = list(dict.fromkeys(cell.variant for cell in cells))
    if can_be_names(cells):
        return {}
    return {variant: f"v{k}" for k, variant in enumerate(variants, start=1)} if len(variants) > 1 else {}


def _line(comparison: Comparison, names: Mapping[str, str]) -> Line:
    paired = comparison.paired
    b, a = (_over(average, paired.seeds) for average in comparison.averages)
    return Line(
        "ours",
        _label(comparison.a, names),
        (
            a,
            b,
            None if paired.mean is None else Difference(paired.mean, paired.interval, b, a),
            *verdict_values(comparison),
        ),
    )


def _half_line(pair: _Pair, metric: str, names: Mapping[str, str]) -> Line:
    """The line of a cell that has finished runs in one study only; the other has the states of its runs."""
    b, a = (
        cell.averages.get(estimate_of(cell, metric) or "") if cell.counts.done else cell.counts
        for cell in pair
    )
    return Line("ours", _label(pair[0], names), (a, b, None, None, "0", None, None, None, None))


def _label(cell: Cell, names: Mapping[str, str]) -> str:
    return f"  {cell_label(dataclasses.replace(cell, short_name=names.get(cell.variant)), ' ({})')}"


def _over(whole: Average, seeds: Sequence[int]) -> Average:
    """An average over some of its seeds; it stays as it is if it has none of them."""
    kept = [position for position, seed in enumerate(whole.seeds) if seed in seeds]
    if len(kept) in (0, whole.n):
        return whole
    errors = [whole.mc_stderrs[k] for k in kept]
    part = average(
        np.array([whole.seeds[k] for k in kept]),
        np.array([whole.values[k] for k in kept]),
        np.array([math.nan if error is None else error for error in errors]),
    )
    return dataclasses.replace(
        part, runs=tuple(whole.runs[k] for k in kept), ess=whole.ess, khat_above=whole.khat_above
    )
