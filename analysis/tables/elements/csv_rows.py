"""The numbers of tables for further computation: the rows of the CSV files, with all digits.

A row is a dict that may hold dicts, ``{"t": {"low": 1.0, "high": 2.0}}``, which become the columns
``t_low`` and ``t_high``. A number that does not exist is left out or None, and its field in the CSV file is
empty.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal

import pandas as pd

from analysis.published.facts import Derived, Fact
from analysis.reading.frame import STATUSES
from analysis.stats.average import Average
from analysis.stats.cells import Cell
from analysis.stats.comparisons import Comparison
from analysis.stats.departures import unequal_fields
from analysis.stats.intervals import Interval
from analysis.stats.reproduction import judge
from analysis.stats.text_groups import has_published_text
from lvae_core.run_folder.estimates import bound

Row = dict[str, Any]

CELL_COLUMNS = (
    "table", "dataset", "text", "system", "num_samples", "setting", "variant", "source", "metric",
    "estimate", "n", "mean", "std", "stderr", "t_low", "t_high", "bca_low", "bca_high", "minimum",
    "maximum", "mc_stderr", "published_mean", "published_std", "comparable_mean", "difference",
    "difference_low", "difference_high", "welch_p", "margin", "verdict", "bound", "done", "running",
    "failed", "unfinished", "damaged", "missing", "seeds", "values", "mc_stderrs", "ess", "khat_above",
    "failures",
)  # fmt: skip
"""Columns of table2.csv, table3.csv and bounds.csv, which have a row per cell and metric.

text tells the test text and the vocabulary: numbers over different text are not comparable. metric is the
published name of the number (nll, kl, ppl, nll_iw), estimate its name in result.json. t_low
to bca_high are 95% intervals of the mean. comparable_mean is the number that ours is compared with:
published_mean on our count of tokens per sentence. mc_stderr is the mean's Monte Carlo standard error;
stderr contains it. difference_low and difference_high are a 95% interval that allows for the rounding of
the published number. failures has each class of failure with its number of runs, ``diverged 2``, separated
by semicolons. A cell without a finished run has one row, with empty numbers. seeds, values and mc_stderrs
hold one entry per seed, with spaces between them; an unknown Monte Carlo error is nan. ess is the effective
sample size of the importance weights and khat_above the share of sentences whose weights have a Pareto
shape above 0.7; both are empty if not recorded.
"""

COMPARISON_COLUMNS = (
    "kind", "dataset", "setting", "metric", "a_system", "a_num_samples", "a_variant", "a_estimate",
    "a_bound", "a_n", "a_mean", "a_std", "b_system", "b_num_samples", "b_variant", "b_estimate",
    "b_source", "b_bound", "b_n", "b_mean", "b_std", "difference", "difference_low", "difference_high",
    "verdict", "n", "seeds", "differences", "difference_std", "flip_p", "flip_holm", "smallest_p",
    "t_p", "t_holm", "family", "below", "below_paired", "welch_p", "margin", "unequal_fields",
)  # fmt: skip
"""Columns of comparisons.csv, which has a row per comparison and metric.

kind is pair (two of our cells), published (b is a published number) or study (a is the cell in study B, b
the same cell in study A). difference is a - b; in a pair and a study it is the mean over the n common
seeds. difference_low and difference_high are a 95% interval: paired t, or Welch's for a published number.
below and below_paired are P(a < b) over all pairs of seeds, and over the common seeds. unequal_fields are
the fields in which the configs of two systems differ by more than their recipes.
"""

COMPARE_COLUMNS = (*COMPARISON_COLUMNS[:4], "a_study", "b_study", *COMPARISON_COLUMNS[4:])
"""Columns of compare.csv, which names the studies: those of comparisons.csv and two more."""

_WHOLE = {"num_samples", "a_num_samples", "b_num_samples", "n", "a_n", "b_n", "family"}
_WHOLE |= set(STATUSES)


def csv_frame(rows: Iterable[Row], columns: Sequence[str]) -> pd.DataFrame:
    """Rows as a frame of ``columns``."""
    frame = pd.json_normalize(list(rows), sep="_").reindex(columns=list(columns))
    # pandas makes numbers of a column with gaps floats: 5 would become 5.0.
    return frame.astype({name: "Int64" for name in columns if name in _WHOLE})


def without_formulas(frame: pd.DataFrame) -> pd.DataFrame:
    """Put ' before texts that a spreadsheet would execute as a formula, such as ``=1+1``.

    Numbers stay as they are, also several in one field: ``-0.5 -1.25``.
    """
    texts = frame.select_dtypes(include=["object", "string"])
    return frame.assign(**{str(name): texts[name].map(_no_formula) for name in texts})


def _no_formula(value: Any) -> Any:
    if not isinstance(value, str) or not value.startswith(("=", "+", "-", "@")):
        return value
    try:
        _ = [float(number) for number in value.split(" ")]
    except ValueError:
        return f"'{value}"
    return value


def cell_row(table: str, cell: Cell, metric: str, estimate: str, fact: Fact | Derived | None) -> Row:
    """The row of one estimate of one of our cells, with the published number."""
    average = cell.averages.get(estimate)
    return {
        "table": table,
        **_identity(cell),
        "dataset": cell.dataset,
        "text": "" if cell.text is None else str(cell.text),
        "setting": cell.setting,
        "source": _printed_source(fact) if fact else "",
        "metric": metric,
        "estimate": estimate,
        "n": 0,
        "bound": cell.bound(estimate),
        **cell.counts.by_status,
        "failures": "; ".join(f"{name} {number}" for name, number in cell.counts.failures),
        **(_average(average) if average else {}),
        **(_published(fact) if fact else {}),
        **(_against_published(average, fact) if average and fact and has_published_text(cell) else {}),
    }


def published_row(table: str, fact: Fact) -> Row:
    """The row of a published number for which we have no run."""
    return {
        "table": table,
        **{name: getattr(fact, name) for name in ("dataset", "system", "num_samples", "setting")},
        "source": fact.source,
        "metric": fact.metric,
        **dict.fromkeys(("n", *STATUSES), 0),
        **_published(fact),
    }


def comparison_row(comparison: Comparison, kind: Literal["pair", "study"] = "pair") -> Row:
    """The row of two of our cells over their common seeds."""
    paired = comparison.paired
    sides = zip("ab", (comparison.a, comparison.b), comparison.estimates, strict=True)
    return {
        "kind": kind,
        "dataset": comparison.a.dataset,
        "setting": comparison.a.setting,
        "metric": comparison.metric,
        **{letter: _side(cell, estimate) for letter, cell, estimate in sides},
        **_difference(paired.mean, paired.interval),
        "verdict": comparison.verdict.words,
        "n": len(paired.seeds),
        "seeds": _spaced(paired.seeds),
        "differences": _spaced(paired.differences),
        "difference_std": paired.std,
        **{
            name: getattr(paired, name) for name in ("flip_p", "smallest_p", "t_p", "below", "below_paired")
        },
        **{name: getattr(comparison, name) for name in ("flip_holm", "t_holm", "family")},
        "unequal_fields": " ".join(unequal_fields(comparison.a, comparison.b)),
    }


def reproduction_row(cell: Cell, fact: Fact) -> Row:
    """The row that compares one of our cells with a published number."""
    estimate = cell.estimate(fact.metric)
    return {
        "kind": "published",
        "dataset": cell.dataset,
        "setting": cell.setting,
        "metric": fact.metric,
        "a": _side(cell, estimate),
        "b": {
            "system": fact.system,
            "num_samples": fact.num_samples,
            "source": _source(fact),
            "bound": _published_bound(fact, estimate),
            "n": fact.runs,
            **_moments(fact),
        },
        **_against_published(cell.averages[estimate], fact),
    }


def _source(fact: Fact | Derived) -> str:
    # A number that follows from published ones is marked, because it was not printed.
    return f"derived from {fact.source}" if fact.formula else fact.source


def _printed_source(fact: Fact | Derived) -> str:
    return fact.source if isinstance(fact, Fact) else _source(fact)


def _published(fact: Fact | Derived) -> Row:
    """The number as it was printed, and the one that ours is compared with."""
    printed = fact.printed if isinstance(fact, Fact) else None
    moments = _moments(fact) if printed is None else {"mean": printed, "std": None}
    return {"published": moments, "comparable_mean": fact.mean}


def _published_bound(fact: Fact, estimate: str) -> str | None:
    """The kind of bound that the number's file gives it, whatever our system of this name is."""
    kind = bound(estimate, "loss" if fact.num_samples else "none", fact.num_samples)
    return {"no": "not a bound", "doubtful": "doubtful"}.get(fact.bound, kind)


def _identity(cell: Cell) -> Row:
    return {name: getattr(cell, name) for name in ("system", "num_samples", "variant")}


def _side(cell: Cell, estimate: str) -> Row:
    average = cell.averages[estimate]
    return {
        **_identity(cell),
        "estimate": estimate,
        "bound": cell.bound(estimate),
        "n": average.n,
        **_moments(average),
    }


def _moments(value: Average | Fact | Derived) -> Row:
    return {"mean": value.mean, "std": None if isinstance(value, Derived) else value.std}


def _average(average: Average) -> Row:
    names = ("n", "mean", "std", "stderr", "minimum", "maximum", "mc_stderr", "ess", "khat_above")
    return {
        **{name: getattr(average, name) for name in names},
        "t": _ends(average.interval),
        "bca": _ends(average.bca),
        "seeds": _spaced(average.seeds),
        "values": _spaced(average.values),
        "mc_stderrs": _spaced("nan" if error is None else error for error in average.mc_stderrs),
    }


def _against_published(average: Average, fact: Fact | Derived) -> Row:
    if isinstance(fact, Derived):
        return _difference(average.mean - fact.mean, None)
    verdict = judge(average, fact)
    return {
        **_difference(verdict.difference, verdict.interval),
        "welch_p": verdict.p,
        "margin": verdict.margin,
        "verdict": verdict.word,
    }


def _difference(value: float | None, interval: Interval | None) -> Row:
    ends = {f"difference_{end}": at for end, at in _ends(interval).items()}
    return {"difference": value, **ends}


def _ends(interval: Interval | None) -> Row:
    return {"low": interval.low, "high": interval.high} if interval else {}


def _spaced(values: Iterable[object]) -> str:
    """Several values in one field of a CSV file."""
    return " ".join(map(str, values))
