"""The parallel axes of a search: each finished trial is a line at its values."""

from __future__ import annotations

import math

import pytest

from analysis.figures import parallel
from analysis.figures.elements import finish, style
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
        svg, _ = finish.save(figure)
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


def drawn(points, fields):
    with style.style():
        figure = parallel.draw(points, fields, "a search")
        assert figure is not None
        finish.save(figure)
    (ax,) = figure.axes
    lines = [line for line in ax.get_lines() if len(line.get_xdata()) == len(fields) + 1]
    return [float(line.get_ydata()[-1]) for line in lines], [text.get_text() for text in ax.texts]


def test_a_poor_trial_does_not_press_the_others_together():
    points = [Point({"learning_rate": 0.1 * (k + 1), "latent_size": 0}, 100.0 + k) for k in range(9)]
    poor = Point({"learning_rate": 2.0, "latent_size": 0}, 25000.0)
    heights, texts = drawn([*points, poor], FIELDS)
    # 100 to 106 are the lower three quarters; a third more is the end: 108.1.
    assert "≥ 108.1" in texts
    assert "100" in texts
    assert max(heights) == 1.0
    assert sorted(heights)[:-1] == pytest.approx([k / 8.1 for k in range(9)], abs=1e-9)
    heights, texts = drawn(points, FIELDS)
    assert {"100", "108"} <= set(texts), "without it, the axis ends at the highest"
    assert not any("≥" in text for text in texts)


def test_the_ends_of_an_axis_are_written_out_and_equal_ones_once():
    fields = [Field("latent_size", log=True, ends=(16, 1024)), Field("dropout", log=False)]
    points = [Point({"latent_size": size, "dropout": 0.25}, 100.0) for size in (16, 1024)]
    assert drawn(points, fields) == ([0.5, 0.5], ["16", "1024", "0.25", "100"])


@pytest.mark.parametrize("points", [[], POINTS[:1], POINTS[3:]])
def test_fewer_than_two_lines_are_no_figure(points):
    with style.style():
        assert parallel.draw(points, FIELDS, "a search") is None
