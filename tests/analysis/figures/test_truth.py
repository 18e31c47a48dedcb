"""The figure of bounds draws the data's known -log p(x), below which no bound lies."""

from dataclasses import replace

import pytest
from matplotlib.lines import Line2D

from analysis.figures import bounds
from analysis.figures.elements import style
from analysis.reading.collect import collect
from analysis.reading.sources import open_source
from analysis.stats.cells import Cell
from analysis.stats.over_seeds import average_cells

from ..conftest import run_writer
from .conftest import drawn, means_of

TRUTH = 97.5
LEGEND = "-log p(x) of the data: no bound below it in expectation"


@pytest.fixture(scope="module")
def of_known_likelihood(tmp_path_factory: pytest.TempPathFactory) -> list[Cell]:
    """An averaging decoder whose published number lies below the truth, and a language model."""
    place = tmp_path_factory.mktemp("truth")
    write = run_writer(place)
    result = {"true_nll": TRUTH}
    for setting in ("standard", "inputless"):
        write("lstm-lm", setting=setting, dataset="toy", result=result)
        for L, nll in ((2, 98.0), (10, 96.0)):
            estimates = {"nll_elbo": nll, "nll_joint": 102.0, "ppl_elbo": 90.0, "kl": 1.0}
            write("lstm-vae-avg", L, setting, dataset="toy", estimates=estimates, result=result)
    return average_cells(collect([open_source(str(place / "study"))]).frame)


def levels(ax) -> list[Line2D]:
    """The thick lines from one side of a panel to the other."""
    return [
        line
        for line in ax.get_lines()
        if line.get_transform() == ax.get_yaxis_transform(which="grid") and line.get_color() == style.INK
    ]


def test_the_truth_is_a_line_across_every_panel_between_the_bound_and_the_published_number(
    of_known_likelihood: list[Cell],
) -> None:
    figure = drawn(bounds, of_known_likelihood, "toy")
    assert len(figure.axes) == 2
    for ax in figure.axes:
        (line,) = levels(ax)
        assert list(line.get_ydata()) == [TRUTH, TRUTH]
        heights = {height for _, height, _ in means_of(ax)}
        assert {96.0, 102.0} <= heights, "the published number lies below, the bound above"
        low, high = ax.get_ylim()
        assert low < 96.0
        assert high > 102.0
        (shade,) = [p for p in ax.patches if p.get_y() + p.get_height() == pytest.approx(TRUTH)]
        assert shade.get_y() == pytest.approx(low)
    assert LEGEND in [text.get_text() for text in figure.legends[0].get_texts()]


def test_a_truth_below_all_numbers_is_still_in_the_panel(of_known_likelihood: list[Cell]) -> None:
    far = [replace(cell, true_nll=80.0) for cell in of_known_likelihood]
    for ax in drawn(bounds, far, "toy").axes:
        (line,) = levels(ax)
        assert list(line.get_ydata()) == [80.0, 80.0]
        assert ax.get_ylim()[0] < 80.0


def test_no_line_is_drawn_where_the_truth_is_not_known(of_known_likelihood: list[Cell]) -> None:
    unknown = [replace(cell, true_nll=None) for cell in of_known_likelihood]
    figure = drawn(bounds, unknown, "toy")
    assert [levels(ax) for ax in figure.axes] == [[], []]
    assert LEGEND not in [text.get_text() for text in figure.legends[0].get_texts()]
