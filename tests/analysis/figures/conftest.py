"""What the tests of figures share: cells to draw, and the reading of what was drawn."""

from pathlib import Path

import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.figures.elements import style
from analysis.reading.collect import collect
from analysis.reading.sources import open_source
from analysis.stats.cells import Cell
from analysis.stats.over_seeds import average_cells

from ..conftest import grid_writer, run_writer


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("figures")
    grid_writer(place)()
    return place / "study"


@pytest.fixture(scope="module")
def cells(study: Path) -> list[Cell]:
    return average_cells(collect([open_source(str(study))]).frame)


@pytest.fixture(scope="module")
def varied(tmp_path_factory: pytest.TempPathFactory) -> list[Cell]:
    """Two systems of two sizes, whose latent variables say nothing."""
    place = tmp_path_factory.mktemp("varied")
    write = run_writer(place)
    same = {"nll_elbo": 101.0, "nll_joint": 101.0, "nll_iw": 100.5, "nll_iw_joint": 100.5, "ppl_elbo": 90.0}
    for seed in range(3):
        write("lstm-lm", seed=seed, dataset="toy", estimates={"nll": 100.0 + seed, "ppl": 90.0})
        for size in (4, 8):
            for system in ("lstm-vae", "lstm-vae-avg"):
                numbers = {name: value + seed - size for name, value in same.items()} | {"kl": 0.001}
                write(system, 5, seed=seed, dataset="toy", latent_size=size, estimates=numbers)
    return average_cells(collect([open_source(str(place / "study"))]).frame)


def drawn(module, *arguments) -> Figure:
    with style.style():
        figure = module.draw(*arguments)
        assert figure is not None
        figure.draw_without_rendering()
    return figure


def means_of(ax: Axes) -> list[tuple[float, float, str]]:
    """Place and face of every mark of a mean: those that stand alone and have no transparency."""
    return [
        (float(line.get_xdata()[0]), float(line.get_ydata()[0]), str(line.get_markerfacecolor()))
        for line in ax.get_lines()
        if len(line.get_xdata()) == 1
        and line.get_alpha() is None
        and line.get_marker() not in ("_", "|", "None")
    ]
