"""What a table is: the same few values whatever it shows and however it will look.

Columns, lines of values and notes are for reading; *records* are the same numbers for computing with, one
row a cell and metric, with all their digits. Nothing here draws.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from analysis.cells import Average, Cell, Counts
from analysis.published import OURS, TITLES, Fact, display_name

SETTINGS = ("standard", "inputless")

NOT_A_BOUND = "‡"
"""Marks the label of a row whose NLL and PPL are not bounds."""


@dataclass(frozen=True)
class Difference:
    """Ours - published (or ours - another row's), in the unit of its column."""

    value: float


@dataclass(frozen=True)
class Derived:
    """Follows by arithmetic from published numbers; nobody printed it."""

    mean: float


Value = Average | Fact | Derived | Difference | Counts | str | None
"""Counts stands where a cell has no finished run, with those that it has."""

Kind = Literal["heading", "published", "ours", "difference"]


@dataclass(frozen=True)
class Column:
    """One column; neighbours of one ``group`` share a heading above theirs."""

    name: str
    group: str = ""
    parenthesised: bool = False
    text: bool = False


@dataclass(frozen=True)
class Line:
    """One line: a label and a value for each column."""

    kind: Kind
    label: str
    values: tuple[Value, ...] = ()


@dataclass(frozen=True)
class Record:
    """One cell × metric, for computing with; None where there is no such number."""

    table: str
    dataset: str
    system: str
    num_samples: int
    setting: str
    variant: str
    source: str
    metric: str
    """As the paper calls it: nll, kl, ppl, nll_iw."""
    estimate: str
    """Its name in result.json."""
    n: int
    mean: float | None
    std: float | None
    mc_stderr: float | None
    published_mean: float | None
    published_std: float | None
    difference: float | None
    bound: str | None
    done: int
    failed: int
    unfinished: int
    damaged: int


@dataclass(frozen=True)
class Table:
    """A finished table."""

    title: str
    columns: tuple[Column, ...]
    lines: tuple[Line, ...]
    notes: tuple[str, ...]
    records: tuple[Record, ...]


def dataset_title(dataset: str) -> str:
    """A dataset's name in headings."""
    return TITLES.get(dataset, dataset)


def row_label(system: str, num_samples: int) -> str:
    """A system with its L."""
    return display_name(system) + (f" L={num_samples}" if num_samples else "")


def joint_latent(cell: Cell) -> bool:
    """Whether the decoder reads several samples at once, so that one KL does not pay for them."""
    return cell.averaging == "hidden" and cell.num_samples > 1


def record(
    table: str,
    cell: Cell,
    metric: str,
    estimate: str,
    fact: Fact | Derived | None,
) -> Record:
    """The record of one of our cells."""
    average = cell.averages.get(estimate)
    return Record(
        table=table,
        dataset=cell.dataset,
        system=cell.system,
        num_samples=cell.num_samples,
        setting=cell.setting,
        variant=cell.variant,
        source={Fact: OURS, Derived: f"derived from {OURS}"}.get(type(fact), ""),
        metric=metric,
        estimate=estimate,
        n=average.n if average else 0,
        mean=average.mean if average else None,
        std=average.std if average else None,
        mc_stderr=average.mc_stderr if average else None,
        published_mean=fact.mean if fact else None,
        published_std=fact.std if isinstance(fact, Fact) else None,
        difference=average.mean - fact.mean if average and fact else None,
        bound=cell.bound(estimate),
        **dataclasses.asdict(cell.counts),
    )


def published_record(table: str, fact: Fact) -> Record:
    """The record of a published number that no run of ours stands beside."""
    return Record(
        table=table,
        dataset=fact.dataset,
        system=fact.system,
        num_samples=fact.num_samples,
        setting=fact.setting,
        variant="",
        source=fact.source,
        metric=fact.metric,
        estimate="",
        n=0,
        mean=None,
        std=None,
        mc_stderr=None,
        published_mean=fact.mean,
        published_std=fact.std,
        difference=None,
        bound=None,
        **dataclasses.asdict(Counts()),
    )


def runs_text(counts: Counts) -> str | None:
    """The n of a cell: ``5``, or ``3/5`` where three of five runs are done."""
    if not counts.total:
        return None
    return str(counts.done) if counts.done == counts.total else f"{counts.done}/{counts.total}"


def legend(lines: Sequence[Line]) -> list[str]:
    """What the marks in ``lines`` mean, as one note of those that occur."""
    values = [value for line in lines for value in line.values]
    statuses = [value for value in values if isinstance(value, Counts)]
    marks = []
    if any(isinstance(value, Average | Fact) and value.std is not None for value in values):
        marks.append(
            "±: standard deviation over seeds (ours: of the sample, n of them; published: of five)"
        )
    if any(isinstance(value, str) and "/" in value for value in values):
        marks.append("n = 3/5: 3 of 5 runs are done")
    if any(not status.total for status in statuses):
        marks.append("–: missing, no run")
    if any(status.failed for status in statuses):
        marks.append("failed (2 of 5): none of 5 runs is done, 2 failed")
    notes = ["; ".join(marks)] if marks else []
    if any(line.label.endswith(NOT_A_BOUND) for line in lines):
        notes.append(
            f"{NOT_A_BOUND}: NLL and PPL charge one KL for L samples, the paper's convention: not "
            "bounds of the model that is evaluated; the valid ones are in the table of bounds"
        )
    return notes
