"""Tables 2 and 3 in their published shape, with our numbers, and a table of further published numbers."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from analysis.published.catalogue import catalogue
from analysis.published.facts import Fact
from analysis.published.parse import METRICS
from analysis.stats.cells import Cell
from analysis.stats.text_groups import split_notes
from analysis.tables.elements.csv_rows import Row, cell_row, published_row
from analysis.tables.elements.importance_weights import reading_notes, weight_notes
from analysis.tables.elements.shown_variants import unfinished_variants, variant_key
from analysis.tables.elements.table import (
    NOT_A_BOUND,
    SETTINGS,
    Column,
    Line,
    Table,
    dataset_title,
    formula_notes,
    legend,
    marks_given_once,
    marks_of,
)
from analysis.tables.elements.text_sections import TextNames
from analysis.tables.paper_lines import (
    CONVERTED,
    OURS,
    RELIANCE,
    WEIGHTED,
    Block,
    Facts,
    other_text,
    our_lines,
    published_line,
)
from analysis.tables.paper_rows import PaperRow, Published
from lvae_core.run_folder.estimates import LATENT_USE

_COLUMN_NAMES = {"nll": "NLL", "kl": "(KL)", "ppl": "PPL", "nll_iw": "IW", "mi": "MI", "au": "AU"}
_COLUMN_NAMES |= {"ess": "ESS", "khat_above": "k>0.7"}

_CLOSE = 0.25
"""Difference in tokens per sentence up to which two counts are treated as equal."""


def table2(cells: Sequence[Cell], dataset: str) -> Table:
    """NLL, KL and PPL of a dataset in both settings, with the published numbers if there are any."""
    facts = [f for f in catalogue().facts if f.table[:1] == "2" and f.dataset == dataset]
    present = {cell.setting for cell in cells if cell.dataset == dataset}
    present |= {fact.setting for fact in facts}
    number = facts[0].table if facts else "2"
    table = _compare(
        f"{dataset_title(dataset)}: NLL (KL) in nats per sentence, and PPL",
        number,
        [Block(setting, dataset, setting) for setting in SETTINGS if setting in present],
        METRICS["2"],
        [cell for cell in cells if cell.dataset == dataset],
        TextNames(cells),
        facts,
    )
    split = split_notes(cells, dataset)
    return dataclasses.replace(table, notes=(*split, *table.notes), marks=(*split, *table.marks))


def table3(cells: Sequence[Cell], datasets: Sequence[str]) -> Table:
    """ELBO against importance-weighted NLL in the standard setting, datasets side by side."""
    titles = [dataset_title(dataset) for dataset in datasets]
    latent = [c for c in cells if c.dataset in datasets and c.setting == "standard" and c.num_samples]
    table = _compare(
        f"{', '.join(titles)}: NLL (the ELBO) and importance-weighted NLL (IW), standard",
        "3",
        [Block(title, name, "standard") for title, name in zip(titles, datasets, strict=True)],
        METRICS["3"],
        latent,
        TextNames(cells),
        [
            f
            for f in catalogue().facts
            if f.table[:1] == "3" and f.dataset in datasets and f.setting == "standard"
        ],
    )
    # How far to rely on a weighted number belongs beside it, also where the table stands alone.
    reliance = weight_notes(latent, [WEIGHTED])
    return dataclasses.replace(
        table,
        notes=(*table.notes, *reliance, *reading_notes(cells, datasets)),
        marks=(*table.marks, *reliance),
    )


def further_table(dataset: str) -> Table:
    """Numbers that others published on the same test split; the table has no lines if there are none."""
    facts = [f for f in catalogue().facts if not f.table and f.dataset == dataset]
    settings = [s for s in SETTINGS if any(f.setting == s for f in facts)]
    table = _compare(
        f"Published elsewhere on the same test split, {dataset_title(dataset)}",
        "",
        [Block(setting, dataset, setting) for setting in settings],
        [metric for metric in METRICS[""] if any(f.metric == metric for f in facts)],
        (),
        TextNames(()),
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
    blocks: Sequence[Block],
    metrics: Sequence[str],
    cells: Sequence[Cell],
    names_of: TextNames,
    facts: Sequence[Fact],
) -> Table:
    """Show the published rows in their order, our rows under theirs, then our rows that have no other.

    Our rows over another text than the published ones come last, under the name of their text.
    """
    datasets = list(dict.fromkeys(block.dataset for block in blocks))
    counted = [f for f in facts if f.metric == "nll" and catalogue().implied_tokens(f)]
    weighed = WEIGHTED in metrics and any(
        c.averages[WEIGHTED].ess is not None for c in cells if c.shown and WEIGHTED in c.averages
    )
    shown = [*metrics, *(RELIANCE if weighed else ()), *([CONVERTED] if counted else [])]
    published = Published(facts)
    places = [(block.dataset, block.setting, metric) for block in blocks for metric in metrics]
    rows = list(published.rows(cells, places))
    lines = [
        *_row_lines(rows, blocks, shown, names_of, _Texts.of(datasets, cells, names_of), facts),
        *_lines_over_other_text(datasets, blocks, shown, cells, names_of),
    ]
    letters = variant_key(cells, *datasets)
    merged = [_merged_note(label, found, len(datasets) > 1) for label, found in published.merged()]
    conversion = list(_conversion_note(counted))
    unfinished = [note for dataset in datasets for note in unfinished_variants(cells, dataset)]
    return Table(
        title,
        tuple(_columns(blocks, shown, counted)),
        tuple(lines),
        (*legend(lines), *merged, *letters, *unfinished, *conversion),
        lambda: (csv_row for row in rows for csv_row in _csv_rows_of(row, number, metrics)),
        marks=(*marks_of(lines), *merged, *letters, *formula_notes(lines), *conversion),
        once=(*marks_given_once(lines), *letters),
        number=number if facts else "",
    )


def _columns(blocks: Sequence[Block], shown: Sequence[str], counted: Sequence[Fact]) -> Iterator[Column]:
    names = {**_COLUMN_NAMES, CONVERTED: f"NLL at {_tokens(counted[0]):.1f}" if counted else ""}
    for block in blocks:
        for metric in shown:
            yield Column(names[metric], block.title, parenthesised=metric == "kl")
        yield Column("n", block.title)


@dataclass(frozen=True)
class _Texts:
    """The texts of our numbers that stand beside published ones, or first."""

    first: Mapping[str, str]
    """Dataset -> name of the text."""
    words: str
    """Their names in a heading; "" if no dataset has several texts."""

    @classmethod
    def of(cls, datasets: Sequence[str], cells: Sequence[Cell], names_of: TextNames) -> _Texts:
        first = {dataset: names_of.beside_published(cells, dataset) for dataset in datasets}
        named = [(dataset, text) for dataset, text in first.items() if text]
        several = len(datasets) > 1
        return cls(first, ", ".join(f"{dataset_title(d)} {text}" if several else text for d, text in named))


def _row_lines(
    rows: Sequence[PaperRow],
    blocks: Sequence[Block],
    shown: Sequence[str],
    names_of: TextNames,
    texts: _Texts,
    facts: Sequence[Fact],
) -> Iterator[Line]:
    """The lines of the rows, below a heading for each source; rows over other texts alone have none."""
    titles = {f.source: f.cited for f in facts}
    heading = None
    for row in rows:
        source = row.key.source
        beside = [c for c in row.cells if names_of.of(c) == texts.first[c.dataset]]
        if row.cells and not beside and not source:
            continue
        if (facts or texts.words) and source != heading:
            heading = source
            alone = [*(["not beside a published number"] if facts else []), *filter(None, [texts.words])]
            yield Line("heading", titles.get(source) or ", ".join(alone))
        if source:
            yield published_line(row.label, blocks, shown, row.printed)
        if row.has_ours:
            here = [c for c in beside if c.shown]
            below = f"{OURS}{NOT_A_BOUND * row.ours_marked}" if source else ""
            yield from our_lines(row.label, below, texts.words, blocks, shown, row.compared, here)


def _lines_over_other_text(
    datasets: Sequence[str],
    blocks: Sequence[Block],
    shown: Sequence[str],
    cells: Sequence[Cell],
    names_of: TextNames,
) -> Iterator[Line]:
    for dataset in datasets:
        for text in names_of.every(dataset):
            if text != names_of.beside_published(cells, dataset):
                over = [c for c in cells if c.dataset == dataset and names_of.of(c) == text and c.shown]
                name = f"{dataset_title(dataset)}, {text}" if len(datasets) > 1 else text
                yield from other_text(name, over, blocks, shown)


def _merged_note(label: str, facts: Sequence[Fact], several: bool) -> str:
    """Say from which source's numbers a row of ours differs; ``several``: of more than one dataset."""
    by_source: dict[str, dict[str, None]] = {}
    for fact in facts:
        metric = _COLUMN_NAMES[fact.metric].strip("()")
        name = f"{dataset_title(fact.dataset)} {metric}" if several else metric
        by_source.setdefault(fact.cited, {})[name] = None
    listed = ", ".join(f"{' and '.join(names)} of {source}" for source, names in by_source.items())
    return f"{label}: our differences are from {listed}"


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


def _csv_rows_of(row: PaperRow, number: str, metrics: Sequence[str]) -> Iterator[Row]:
    yield from _csv_rows(number, metrics, row.printed_only, [])
    if row.has_ours:
        yield from _csv_rows(number, metrics, row.compared, row.cells)


def _csv_rows(number: str, metrics: Sequence[str], row: Facts, cells: Sequence[Cell]) -> Iterator[Row]:
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
