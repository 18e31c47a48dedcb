"""Tips: the details of a number, which a page shows when a reader points at it."""

from __future__ import annotations

from collections.abc import Sequence

from analysis.formats.text import status_text
from analysis.published.facts import Derived, Fact
from analysis.stats.average import Average
from analysis.stats.cells import Counts
from analysis.stats.intervals import Interval
from analysis.tables.elements.table import Column, Difference, Line, Value

_MOST_RUNS = 12


def tips(line: Line, columns: Sequence[Column]) -> list[str]:
    """The tip of each value of a line.

    A value without details, such as a p-value, gets the tip of the nearest value before it in its group of
    columns, or of the first in the group.
    """
    details = [tip(value) for value in line.values]
    shown = list(details)
    for position, value in enumerate(line.values):
        if shown[position] or value is None:
            continue
        group = columns[position].group
        near = [k for k in range(len(details)) if details[k] and columns[k].group == group]
        # A p-value belongs to the difference before it, not to one of another group.
        before = [k for k in near if k < position]
        if near:
            shown[position] = details[before[-1] if before else near[0]]
    return shown


def tip(value: Value) -> str:
    """The details of one value; empty if its text says everything."""
    if isinstance(value, Average):
        return "\n".join(_average(value))
    if isinstance(value, Fact):
        return "\n".join(_published(value))
    if isinstance(value, Derived):
        return f"not printed, but follows from printed numbers: {value.formula}"
    if isinstance(value, Difference):
        return "\n".join(_difference(value))
    if isinstance(value, Counts):
        return f"no finished run: {status_text(value)}" if value.total else "no run"
    return ""


def _published(fact: Fact) -> list[str]:
    where = [f"Table {fact.table}"] if fact.table else []
    where += [fact.read_in] if fact.read_in else []
    source = fact.cited + (f", as in {' of '.join(where)}" if where else "")
    if fact.formula:
        return [
            f"not printed, but follows from numbers of {source}: {fact.formula}",
            f"{fact.mean:.{fact.decimals}f}",
        ]
    text = f"{fact.mean:.{fact.decimals}f}"
    if fact.std is not None:
        text += f" ± {fact.std:.{fact.std_decimals}f}"
        text += f" (std over {fact.runs} seeds)" if fact.runs else ""
    lines = [f"published: {source}", text]
    lines += ["not a bound"] if fact.bound == "no" else []
    return [*lines, *([fact.note] if fact.note else [])]


def _average(average: Average) -> list[str]:
    lines = [f"n = {average.n}, mean {average.mean:z.6g}"]
    if average.std is not None:
        lines[0] += f", sample std {average.std:.3g}"
    if average.interval:
        lines.append(f"95% t interval {_ends(average.interval)}")
    if average.bca:
        lines.append(f"95% BCa interval {_ends(average.bca)} (too narrow for few seeds)")
    if average.mc_stderr is not None:
        lines.append(f"Monte Carlo standard error {average.mc_stderr:.2g}, contained in the spread")
    if average.ess is not None:
        lines.append(f"effective sample size {average.ess:.0f} draws per sentence")
    if average.khat_above is not None:
        lines.append(f"Pareto shape above 0.7 in {average.khat_above:.1%} of sentences")
    elif average.unreliable:
        lines.append("Pareto shape unknown: 20 importance samples or fewer; counts as unreliable")
    if average.minimum is not None and average.n > 1:
        lines.append(f"from {average.minimum:z.6g} to {average.maximum:z.6g}")
    named = list(zip(average.values, average.runs, strict=False))
    lines += [f"{value:z.6g}  {run}" for value, run in named[:_MOST_RUNS]]
    if len(named) > _MOST_RUNS:
        lines.append(f"and {len(named) - _MOST_RUNS} more in runs.csv")
    return lines


def _difference(difference: Difference) -> list[str]:
    lines = [f"difference {difference.value:+z.4g}"]
    if difference.interval:
        lines.append(f"95% interval {_ends(difference.interval, '+')}")
    for word, side in (("of", difference.a), ("minus", difference.b)):
        if isinstance(side, Average):
            names = [f"    {run}" for run in side.runs[:_MOST_RUNS]]
            more = [f"    and {len(side.runs) - _MOST_RUNS} more"] if len(side.runs) > _MOST_RUNS else []
            lines += [f"{word} {side.mean:z.6g} (n = {side.n})", *names, *more]
        elif isinstance(side, Fact):
            n = f"n = {side.runs}, " if side.runs else ""
            how = f"from published numbers: {side.formula}" if side.formula else "published"
            lines.append(f"{word} {side.mean:.{side.decimals}f} ({n}{how})")
    return lines


def _ends(interval: Interval, sign: str = "") -> str:
    return f"[{interval.low:{sign}z.5g}, {interval.high:{sign}z.5g}]"
