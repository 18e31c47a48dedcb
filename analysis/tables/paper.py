"""Tables 2 and 3 in the paper's shape, as values: nothing here knows how they will look."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from analysis.published import AVERAGING, OURS, SOURCES, Fact, load
from analysis.stats.cells import Cell, Counts, joint_latent
from analysis.stats.reproduction import judge
from analysis.tables.csv_rows import Record, Records, published_record, record
from analysis.tables.table import (
    NOT_A_BOUND,
    SETTINGS,
    Column,
    Difference,
    Line,
    Table,
    Value,
    dataset_title,
    legend,
    row_label,
    runs_text,
)


@dataclass(frozen=True)
class _Block:
    """Neighbouring columns of one dataset and setting."""

    title: str
    dataset: str
    setting: str


_COLUMN_NAMES = {"nll": "NLL", "kl": "(KL)", "ppl": "PPL", "nll_iw": "IW"}

# In the records of Table 2 beside what it shows: how far the latent variable is used.
_USE_OF_LATENT = ("mi", "au")


def table2(cells: Sequence[Cell], dataset: str) -> Table:
    """NLL, KL and PPL of a dataset in both settings; beside the published where there are any."""
    facts = [fact for fact in load() if fact.table[0] == "2" and fact.dataset == dataset]
    present = {cell.setting for cell in cells if cell.dataset == dataset}
    settings = [setting for setting in SETTINGS if facts or setting in present]
    number = facts[0].table if facts else "2"
    return _compare(
        f"Table {number}. {dataset_title(dataset)}: NLL (KL) in nats a sentence, and PPL",
        number,
        [_Block(setting, dataset, setting) for setting in settings],
        ("nll", "kl", "ppl"),
        [cell for cell in cells if cell.dataset == dataset],
        facts,
    )


def table3(cells: Sequence[Cell], datasets: Sequence[str]) -> Table:
    """ELBO against importance-weighted NLL in the standard setting, datasets side by side."""
    titles = [dataset_title(dataset) for dataset in datasets]
    return _compare(
        f"Table 3. {', '.join(titles)}: NLL (the ELBO) and importance-weighted NLL (IW), standard",
        "3",
        [_Block(title, name, "standard") for title, name in zip(titles, datasets, strict=True)],
        ("nll", "nll_iw"),
        [
            cell
            for cell in cells
            if cell.dataset in datasets and cell.setting == "standard" and cell.num_samples
        ],
        [fact for fact in load() if fact.table == "3" and fact.dataset in datasets],
    )


def _compare(
    title: str,
    number: str,
    blocks: Sequence[_Block],
    metrics: Sequence[str],
    cells: Sequence[Cell],
    facts: Sequence[Fact],
) -> Table:
    """Rows of facts in their order, ours under those of OURS, then ours that have no fact."""
    columns = [
        Column(name, block.title, parenthesised=metric == "kl")
        for block in blocks
        for metric, name in [*((m, _COLUMN_NAMES[m]) for m in metrics), ("", "n")]
    ]
    printed = {
        (f.source, f.system, f.num_samples, f.dataset, f.setting, f.metric): f for f in facts
    }  # fmt: skip
    rows = dict.fromkeys((f.source, f.system, f.num_samples) for f in facts)
    ours = dict.fromkeys(("", c.system, c.num_samples) for c in cells)
    lines: list[Line] = []
    belonging: list[tuple[_Row, list[Cell]]] = []
    heading = None
    for source, system, num_samples in [*rows, *(row for row in ours if (OURS, *row[1:]) not in rows)]:
        if facts and source != heading:
            heading = source
            lines.append(Line("heading", SOURCES.get(source, "not in the paper's table")))
        row = {
            (block.dataset, block.setting, metric): printed.get(
                (source, system, num_samples, block.dataset, block.setting, metric)
            )
            for block in blocks
            for metric in metrics
        }
        chosen = [
            c for c in cells if source in (OURS, "") and (c.system, c.num_samples) == (system, num_samples)
        ]
        label = row_label(system, num_samples)
        if (source == OURS and AVERAGING[system] == "hidden" and num_samples > 1) or any(
            map(joint_latent, chosen)
        ):
            label += NOT_A_BOUND
        lines += _row_lines(label, source, blocks, metrics, row, [c for c in chosen if c.shown])
        belonging.append((row, chosen))
    records = Records(
        lambda: (r for row, chosen in belonging for r in _row_records(number, metrics, row, chosen))
    )
    return Table(title, tuple(columns), tuple(lines), tuple(legend(lines)), records)


_Row = Mapping[tuple[str, str, str], Fact | None]


def _row_lines(
    label: str,
    source: str,
    blocks: Sequence[_Block],
    metrics: Sequence[str],
    row: _Row,
    cells: Sequence[Cell],
) -> list[Line]:
    lines = []
    if source:
        values = [v for b in blocks for v in [*(row[b.dataset, b.setting, m] for m in metrics), None]]
        lines.append(Line("published", label, tuple(values)))
        if source != OURS:
            return lines
    variants = list(dict.fromkeys(cell.variant for cell in cells)) or [""]
    if not source and variants != [""]:
        lines.append(Line("published", label, (None,) * len(blocks) * (len(metrics) + 1)))
    for variant in variants:
        at = {(c.dataset, c.setting): c for c in cells if c.variant == variant}
        if source:
            name = f"  ours, {variant}" if variant else "  ours"
        else:
            name = f"  {variant}" if variant else label
        halves = [_cell_values(at.get((b.dataset, b.setting)), metrics) for b in blocks]
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


def _cell_values(cell: Cell | None, metrics: Sequence[str]) -> list[Value]:
    if cell is None:
        return [*(None if metric == "kl" else Counts() for metric in metrics), None]
    if not cell.counts.done:
        return [cell.counts, *[None] * (len(metrics) - 1), runs_text(cell.counts)]
    averages = [cell.averages.get(cell.estimate(metric)) for metric in metrics]
    return [*averages, runs_text(cell.counts)]


def _difference(cell: Cell | None, metric: str, row: _Row) -> Difference | None:
    if cell is None:
        return None
    average = cell.averages.get(cell.estimate(metric))
    fact = row[cell.dataset, cell.setting, metric]
    if not average or not fact:
        return None
    return Difference(average.mean - fact.mean, judge(average, fact).interval, average, fact)


def _row_records(number: str, metrics: Sequence[str], row: _Row, cells: Sequence[Cell]) -> Iterator[Record]:
    wanted = [*metrics, *(_USE_OF_LATENT if number[0] == "2" else ())]
    for cell in cells:
        for metric in wanted:
            fact = row.get((cell.dataset, cell.setting, metric))
            # KL and its like do not exist without a latent variable.
            if fact or metric == "nll" or cell.estimate(metric) in cell.averages:
                yield record(number, cell, metric, cell.estimate(metric), fact)
    run = {(cell.dataset, cell.setting) for cell in cells}
    for (dataset, setting, _), fact in row.items():
        if fact and (dataset, setting) not in run:
            yield published_record(number, fact)
