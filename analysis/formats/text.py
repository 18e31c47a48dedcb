"""Turn table values into text, for the terminal, Markdown, LaTeX and the web page.

Numbers look as in Kruengkrai (2019): NLL, KL and PPL with one decimal, mean±std, KL in parentheses,
differences with their sign; with more decimals if the error has no digit otherwise, or if rounding would
hide on which side of 0 an interval ends.
Published numbers keep the digits that they were printed with.
"""

from __future__ import annotations

import math

from analysis.published.facts import Derived, Fact
from analysis.stats.cells import Counts
from analysis.stats.intervals import HUGE, MOST_DECIMALS, Interval, decimals, error_text
from analysis.tables.elements.table import (
    DOUBTFUL,
    NOT_A_BOUND,
    Column,
    Difference,
    Value,
    difference_decimals,
)

_FAILURES = {"diverged": "diverged", "out_of_memory": "out of memory"}
"""Class of failure -> the word for it, of those that have one."""


def value_text(value: Value, column: Column) -> str:
    """A value as text, the same in every format."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, Counts):
        return status_text(value)
    if isinstance(value, Interval):
        return interval_text(value, column.decimals, "+")
    if isinstance(value, Difference):
        text = number_text(value.value, difference_decimals(value, column.decimals), "+")
    elif isinstance(value, Derived):
        text = f"{number_text(value.mean, 1)}†"
    else:
        if isinstance(value, Fact):
            text = number_text(value.mean, value.decimals)
            text += "" if value.std is None else f"±{number_text(value.std, value.std_decimals)}"
            text += "†" if value.formula else ""
            if value.marked:
                text += DOUBTFUL if value.bound == "doubtful" else NOT_A_BOUND
        else:
            text = spread_text(value.mean, value.std, column.decimals)
    return f"({text})" if column.parenthesised else text


def number_text(value: float, digits: int, sign: str = "") -> str:
    """A number with so many decimals; without a sign if it is rounded to 0, short if it is huge."""
    if not math.isfinite(value) or abs(value) >= HUGE:
        return f"{value:{sign}.3g}"
    text = f"{value:{sign}.{digits}f}"
    return text if text.strip("+-0.") else text.lstrip("+-")


def interval_text(interval: Interval, least: int = 1, sign: str = "") -> str:
    """An interval with as many decimals as show on which side of 0 its ends lie, if MOST_DECIMALS do."""
    digits = decimals(interval.half_width, least)
    while digits < MOST_DECIMALS and any(_is_rounded_to_zero(end, digits) for end in interval.ends):
        digits += 1
    low, high = (number_text(end, digits, sign) for end in interval.ends)
    return f"[{low}, {high}]"


def _is_rounded_to_zero(value: float, digits: int) -> bool:
    return value != 0 and not f"{value:.{digits}f}".strip("-0.")


def spread_text(mean: float, std: float | None, least: int = 1) -> str:
    """A mean, and its standard deviation if there is one, with the digits that the deviation asks for."""
    return number_text(mean, decimals(std, least)) + ("" if std is None else error_text(std, least))


def status_text(counts: Counts) -> str:
    """The text in place of a number: ``diverged 2/5, unfinished 3/5``, or ``–`` if the cell has no run."""
    classed = sum(number for _, number in counts.failures)
    parts = {
        **{_FAILURES.get(name, f"failed ({name})"): number for name, number in counts.failures},
        **counts.by_status,
        "failed": counts.failed - classed,
    }
    del parts["done"]
    return ", ".join(f"{word} {number}/{counts.total}" for word, number in parts.items() if number) or "–"
