"""Tables 2 and 3 in their published shape, with our numbers, and a table of further published numbers."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from analysis.published.catalogue import catalogue, display_name
from analysis.published.facts import Fact
from analysis.published.parse import METRICS
from analysis.stats.cells import Cell, Counts
from analysis.stats.reproduction import judge
from analysis.stats.text_groups import has_published_text
from analysis.tables.elements.csv_rows import Row, cell_row, published_row
from analysis.tables.elements.importance_weights import reading_notes
from analysis.tables.elements.shown_variants import unfinished_variants, variant_key
from analysis.tables.elements.table import (
    NOT_A_BOUND,
    SETTINGS,
    Column,
    Difference,
    Line,
    Table,
    Value,
    dataset_title,
    formula_notes,
    legend,
    marks_of,
    name_label,
    runs_text,
)
from lvae_core.run_folder.estimates import LATENT_USE


@dataclass(frozen=True)
class _Block:
    """The adjacent columns of one dataset and setting."""

    title: str
    dataset: str
    setting: str


_COLUMN_NAMES = {"nll": "NLL", "kl": "(KL)", "ppl": "PPL", "nll_iw": "IW", "mi": "MI", "au": "AU"}

_CONVERTED = "converted"
"""The column of NLLs on our count of tokens, for published rows that have another."""

_CLOSE = 0.25
"""Difference in tokens per sentence up to which two counts are treated as equal."""

_RowKey = tuple[str, str, int, str]
"""Source ("" for a row of ours alone), system, L and printed name of a row."""

_Facts = Mapping[tuple[str, str, str], Fact | None]
"""Dataset, setting and metric -> the published number of one row."""


def table2(cells: Sequence[Cell], dataset: str) -> Table:
    """NLL, KL and PPL of a dataset in both settings, with the published numbers if there are any."""
    facts = [f for f in catalogue().facts if f.table[:1] == "2" and f.dataset == dataset]
    present = {cell.setting for cell in cells if cell.dataset == dataset}
    present |= {fact.setting for fact in facts}
    number = facts[0].table if facts else "2"
    return _compare(
        f"{dataset_title(dataset)}: NLL (KL) in nats per sentence, and PPL",
        number,
        [_Block(setting, dataset, setting) for setting in SETTINGS if setting in present],
        METRICS["2"],
        [cell for cell in cells if cell.dataset == dataset],
        facts,
    )


def table3(cells: Sequence[Cell], datasets: Sequence[str]) -> Table:
    """ELBO against importance-weighted NLL in the standard setting, datasets side by side."""
    titles = [dataset_title(dataset) for dataset in datasets]
    table = _compare(
        f"{', '.join(titles)}: NLL (the ELBO) and importance-weighted NLL (IW), standard",
        "3",
        [_Block(title, name, "standard") for title, name in zip(titles, datasets, strict=True)],
        METRICS["3"],
        [
            cell
            for cell in cells
            if cell.dataset in datasets and cell.setting == "standard" and cell.num_samples
        ],
        [
            f
            for f in catalogue().facts
            if f.table[:1] == "3" and f.dataset in datasets and f.setting == "standard"
        ],
    )
    return dataclasses.replace(table, notes=(*table.notes, *reading_notes(cells, datasets)))


def further_table(dataset: str) -> Table:
    """Numbers that others published on the same test split; the table has no lines if there are none."""
    facts = [f for f in catalogue().facts if not f.table and f.dataset == dataset]
    settings = [s for s in SETTINGS if any(f.setting == s for f in facts)]
    table = _compare(
        f"Published elsewhere on the same test split, {dataset_title(dataset)}",
        "",
        [_Block(setting, dataset, setting) for setting in settings],
        [metric for metric in METRICS[""] if any(f.metric == metric for f in facts)],
        (),
        facts,
    )
    read = dict.fromkeys(f"{f.cited}: {f.read_in}" for f in facts if f.read_in)
    notes = [f"read in: {'; '.join(read)}"] if read else []
    # There are no runs to count.
    table = table.with_columns(lambda column: column.name != "n")
    return dataclasses.replace(table, notes=(*table.notes, *notes))


def _compare(
    title: str,
    number: str,
    blocks: Sequence[_Block],
    metrics: Sequence[str],
    cells: Sequence[Cell],
    facts: Sequence[Fact],
) -> Table:
    """Show the published rows in their order, our rows under theirs, then our rows that have no other."""
    datasets = dict.fromkeys(block.dataset for block in blocks)
    counted = [f for f in facts if f.metric == "nll" and catalogue().implied_tokens(f)]
    shown = [*metrics, *([_CONVERTED] if counted else [])]
    names = {**_COLUMN_NAMES, _CONVERTED: f"NLL at {_tokens(counted[0]):.1f}" if counted else ""}
    columns = [
        Column(name, block.title, parenthesised=metric == "kl")
        for block in blocks
        for metric, name in [*((metric, names[metric]) for metric in shown), ("", "n")]
    ]
    printed: dict[_RowKey, dict[tuple[str, str, str], Fact]] = {}
    for f in facts:
        printed.setdefault((f.source, f.system, f.num_samples, f.name), {})[
            f.dataset, f.setting, f.metric
        ] = f
    beside = {(f.source, f.system, f.num_samples, f.name) for f in facts if f.beside}
    matched = {key[1:3] for key in beside}
    titles = {f.source: f.cited for f in facts}
    ours = dict.fromkeys(("", c.system, c.num_samples, display_name(c.system)) for c in cells)
    lines: list[Line] = []
    sources: list[tuple[_Facts, list[Cell]]] = []
    heading = None
    # A dict keeps the order of first appearance, which is the published order.
    for key in [*printed, *(key for key in ours if key[1:3] not in matched)]:
        source, system, num_samples, name = key
        if facts and source != heading:
            heading = source
            lines.append(Line("heading", titles.get(source, "without a published number")))
        found = printed.get(key, {})
        row = {
            (b.dataset, b.setting, m): found.get((b.dataset, b.setting, m)) for b in blocks for m in metrics
        }
        with_ours = key in beside or not source
        chosen = [c for c in cells if with_ours and (c.system, c.num_samples) == (system, num_samples)]
        label = name_label(name, num_samples)
        if any(fact.bound for fact in found.values()) or any(c.joint_latent for c in chosen):
            label += NOT_A_BOUND
        lines += _row_lines(label, source, blocks, shown, row, with_ours, [c for c in chosen if c.shown])
        sources.append((row, chosen))
    letters = variant_key(cells, *datasets)
    return Table(
        title,
        tuple(columns),
        tuple(lines),
        (
            *legend(lines),
            *letters,
            *(note for dataset in datasets for note in unfinished_variants(cells, dataset)),
            *_conversion_note(counted),
        ),
        lambda: (
            csv_row for facts, cells in sources for csv_row in _csv_rows(number, metrics, facts, cells)
        ),
        marks=(*marks_of(lines), *letters, *formula_notes(lines)),
        once=(*marks_of(lines), *letters),
        number=number if facts else "",
    )


def _tokens(fact: Fact) -> float:
    sentences, tokens = catalogue().test_splits[fact.dataset]
    return tokens / sentences


def _conversion_note(counted: Sequence[Fact]) -> Iterator[str]:
    if not counted:
        return
    sentences, tokens = catalogue().test_splits[counted[0].dataset]
    implied: dict[str, list[float]] = {}
    for fact in counted:
        implied.setdefault(fact.cited, []).append(catalogue().implied_tokens(fact) or 0.0)
    listed = ", ".join(f"{source} {sum(n) / len(n):.1f}" for source, n in implied.items())
    counts = [count for n in implied.values() for count in n]
    without_end = abs(sum(counts) / len(counts) + 1 - tokens / sentences) < _CLOSE
    why = ", as without </s>" if without_end else ""
    ours = tokens / sentences
    yield (
        f"NLL at {ours:.1f}: not printed, but NLL from PPL on {ours:.3f} tokens per sentence, as ours "
        f"({tokens:,} tokens with </s> in {sentences:,} sentences). The printed NLL and KL of these rows "
        f"are on another count ({listed}{why}): compare this NLL or the PPL. Our differences of NLL and KL "
        "are from converted numbers"
    )


def _row_lines(
    label: str,
    source: str,
    blocks: Sequence[_Block],
    metrics: Sequence[str],
    row: _Facts,
    with_ours: bool,
    cells: Sequence[Cell],
) -> list[Line]:
    """The published line of a row (if ``source`` is not ""), and two lines for each of our variants."""
    lines = []
    if source:
        values = [v for b in blocks for v in [*(_printed(row, b, m) for m in metrics), None]]
        lines.append(Line("published", label, tuple(values)))
        if not with_ours:
            return lines
    variants = {cell.variant: cell.variant_name for cell in cells} or {"": ""}
    # A row that was not published has its variants under a line of its name alone.
    if not source and list(variants.values()) != [""]:
        lines.append(Line("published", label, (None,) * len(blocks) * (len(metrics) + 1)))
    for variant, named in variants.items():
        at = {(c.dataset, c.setting): c for c in cells if c.variant == variant}
        parts = [*(["ours"] if source else []), *([named] if named else [])]
        name = f"  {', '.join(parts)}" if parts else label
        halves = [_cell_values(at.get((b.dataset, b.setting)), metrics, row, b) for b in blocks]
        lines.append(Line("ours", name, tuple(value for half in halves for value in half)))
        differences = [
            value
            for b in blocks
            for value in [
                *(_difference(at.get((b.dataset, b.setting)), m, row) for m in metrics),
                None,
            ]
        ]
        if any(differences):
            lines.append(Line("difference", "  difference", tuple(differences)))
    return lines


def _printed(row: _Facts, block: _Block, metric: str) -> Fact | None:
    """A number of a published line; in the converted column only if its row counts other tokens."""
    if metric != _CONVERTED:
        return row[block.dataset, block.setting, metric]
    nll = row[block.dataset, block.setting, "nll"]
    converted = nll and catalogue().comparable(nll)
    return converted if converted and converted.formula else None


def _cell_values(cell: Cell | None, metrics: Sequence[str], row: _Facts, block: _Block) -> list[Value]:
    if cell is None:
        # Nothing is missing where others have numbers in the other setting or dataset only.
        facts = [row[block.dataset, block.setting, metric] for metric in metrics if metric != _CONVERTED]
        if any(row.values()) and not any(facts):
            return [None] * (len(metrics) + 1)
        return [*(None if metric in ("kl", _CONVERTED) else Counts() for metric in metrics), None]
    if not cell.counts.done:
        return [cell.counts, *[None] * (len(metrics) - 1), runs_text(cell.counts)]
    averages = [cell.averages.get(cell.estimate(metric)) for metric in metrics]
    return [*averages, runs_text(cell.counts, *averages)]


def _difference(cell: Cell | None, metric: str, row: _Facts) -> Difference | None:
    if cell is None or metric == _CONVERTED:
        return None
    average = cell.averages.get(cell.estimate(metric))
    fact = row[cell.dataset, cell.setting, metric]
    if not average or not fact or not has_published_text(cell):
        return None
    fact = catalogue().comparable(fact)
    return Difference(average.mean - fact.mean, judge(average, fact).interval, average, fact)


def _csv_rows(number: str, metrics: Sequence[str], row: _Facts, cells: Sequence[Cell]) -> Iterator[Row]:
    # Table 2's file has all measures of the latent variable's use; the table shows the KL alone.
    wanted = dict.fromkeys([*metrics, *(LATENT_USE if number[:1] == "2" else ())])
    for cell in cells:
        for metric in wanted:
            fact = row.get((cell.dataset, cell.setting, metric))
            fact = fact and catalogue().comparable(fact)
            # A model without a latent variable has no such measures.
            if fact or metric == "nll" or cell.estimate(metric) in cell.averages:
                yield cell_row(number, cell, metric, cell.estimate(metric), fact)
    with_runs = {(cell.dataset, cell.setting) for cell in cells}
    for (dataset, setting, _), fact in row.items():
        if fact and (dataset, setting) not in with_runs:
            yield published_row(number, fact)
