"""Tables 2 and 3 in their published shape, with our numbers, and a table of further published numbers."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

from analysis.published.catalogue import catalogue, display_name
from analysis.published.facts import Fact
from analysis.published.parse import METRICS
from analysis.stats.cells import Cell
from analysis.tables.elements.csv_rows import Row, cell_row, published_row
from analysis.tables.elements.importance_weights import reading_notes, weight_notes
from analysis.tables.elements.shown_variants import unfinished_variants, variant_key
from analysis.tables.elements.table import (
    DOUBTFUL,
    NOT_A_BOUND,
    SETTINGS,
    Column,
    Line,
    Table,
    dataset_title,
    formula_notes,
    legend,
    marks_of,
    name_label,
)
from analysis.tables.elements.text_sections import TextNames
from analysis.tables.paper_lines import CONVERTED, RELIANCE, WEIGHTED, Block, Facts, other_text, row_lines
from lvae_core.run_folder.estimates import LATENT_USE

_COLUMN_NAMES = {"nll": "NLL", "kl": "(KL)", "ppl": "PPL", "nll_iw": "IW", "mi": "MI", "au": "AU"}
_COLUMN_NAMES |= {"ess": "ESS", "khat_above": "k>0.7"}

_CLOSE = 0.25
"""Difference in tokens per sentence up to which two counts are treated as equal."""

_RowKey = tuple[str, str, int, str]
"""Source ("" for a row of ours alone), system, L and printed name of a row."""

_Place = tuple[str, str, str]
"""Dataset, setting and metric of a number in a row."""


def table2(cells: Sequence[Cell], dataset: str) -> Table:
    """NLL, KL and PPL of a dataset in both settings, with the published numbers if there are any."""
    facts = [f for f in catalogue().facts if f.table[:1] == "2" and f.dataset == dataset]
    present = {cell.setting for cell in cells if cell.dataset == dataset}
    present |= {fact.setting for fact in facts}
    number = facts[0].table if facts else "2"
    return _compare(
        f"{dataset_title(dataset)}: NLL (KL) in nats per sentence, and PPL",
        number,
        [Block(setting, dataset, setting) for setting in SETTINGS if setting in present],
        METRICS["2"],
        [cell for cell in cells if cell.dataset == dataset],
        TextNames(cells),
        facts,
    )


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

    If several published rows each have some of the numbers beside one of ours, it stands under the last of
    them, with the differences from all of these numbers. Our rows over another text than the published
    ones come last, under the name of their text.
    """
    datasets = list(dict.fromkeys(block.dataset for block in blocks))
    first = {dataset: names_of.beside_published(cells, dataset) for dataset in datasets}
    words = [
        f"{dataset_title(dataset)} {text}" if len(datasets) > 1 else text
        for dataset, text in first.items()
        if text
    ]
    counted = [f for f in facts if f.metric == "nll" and catalogue().implied_tokens(f)]
    weighed = WEIGHTED in metrics and any(
        c.averages[WEIGHTED].ess is not None for c in cells if c.shown and WEIGHTED in c.averages
    )
    shown = [*metrics, *(RELIANCE if weighed else ()), *([CONVERTED] if counted else [])]
    names = {**_COLUMN_NAMES, CONVERTED: f"NLL at {_tokens(counted[0]):.1f}" if counted else ""}
    columns = [
        Column(name, block.title, parenthesised=metric == "kl")
        for block in blocks
        for metric, name in [*((metric, names[metric]) for metric in shown), ("", "n")]
    ]
    printed: dict[_RowKey, dict[_Place, Fact]] = {}
    for f in facts:
        printed.setdefault(_row_key(f), {})[_place(f)] = f
    beside = {_row_key(f) for f in facts if f.beside}
    compared: dict[tuple[str, int], dict[_Place, Fact]] = {}
    for f in sorted(facts, key=lambda f: not f.beside):
        if _row_key(f) in beside:
            compared.setdefault((f.system, f.num_samples), {}).setdefault(_place(f), f)
    hosts = {key[1:3]: key for key in printed if key in beside}
    titles = {f.source: f.cited for f in facts}
    ours = dict.fromkeys(("", c.system, c.num_samples, display_name(c.system)) for c in cells)
    lines: list[Line] = []
    sources: list[tuple[Facts, list[Cell]]] = []
    heading = None
    # A dict keeps the order of first appearance, which is the published order.
    for key in [*printed, *(key for key in ours if key[1:3] not in hosts)]:
        source, system, num_samples, name = key
        found = printed.get(key, {})
        places = [(b.dataset, b.setting, metric) for b in blocks for metric in metrics]
        row = {place: found.get(place) for place in places}
        with_ours = hosts.get((system, num_samples)) == key or not source
        chosen = [c for c in cells if with_ours and (c.system, c.num_samples) == (system, num_samples)]
        label = name_label(name, num_samples)
        joint = any(c.joint_latent for c in chosen)
        # Of a published row, its file says whether it is a bound; our rows below it have their own mark.
        marks = {fact.bound for fact in found.values()} if source else {"no" if joint else ""}
        marked = "no" in marks
        label += NOT_A_BOUND if marked else DOUBTFUL * ("doubtful" in marks)
        of_ours = compared.get((system, num_samples), {}) if key in beside else {}
        sources.append(({p: fact for p, fact in row.items() if fact is not of_ours.get(p)}, []))
        row_of_ours = {place: of_ours.get(place) for place in places}
        if with_ours:
            sources.append((row_of_ours, chosen))
        beside_it = [c for c in chosen if names_of.of(c) == first[c.dataset]]
        if chosen and not beside_it and not source:
            continue  # all of it is over another text
        if (facts or words) and source != heading:
            heading = source
            name = titles.get(source) or ", ".join(["not beside a published number"] * bool(facts) + words)
            lines.append(Line("heading", name))
        here = [c for c in beside_it if c.shown]
        if source:
            lines += row_lines(label, "", source, blocks, shown, row, False, ())
        if with_ours:
            below = row_lines(
                label,
                ", ".join(words),
                source,
                blocks,
                shown,
                row_of_ours,
                True,
                here,
                joint and not marked,
            )
            lines += below[1:] if source else below  # without the published line
    for dataset in datasets:
        for text in names_of.every(dataset):
            if text != first[dataset]:
                over = [c for c in cells if c.dataset == dataset and names_of.of(c) == text and c.shown]
                name = f"{dataset_title(dataset)}, {text}" if len(datasets) > 1 else text
                lines += other_text(name, over, blocks, shown)
    letters = variant_key(cells, *datasets)
    merged = [
        _merged_note(name_label(hosts[row][3], row[1]), list(found.values()), len(datasets) > 1)
        for row, found in compared.items()
        if sum(key[1:3] == row for key in beside) > 1
    ]
    return Table(
        title,
        tuple(columns),
        tuple(lines),
        (
            *legend(lines),
            *merged,
            *letters,
            *(note for dataset in datasets for note in unfinished_variants(cells, dataset)),
            *_conversion_note(counted),
        ),
        lambda: (
            csv_row for facts, cells in sources for csv_row in _csv_rows(number, metrics, facts, cells)
        ),
        marks=(
            *marks_of(lines),
            *merged,
            *letters,
            *formula_notes(lines),
            *_conversion_note(counted),
        ),
        once=(*marks_of(lines), *letters),
        number=number if facts else "",
    )


def _row_key(fact: Fact) -> _RowKey:
    return fact.source, fact.system, fact.num_samples, fact.name


def _place(fact: Fact) -> _Place:
    return fact.dataset, fact.setting, fact.metric


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
