"""The figure of PPL: which L a mark belongs to, and the names of published means."""

import re
from pathlib import Path

from matplotlib.collections import LineCollection
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from analysis.figures import ppl
from analysis.published.catalogue import find
from analysis.reading.collect import collect
from analysis.reading.sources import open_source
from analysis.stats.cells import Cell
from analysis.stats.over_seeds import average_cells
from lvae_core.systems import SYSTEMS

from ..conftest import WriteRun
from .conftest import drawn, means_of


def cells_of(tmp_path: Path) -> list[Cell]:
    return average_cells(collect([open_source(str(tmp_path / "study"))]).frame)


def published_lines(figure: Figure) -> list[LineCollection]:
    return [
        line
        for line in figure.axes[0].collections
        if isinstance(line, LineCollection) and line.get_segments()
    ]


def heights(figure: Figure) -> list[float]:
    return sorted(round(float(line.get_segments()[0][0][1]), 1) for line in published_lines(figure))


def published(system: str, num_samples: int) -> float:
    fact = find("2", "ptb", system, num_samples, "standard", "ppl")
    assert fact
    return fact.mean


def test_every_colour_of_a_published_mean_is_in_the_legend(tmp_path: Path, write_run: WriteRun) -> None:
    write_run("lstm-lm")
    figure = drawn(ppl, cells_of(tmp_path), "ptb")
    colours = {to_hex(line.get_color()[0]) for line in published_lines(figure)}
    assert len(colours) == 4
    names = {to_hex(key.get_color()): str(key.get_label()) for key in figure.legends[0].get_lines()}
    assert colours <= names.keys()
    said = [re.sub(r"\s+", " ", text.get_text()) for text in figure.legends[0].get_texts()]
    assert "LSTM-VAE-AVG, averaging = hidden ‡: published" in said
    assert "LSTM-LM, no z" in said
    assert "LSTM-LM, no z: published" not in said, "its own mark has the colour already"


def test_variants_that_have_other_samples_keep_every_published_value(
    tmp_path: Path, write_run: WriteRun
) -> None:
    for size, of_size in ((4, (1, 5)), (32, (1, 10))):
        for L in of_size:
            write_run("lstm-vae", L, latent_size=size)
    found = heights(drawn(ppl, cells_of(tmp_path), "ptb"))
    for L in (1, 5, 10):
        assert found.count(published("lstm-vae", L)) == 1


def test_each_mark_stands_within_the_column_of_its_own_samples(tmp_path: Path, write_run: WriteRun) -> None:
    for system in SYSTEMS:
        L = 5 if system in ("lstm-vae-avg", "lstm-iwae") else 1
        write_run(system, L, dataset="toy", averaging="none" if system.endswith("-lm") else "loss")
    (ax,) = drawn(ppl, cells_of(tmp_path), "toy").axes
    columns = [text.get_text() for text in ax.get_xticklabels()]
    assert columns == ["no z", "1", "5"]
    places = [x for x, *_ in means_of(ax)]
    assert len(places) == len(SYSTEMS)
    for column, count in enumerate((2, 10, 2)):
        own = [x for x in places if abs(x - column) < 0.45]
        assert len(own) == count
        assert sum(own) / count - column < 1e-9, "in the middle of its column"
    between = [line.get_xdata()[0] for line in ax.get_lines() if list(line.get_ydata()) == [0, 1]]
    assert between == [0.5, 1.5]


def test_the_caption_explains_only_marks_that_are_drawn(tmp_path: Path, write_run: WriteRun) -> None:
    write_run("lstm-lm")
    only_published = ppl.caption(cells_of(tmp_path), "ptb")
    assert "hidden states are averaged (‡) and L > 1, it is not a bound: the" in only_published
    write_run("lstm-vae-avg", 5)
    assert "it is not a bound (hollow): the" in ppl.caption(cells_of(tmp_path), "ptb")


def test_the_caption_of_a_figure_without_z_says_what_it_shows(tmp_path: Path, write_run: WriteRun) -> None:
    write_run("lstm-lm", dataset="toy")
    assert ppl.caption(cells_of(tmp_path), "toy") == (
        "PPL of each system on the test split: every seed, the mean."
    )
