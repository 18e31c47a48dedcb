"""The figure of a search draws each trial at its value and perplexity."""

from __future__ import annotations

import math

import pytest
from matplotlib.axes import Axes

from analysis.figures import trials
from analysis.figures.elements import finish, style
from analysis.figures.trials import Field, Point

FIELDS = [Field("learning_rate", log=True), Field("latent_size", log=False, choices=("16", "32", "64"))]
POINTS = [
    Point({"learning_rate": 0.3, "latent_size": 0}, 120.0),
    Point({"learning_rate": 1.0, "latent_size": 1}, 100.0),
    Point({"learning_rate": 2.0, "latent_size": 2}, 90.0, dropped=True),
    Point({"learning_rate": 1.5, "latent_size": 2}, 110.0),
    Point({"learning_rate": 3.0, "latent_size": 2}, 5000.0, dropped=True),
    Point({"learning_rate": 2.5, "latent_size": 1}, math.inf),
]


def draw(points=POINTS, fields=FIELDS, recipe=None):
    with style.style():
        figure = trials.draw(points, fields, recipe or {}, "a search")
        assert figure is not None
        figure.draw_without_rendering()
        svg, png = finish.save(figure)
    assert svg.startswith("<?xml")
    assert png.startswith(b"\x89PNG")
    return figure


def marks(ax: Axes) -> dict[tuple[float, float], str]:
    """Position of each mark -> its kind."""
    found = {}
    for line in ax.get_lines():
        kinds = {"*": "star", "o": "dot", "^": "above", "x": "diverged"}
        if kind := kinds.get(line.get_marker()):
            ring = kind == "dot" and line.get_markerfacecolor() == "none"
            found[float(line.get_xdata()[0]), float(line.get_ydata()[0])] = "ring" if ring else kind
    return found


def test_every_trial_is_drawn_at_its_value_and_perplexity():
    figure = draw()
    for ax, field in zip(figure.axes, FIELDS, strict=True):
        assert ax.get_xlabel() == field.name
        top = ax.get_ylim()[1]
        kinds = ["dot", "star", "ring", "dot", "above", "diverged"]
        assert marks(ax) == {
            (point.values[field.name], min(point.score, top)): kind
            for point, kind in zip(POINTS, kinds, strict=True)
        }
    rates, sizes = figure.axes
    assert (rates.get_xscale(), sizes.get_xscale()) == ("log", "linear")
    assert [tick.get_text() for tick in sizes.get_xticklabels()] == ["16", "32", "64"]


def test_the_axis_is_the_searched_range_and_a_recipe_outside_is_named():
    fields = [
        Field("learning_rate", log=True, ends=(0.1, 10.0)),
        Field("latent_size", log=False, choices=("16", "32", "64"), recipe_outside="8"),
        Field("dropout", log=False, ends=(0.0, 0.5), recipe_outside="0.7"),
    ]
    points = [
        Point({**point.values, "dropout": 0.2 + 0.01 * k}, 100.0 + k) for k, point in enumerate(POINTS)
    ]
    figure = draw(points, fields, {"learning_rate": 1.0, "dropout": 0.7})
    rates, sizes, dropout = figure.axes
    for ax, (low, high) in ((rates, (0.1, 10.0)), (dropout, (0.0, 0.5))):
        left, right = ax.get_xlim()
        assert left < low < high < right
        assert right - high < 0.3 * (high - low)
    assert rates.get_xscale() == "log"
    assert sizes.get_xlabel() == "latent_size\n(recipe: 8, not searched)"
    assert dropout.get_xlabel() == "dropout\n(recipe: 0.7, not searched)"
    lines = [[line for line in ax.get_lines() if line.get_linestyle() == "--"] for ax in figure.axes]
    assert [len(found) for found in lines] == [1, 0, 0]
    figure = draw(points, fields[2:], {"dropout": 0.7})
    assert "the recipe" not in [text.get_text() for text in figure.legends[0].get_texts()]


def test_outliers_do_not_compress_the_axis():
    figure = draw(recipe={"learning_rate": 1.0})
    low, high = figure.axes[0].get_ylim()
    assert low < 90
    assert 120 < high < 200
    (legend,) = figure.legends
    names = [text.get_text() for text in legend.get_texts()]
    assert names == [
        *(
            "lowest",
            "trained to the end",
            "stopped at a rung",
            "above the axis: 5000",
            "diverged",
            "the recipe",
        ),
    ]


def test_a_trial_that_is_not_far_from_the_others_has_its_place():
    scores = (8.81, 8.88, 10.84, 11.68)
    points = [Point({"learning_rate": 1.0 + k, "latent_size": 0}, score) for k, score in enumerate(scores)]
    rates, _ = draw(points).axes
    assert [height for _, height in marks(rates)] == list(scores)
    assert "above" not in marks(rates).values()
    assert rates.get_ylim()[1] > 11.68


def test_the_recipe_is_a_line_in_fields_that_can_show_its_value():
    rates, sizes = draw(recipe={"learning_rate": 1.0}).axes
    lines = [[line for line in ax.get_lines() if line.get_linestyle() == "--"] for ax in (rates, sizes)]
    assert [len(found) for found in lines] == [1, 0]
    assert list(lines[0][0].get_xdata()) == [1.0, 1.0]


def test_one_trial_is_drawn_and_none_gives_no_figure():
    figure = draw(POINTS[:1], FIELDS[:1])
    low, high = figure.axes[0].get_ylim()
    assert low < 120 < high
    assert trials.draw([], FIELDS, {}, "nothing") is None
    assert trials.draw(POINTS[-1:], FIELDS, {}, "all diverged") is None
    only_rings = draw([point for point in POINTS if point.dropped])
    assert "star" not in marks(only_rings.axes[0]).values()


@pytest.mark.parametrize(
    "count", [1, 5, *(pytest.param(n, marks=pytest.mark.slow) for n in (2, 3, 4, 6, 7, 8))]
)
def test_every_field_has_a_panel(count):
    fields = [Field(f"field_{k}", log=False) for k in range(count)]
    points = [Point({field.name: k + 0.5 for field in fields}, 100.0 + k) for k in range(4)]
    figure = draw(points, fields)
    shown = [ax for ax in figure.axes if ax.get_visible()]
    assert [ax.get_xlabel() for ax in shown] == [field.name for field in fields]
    assert all(math.isfinite(limit) for ax in shown for limit in ax.get_ylim())


def test_the_front_is_drawn_where_its_trials_are():
    outcomes = [
        trials.Outcome((100.0, 1.0), on_front=True),
        trials.Outcome((104.0, 6.0), on_front=True),
        trials.Outcome((110.0, 2.0), on_front=False),
    ]
    with style.style():
        figure = trials.draw_front(outcomes, ["valid NLL", "valid KL"], 0, "a search")
        assert figure is not None
        finish.save(figure)
    (ax,) = figure.axes
    drawn = [list(zip(line.get_xdata(), line.get_ydata(), strict=True)) for line in ax.get_lines()]
    assert drawn == [[(1.0, 100.0), (6.0, 104.0)], [(2.0, 110.0)]]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("valid KL", "valid NLL")
    assert trials.draw_front([], ["valid NLL", "valid KL"], 0, "a search") is None


def test_a_poor_trial_does_not_hide_the_front():
    outcomes = [trials.Outcome((100.0 + k, 3.0 + k), on_front=True) for k in range(3)]
    outcomes += [trials.Outcome((104.0, 1.0), on_front=False), trials.Outcome((1e5, 0.5), on_front=False)]
    with style.style():
        figure = trials.draw_front(outcomes, ["valid NLL", "valid KL"], 0, "a search")
        assert figure is not None
        finish.save(figure)
    (ax,) = figure.axes
    low, high = ax.get_ylim()
    assert low < 100
    assert 104 < high < 110
    assert [place for place, kind in marks(ax).items() if kind == "above"] == [(0.5, high)]
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == ["on the Pareto front", "trained to the end", "above the axis: 1e+05"]
