"""The marks of figures: intervals of numbers that cannot be negative."""

import dataclasses

import numpy as np
import pytest
from matplotlib.axes import Axes

from analysis.figures.elements import layout, marks, style
from analysis.stats.average import Average, average


def of(values: list[float]) -> Average:
    found = average(np.arange(len(values)), np.array(values), np.full(len(values), np.nan))
    return dataclasses.replace(found, runs=tuple(f"run{k}" for k in range(len(values))))


def bar(values: list[float]) -> tuple[tuple[float, float], list[float]]:
    """The ends of the line of an interval, and the places of its caps."""
    with style.style():
        _, ((ax,),) = layout.panels(1, 2.0)
        found = of(values)
        marks.bar(ax, found.mean, 0.0, found, "k", "x", from_zero=True)
        return line_of(ax), [float(cap.get_xdata()[0]) for cap in ax.get_lines()]


def line_of(ax: Axes) -> tuple[float, float]:
    (segment,) = ax.collections[0].get_segments()
    return float(segment[0][0]), float(segment[1][0])


@pytest.mark.parametrize(("values", "start"), [([0.0, 15.0, 16.0], 0.0), ([-0.01, 5.0, 9.0], -0.01)])
def test_an_interval_that_reaches_below_zero_ends_there_without_a_cap(
    values: list[float], start: float
) -> None:
    interval = of(values).interval
    assert interval is not None
    assert interval.low < start
    (low, high), caps = bar(values)
    assert low == pytest.approx(start)
    assert [*caps, high] == pytest.approx([interval.high] * 2)


def test_an_interval_above_zero_is_whole() -> None:
    (low, high), caps = bar([10.0, 10.1, 10.2])
    assert low > 9
    assert sorted(caps) == pytest.approx([low, high])
