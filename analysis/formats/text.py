"""Turn table values into text, for the terminal, Markdown, LaTeX and the web page.

Numbers look as in Kruengkrai (2019): NLL, KL and PPL with one decimal, mean±std, KL in parentheses,
differences with their sign. Published numbers keep the digits that they were printed with.
"""

from __future__ import annotations

import dataclasses

from analysis.published.facts import Derived, Fact
from analysis.stats.cells import Counts
from analysis.stats.intervals import Interval
from analysis.tables.table import Column, Difference, Value


def value_text(value: Value, column: Column) -> str:
    """A value as text, the same in every format."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, Counts):
        return status_text(value)
    if isinstance(value, Interval):
        return f"[{_signed(value.low, column.decimals)}, {_signed(value.high, column.decimals)}]"
    if isinstance(value, Difference):
        text = _signed(value.value, column.decimals)
    elif isinstance(value, Derived):
        text = f"{value.mean:.1f}†"
    else:
        decimals = value.decimals if isinstance(value, Fact) else column.decimals
        text = f"{value.mean:.{decimals}f}"
        if value.std is not None:
            text += f"±{value.std:.{decimals}f}"
        if isinstance(value, Fact):
            text += ("†" if value.formula else "") + ("‡" if value.marked else "")
    return f"({text})" if column.parenthesised else text


def _signed(value: float, decimals: int) -> str:
    text = f"{value:+.{decimals}f}"
    # A number that is rounded to 0 has no sign.
    return text if text.strip("+-0.") else text[1:]


def status_text(counts: Counts) -> str:
    """The text in place of a number: ``failed (2 of 5)``, or ``–`` if the cell has no run."""
    parts = [
        f"{status} ({number} of {counts.total})"
        for status, number in dataclasses.asdict(counts).items()
        if number and status != "done"
    ]
    return ", ".join(parts) or "–"
