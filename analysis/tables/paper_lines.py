"""The lines of Tables 2 and 3: the published numbers of a row, with ours and the differences below them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from analysis.published.catalogue import catalogue
from analysis.published.facts import Fact
from analysis.stats.cells import Cell, Counts
from analysis.stats.reproduction import judge
from analysis.stats.text_groups import has_published_text
from analysis.tables.elements.importance_weights import weight_values
from analysis.tables.elements.table import NOT_A_BOUND, Difference, Line, Value, row_label, runs_text


@dataclass(frozen=True)
class Block:
    """The adjacent columns of one dataset and setting."""

    title: str
    dataset: str
    setting: str


CONVERTED = "converted"
"""The column of NLLs on our count of tokens, for published rows that have another."""

WEIGHTED = "nll_iw"
"""The importance-weighted number of Table 3."""

RELIANCE = ("ess", "khat_above")
"""The columns that say how far to rely on it."""

OURS = "ours"
"""The name of our lines below a published one."""

_OURS = (CONVERTED, *RELIANCE)
"""The columns that are no metric of a published table."""

Facts = Mapping[tuple[str, str, str], Fact | None]
"""Dataset, setting and metric -> the published number of one row."""


def other_text(
    name: str, cells: Sequence[Cell], blocks: Sequence[Block], metrics: Sequence[str]
) -> Iterator[Line]:
    """The rows of one dataset's cells over another text than the published numbers, below its name."""
    if not cells:
        return
    yield Line("heading", name)
    width = len(metrics) + 1
    own = [block.dataset == cells[0].dataset for block in blocks]
    of_dataset = [block for block, is_own in zip(blocks, own, strict=True) if is_own]
    facts: Facts = {(b.dataset, b.setting, metric): None for b in of_dataset for metric in metrics}
    for system, num_samples in dict.fromkeys((c.system, c.num_samples) for c in cells):
        chosen = [c for c in cells if (c.system, c.num_samples) == (system, num_samples)]
        label = row_label(system, num_samples) + NOT_A_BOUND * any(c.joint_latent for c in chosen)
        for line in our_lines(label, "", "", of_dataset, metrics, facts, chosen):
            values = iter(line.values)
            # The columns of other datasets stay empty: nothing is missing there.
            padded = (next(values) if is_own else None for is_own in own for _ in range(width))
            yield dataclasses.replace(line, values=tuple(padded))


def published_line(label: str, blocks: Sequence[Block], metrics: Sequence[str], row: Facts) -> Line:
    """The published numbers of a row."""
    values = [v for b in blocks for v in [*(_printed(row, b, m) for m in metrics), None]]
    return Line("published", label, tuple(values))


def our_lines(
    label: str,
    below: str,
    text: str,
    blocks: Sequence[Block],
    metrics: Sequence[str],
    row: Facts,
    cells: Sequence[Cell],
) -> Iterator[Line]:
    """Two lines for each of our variants: the numbers, and the differences from published ones if any.

    Args:
        label: of the row.
        below: what our lines are called if they stand below a published one; else "".
        text: names the text of our numbers there, if there are several.
        blocks: of columns.
        metrics: the columns of each.
        row: the published numbers from which ours differ.
        cells: ours; without any, there is one line, which says so.
    """
    variants = {cell.variant: cell.variant_name for cell in cells} or {"": ""}
    # A row that was not published has its variants under a line of its name alone.
    if not below and list(variants.values()) != [""]:
        yield Line("published", label, (None,) * len(blocks) * (len(metrics) + 1))
    for variant, named in variants.items():
        at = {(c.dataset, c.setting): c for c in cells if c.variant == variant}
        own = f"{below} ({named})" if below and named else below or named
        parts = [part for part in (own, text if below else "") if part]
        halves = [_cell_values(at.get((b.dataset, b.setting)), metrics, row, b) for b in blocks]
        name = f"  {', '.join(parts)}" if parts else label
        yield Line("ours", name, tuple(value for half in halves for value in half))
        differences = [
            value
            for b in blocks
            for value in [*(_difference(at.get((b.dataset, b.setting)), m, row) for m in metrics), None]
        ]
        if any(differences):
            yield Line("difference", "  difference", tuple(differences))


def _printed(row: Facts, block: Block, metric: str) -> Fact | None:
    """A number of a published line; in the converted column only if its row counts other tokens."""
    if metric in RELIANCE:
        return None
    if metric != CONVERTED:
        return row[block.dataset, block.setting, metric]
    nll = row[block.dataset, block.setting, "nll"]
    converted = nll and catalogue().comparable(nll)
    return converted if converted and converted.formula else None


def _cell_values(cell: Cell | None, metrics: Sequence[str], row: Facts, block: Block) -> list[Value]:
    if cell is None:
        # Nothing is missing where others have numbers in the other setting or dataset only.
        facts = [row[block.dataset, block.setting, metric] for metric in metrics if metric not in _OURS]
        if any(row.values()) and not any(facts):
            return [None] * (len(metrics) + 1)
        return [*(None if metric in ("kl", *_OURS) else Counts() for metric in metrics), None]
    if not cell.counts.done:
        return [cell.counts, *[None] * (len(metrics) - 1), runs_text(cell.counts)]
    averages = {m: cell.averages.get(cell.estimate(m)) for m in metrics if m not in RELIANCE}
    weighted = averages.get(WEIGHTED)
    reliance = dict(zip(RELIANCE, weight_values(weighted), strict=True))
    if weighted and weighted.unreliable:
        reliance["khat_above"] = f"{reliance['khat_above'] or 'unknown'}, unreliable"
    values = [reliance[m] if m in RELIANCE else averages[m] for m in metrics]
    return [*values, runs_text(cell.counts, *averages.values())]


def _difference(cell: Cell | None, metric: str, row: Facts) -> Difference | None:
    if cell is None or metric in _OURS:
        return None
    average = cell.averages.get(cell.estimate(metric))
    fact = row[cell.dataset, cell.setting, metric]
    if not average or not fact or not has_published_text(cell):
        return None
    fact = catalogue().comparable(fact)
    return Difference(average.mean - fact.mean, judge(average, fact).interval, average, fact)
