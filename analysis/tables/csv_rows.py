"""The numbers of tables for computing with: a row of a CSV file each, with all their digits."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

from analysis.published import OURS, Derived, Fact
from analysis.stats.cells import Average, Cell
from analysis.stats.reproduction import judge


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
    mean: float | None = None
    std: float | None = None
    stderr: float | None = None
    """std / sqrt(n)."""
    t_low: float | None = None
    t_high: float | None = None
    """95% t interval of the mean."""
    bca_low: float | None = None
    bca_high: float | None = None
    """95% bootstrap interval of the mean, too narrow for few seeds (see analysis/stats/intervals.py)."""
    minimum: float | None = None
    maximum: float | None = None
    mc_stderr: float | None = None
    """Monte Carlo standard error of the mean; it is part of stderr."""
    published_mean: float | None = None
    published_std: float | None = None
    difference: float | None = None
    difference_low: float | None = None
    difference_high: float | None = None
    """95% interval, with the rounding of what is published (see analysis/stats/reproduction.py)."""
    welch_p: float | None = None
    margin: float | None = None
    verdict: str | None = None
    bound: str | None = None
    done: int = 0
    running: int = 0
    failed: int = 0
    unfinished: int = 0
    damaged: int = 0
    missing: int = 0
    seeds: str = ""
    values: str = ""
    mc_stderrs: str = ""
    """One a seed, with spaces between them."""


RecordT = TypeVar("RecordT", covariant=True)


class Records(Generic[RecordT]):
    """Records that are made whenever they are read: those of a large study would fill the memory."""

    def __init__(self, make: Callable[[], Iterable[RecordT]]) -> None:
        self._make = make

    def __iter__(self) -> Iterator[RecordT]:
        return iter(self._make())


@dataclass(frozen=True)
class ComparisonRecord:
    """Two cells, or a cell and a published number, by one metric; None where there is no such number."""

    kind: Literal["pair", "published", "study"]
    """study: a is the cell in study B, b the same cell in study A."""
    dataset: str
    setting: str
    metric: str
    a_system: str
    a_num_samples: int
    a_variant: str
    a_estimate: str
    a_bound: str | None
    a_n: int
    a_mean: float
    a_std: float | None
    b_system: str
    b_num_samples: int
    b_variant: str
    b_estimate: str
    """In a pair; else empty, and b_source says who published it."""
    b_source: str
    b_bound: str | None
    b_n: int | None
    b_mean: float
    b_std: float | None
    difference: float | None
    """a - b; in a pair the mean over the seeds that both have."""
    difference_low: float | None
    difference_high: float | None
    """95% interval: paired t, or Welch's with the rounding of what is published."""
    verdict: str
    n: int | None = None
    """Common seeds."""
    seeds: str = ""
    differences: str = ""
    """One a seed, with spaces between them."""
    difference_std: float | None = None
    flip_p: float | None = None
    flip_holm: float | None = None
    smallest_p: float | None = None
    t_p: float | None = None
    t_holm: float | None = None
    family: int | None = None
    below: float | None = None
    below_paired: float | None = None
    """Probability that a < b: over all pairs of seeds, and over the common ones."""
    welch_p: float | None = None
    margin: float | None = None


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
        published_mean=fact.mean if fact else None,
        published_std=fact.std if isinstance(fact, Fact) else None,
        bound=cell.bound(estimate),
        **dataclasses.asdict(cell.counts),
        **(_of_average(average) if average else {"n": 0}),
        **(_of_difference(average, fact) if average and fact else {}),
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
        published_mean=fact.mean,
        published_std=fact.std,
    )


def _of_average(average: Average) -> dict[str, Any]:
    t, bca = average.interval, average.bca
    return {
        "n": average.n,
        "mean": average.mean,
        "std": average.std,
        "stderr": average.stderr,
        "t_low": t.low if t else None,
        "t_high": t.high if t else None,
        "bca_low": bca.low if bca else None,
        "bca_high": bca.high if bca else None,
        "minimum": average.minimum,
        "maximum": average.maximum,
        "mc_stderr": average.mc_stderr,
        "seeds": spaced(average.seeds),
        "values": spaced(average.values),
        "mc_stderrs": spaced("-" if error is None else error for error in average.mc_stderrs),
    }


def _of_difference(average: Average, fact: Fact | Derived) -> dict[str, Any]:
    if isinstance(fact, Derived):
        return {"difference": average.mean - fact.mean}
    verdict = judge(average, fact)
    return {
        "difference": verdict.difference,
        "difference_low": verdict.interval.low if verdict.interval else None,
        "difference_high": verdict.interval.high if verdict.interval else None,
        "welch_p": verdict.p,
        "margin": verdict.margin,
        "verdict": verdict.word,
    }


def spaced(values: Iterable[object]) -> str:
    """Several values in one field of a CSV."""
    return " ".join(map(str, values))
