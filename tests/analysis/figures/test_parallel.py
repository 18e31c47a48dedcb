"""The parallel axes of a search: each finished trial is a line at its values."""

from __future__ import annotations

import math

import pytest

from analysis.figures import parallel
from analysis.figures.elements import layout, style
from analysis.figures.trials import Field, Point

FIELDS = [Field("learning_rate", log=True), Field("latent_size", log=False, choices=("16", "32", "64"))]
POINTS = [
    Point({"learning_rate": 0.1, "latent_size": 0}, 120.0),
    Point({"learning_rate": 1.0, "latent_size": 1}, 100.0),
    Point({"learning_rate": 10.0, "latent_size": 2}, 110.0),
    Point({"learning_rate": 5.0, "latent_size": 2}, 90.0, dropped=True),
    Point({"learning_rate": 2.0, "latent_size": 1}, math.inf),
]


def test_each_finished_trial_is_a_line_and_the_lowest_stands_out():
    with style.style():
        figure = parallel.draw(POINTS, FIELDS, "a search")
        assert figure is not None
        svg, _ = layout.save(figure)
    (ax,) = figure.axes
    lines = [line for line in ax.get_lines() if len(line.get_xdata()) == 3]
    heights = {tuple(round(float(y), 6) for y in line.get_ydata()): line for line in lines}
    assert set(heights) == {(0.0, 0.0, 1.0), (0.5, 0.5, 0.0), (1.0, 1.0, 0.5)}
    widths = {key: line.get_linewidth() for key, line in heights.items()}
    assert max(widths, key=lambda key: widths[key]) == (0.5, 0.5, 0.0)
    assert {line.get_color() for line in lines} <= set(style.COLOURS)
    texts = {text.get_text() for text in ax.texts}
    assert {"0.1", "10", "16", "32", "64", "100", "120"} <= texts
    assert svg.startswith("<?xml")


@pytest.mark.parametrize("points", [[], POINTS[:1], POINTS[3:]])
def test_fewer_than_two_lines_are_no_figure(points):
    with style.style():
        assert parallel.draw(points, FIELDS, "a search") is None
