"""Tables 2 and 3 in the paper's shape, our numbers under the published ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from analysis.published import AVERAGING, OURS, SOURCES, Fact, load
from analysis.stats.cells import Cell, Counts
from analysis.stats.reproduction import judge
from analysis.tables.csv_rows import Row, cell_row, published_row
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
from lvae_core.run_folder.estimates import LATENT_USE


@dataclass(frozen=True)
class _Block:
    """The columns of one dataset and setting, which stand side by side."""

    title: str
    dataset: str
    setting: str


_COLUMN_NAMES = {"nll": "NLL", "kl": "(KL)", "ppl": "PPL", "nll_iw": "IW"}

_Facts = Mapping[tuple[str, str, str], Fact | None]
"""Dataset, setting and metric -> the published number of one row of the paper."""


def table2(cells: Sequence[Cell], dataset: str) -> Table:
    """NLL, KL and PPL of a dataset in both settings, beside the published numbers if there are any."""
    facts = [fact for fact in load() if fact.table[0] == "2" and fact.dataset == dataset]
    present = {cell.setting for cell in cells if cell.dataset == dataset}
    settings = [setting for setting in SETTINGS if facts or setting in present]
    number = facts[0].table if facts else "2"
    return _compare(
        f"Table {number}. {dataset_title(dataset)}: NLL (KL) in nats per sentence, and PPL",
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
    """Show the paper's rows in its order, our rows under those of OURS, then our rows without a fact."""
    columns = [
        Column(name, block.title, parenthesised=metric == "kl")
        for block in blocks
        for metric, name in [*((m, _COLUMN_NAMES[m]) for m in metrics), ("", "n")]
    ]
    printed = {
        (f.source, f.system, f.num_samples, f.dataset, f.setting, f.metric): f for f in facts
    }  # fmt: skip
    # A dict keeps the order of first appearance, which is the order of the paper.
    rows = dict.fromkeys((f.source, f.system, f.num_samples) for f in facts)
    ours = dict.fromkeys(("", c.system, c.num_samples) for c in cells)
    lines: list[Line] = []
    sources: list[tuple[_Facts, list[Cell]]] = []
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
            cell.joint_latent for cell in chosen
        ):
            label += NOT_A_BOUND
        lines += _row_lines(label, source, blocks, metrics, row, [c for c in chosen if c.shown])
        sources.append((row, chosen))
    return Table(
        title,
        tuple(columns),
        tuple(lines),
        tuple(legend(lines)),
        lambda: (
            csv_row for facts, cells in sources for csv_row in _csv_rows(number, metrics, facts, cells)
        ),
    )


def _row_lines(
    label: str,
    source: str,
    blocks: Sequence[_Block],
    metrics: Sequence[str],
    row: _Facts,
    cells: Sequence[Cell],
) -> list[Line]:
    """The published line of a row (if ``source`` is not ""), and two lines for each of our variants."""
    lines = []
    if source:
        values = [v for b in blocks for v in [*(row[b.dataset, b.setting, m] for m in metrics), None]]
        lines.append(Line("published", label, tuple(values)))
        if source != OURS:
            return lines
    variants = list(dict.fromkeys(cell.variant for cell in cells)) or [""]
    # A row that was not published has its variants under a line of its name alone.
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


def _difference(cell: Cell | None, metric: str, row: _Facts) -> Difference | None:
    if cell is None:
        return None
    average = cell.averages.get(cell.estimate(metric))
    fact = row[cell.dataset, cell.setting, metric]
    if not average or not fact:
        return None
    return Difference(average.mean - fact.mean, judge(average, fact).interval, average, fact)


def _csv_rows(number: str, metrics: Sequence[str], row: _Facts, cells: Sequence[Cell]) -> Iterator[Row]:
    # Table 2's file has all measures of the latent variable's use; the table shows the KL alone.
    wanted = dict.fromkeys([*metrics, *(LATENT_USE if number[0] == "2" else ())])
    for cell in cells:
        for metric in wanted:
            fact = row.get((cell.dataset, cell.setting, metric))
            # A model without a latent variable has no such measures.
            if fact or metric == "nll" or cell.estimate(metric) in cell.averages:
                yield cell_row(number, cell, metric, cell.estimate(metric), fact)
    with_runs = {(cell.dataset, cell.setting) for cell in cells}
    for (dataset, setting, _), fact in row.items():
        if fact and (dataset, setting) not in with_runs:
            yield published_row(number, fact)
