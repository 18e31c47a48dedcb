"""Turn table values into text, for the terminal, Markdown, LaTeX and the web page.

Numbers look as in Kruengkrai (2019): NLL, KL and PPL with one decimal, mean±std, KL in parentheses,
differences with their sign; with more decimals, three at most, if the error has no digit otherwise.
Published numbers keep the digits that they were printed with.
"""

from __future__ import annotations

import math

from analysis.published.facts import Derived, Fact
from analysis.stats.cells import Counts
from analysis.stats.intervals import HUGE, Interval, decimals, error_text
from analysis.tables.elements.table import Column, Difference, Value

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
        digits = decimals(value.half_width, column.decimals)
        return f"[{number_text(value.low, digits, '+')}, {number_text(value.high, digits, '+')}]"
    if isinstance(value, Difference):
        digits = decimals(value.interval.half_width if value.interval else None, column.decimals)
        text = number_text(value.value, digits, "+")
    elif isinstance(value, Derived):
        text = f"{number_text(value.mean, 1)}†"
    else:
        if isinstance(value, Fact):
            text = number_text(value.mean, value.decimals)
            text += "" if value.std is None else f"±{number_text(value.std, value.std_decimals)}"
            text += ("†" if value.formula else "") + ("‡" if value.marked else "")
        else:
            text = _spread(value.mean, value.std, column.decimals)
    return f"({text})" if column.parenthesised else text


def number_text(value: float, digits: int, sign: str = "") -> str:
    """A number with so many decimals; without a sign if it is rounded to 0, short if it is huge."""
    if not math.isfinite(value) or abs(value) >= HUGE:
        return f"{value:{sign}.3g}"
    text = f"{value:{sign}.{digits}f}"
    return text if text.strip("+-0.") else text.lstrip("+-")


def _spread(mean: float, std: float | None, least: int) -> str:
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
