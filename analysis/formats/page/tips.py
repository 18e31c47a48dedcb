"""What stands behind a number: the lines that a page shows when a reader points at it."""

from __future__ import annotations

from collections.abc import Sequence

from analysis.formats.text import status_text
from analysis.published import SEEDS, SOURCES, Derived, Fact
from analysis.stats.cells import Average, Counts
from analysis.stats.intervals import Interval
from analysis.tables.table import Column, Difference, Line, Value

_MOST_RUNS = 12


def tips(line: Line, columns: Sequence[Column]) -> list[str]:
    """For each value of a line what stands behind it.

    A number that has nothing of its own to tell, such as a p-value, has what the nearest number before it
    in its group of columns tells.
    """
    own = [tip(value) for value in line.values]
    told = list(own)
    for position, value in enumerate(line.values):
        if told[position] or value is None:
            continue
        group = columns[position].group
        near = [k for k in range(len(own)) if own[k] and columns[k].group == group]
        before = [k for k in near if k < position]
        if near:
            told[position] = own[before[-1] if before else near[0]]
    return told


def tip(value: Value) -> str:
    """The lines behind one value; empty where it says all by itself."""
    if isinstance(value, Average):
        return "\n".join(_average(value))
    if isinstance(value, Fact):
        std = f" ± {value.std:.{value.decimals}f} (std over {SEEDS} seeds)" if value.std is not None else ""
        source = f"published: {SOURCES[value.source]}, as in Table {value.table} of Kruengkrai 2019"
        return f"{source}\n{value.mean:.{value.decimals}f}{std}"
    if isinstance(value, Derived):
        return "not printed in the paper, but follows from what is: NLL + (L - 1) KL"
    if isinstance(value, Difference):
        return "\n".join(_difference(value))
    if isinstance(value, Counts):
        return f"no finished run: {status_text(value)}" if value.total else "no run"
    return ""


def _average(average: Average) -> list[str]:
    lines = [f"n = {average.n}, mean {average.mean:.6g}"]
    if average.std is not None:
        lines[0] += f", sample std {average.std:.3g}"
    if average.interval:
        lines.append(f"95% t interval {_ends(average.interval)}")
    if average.bca:
        lines.append(f"95% BCa interval {_ends(average.bca)} (too narrow for few seeds)")
    if average.mc_stderr is not None:
        lines.append(f"Monte Carlo standard error {average.mc_stderr:.2g}, part of the spread")
    if average.minimum is not None and average.n > 1:
        lines.append(f"from {average.minimum:.6g} to {average.maximum:.6g}")
    named = list(zip(average.values, average.runs, strict=False))
    lines += [f"{value:.6g}  {run}" for value, run in named[:_MOST_RUNS]]
    if len(named) > _MOST_RUNS:
        lines.append(f"and {len(named) - _MOST_RUNS} more in runs.csv")
    return lines


def _difference(difference: Difference) -> list[str]:
    lines = [f"difference {difference.value:+.4g}"]
    if difference.interval:
        lines.append(f"95% interval {_ends(difference.interval, '+')}")
    for word, side in (("of", difference.a), ("minus", difference.b)):
        if isinstance(side, Average):
            names = [f"    {run}" for run in side.runs[:_MOST_RUNS]]
            more = [f"    and {len(side.runs) - _MOST_RUNS} more"] if len(side.runs) > _MOST_RUNS else []
            lines += [f"{word} {side.mean:.6g} (n = {side.n})", *names, *more]
        elif isinstance(side, Fact):
            lines.append(f"{word} {side.mean:.{side.decimals}f} (n = {SEEDS}, published)")
    return lines


def _ends(interval: Interval, sign: str = "") -> str:
    return f"[{interval.low:{sign}.5g}, {interval.high:{sign}.5g}]"
