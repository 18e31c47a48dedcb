"""The figure of KL against NLL: whose the crosses are, and where L is said."""

from pathlib import Path

import pytest
from matplotlib.colors import to_hex
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure

from analysis.figures import cost, kl, series
from analysis.figures.elements import naming, style
from analysis.reading.collect import collect
from analysis.reading.sources import open_source
from analysis.stats.cells import Cell
from analysis.stats.over_seeds import average_cells

from ..conftest import WriteRun
from .conftest import drawn

VAE = {"nll_elbo": 100.0, "ppl_elbo": 90.0, "kl": 2.0}
TIMES = {"train_seconds": 60.0, "evaluate_seconds": 1.0}


def cells_of(tmp_path: Path) -> list[Cell]:
    return average_cells(collect([open_source(str(tmp_path / "study"))]).frame)


def labels(figure: Figure) -> list[str]:
    return sorted(
        child.get_text()
        for ax in figure.axes
        for child in ax.get_children()
        if isinstance(child, naming.Label)
    )


def entries(figure: Figure) -> list[str]:
    return [text.get_text().replace("\n", " ") for text in figure.legends[0].get_texts()]


def test_crosses_have_the_colour_of_their_system_and_their_samples(
    tmp_path: Path, write_run: WriteRun
) -> None:
    write_run("lstm-vae", 1, estimates=VAE)
    cells = cells_of(tmp_path)
    figure = drawn(kl, cells, "ptb")
    bars = [found for found in figure.axes[0].containers if isinstance(found, ErrorbarContainer)]
    crosses = {to_hex((found.lines[2] or found.lines)[0].get_color()) for found in bars}
    looks = series.looks(cells, "ptb")
    expected = ("lstm-vae", "lstm-vae-avg", "lstm-vmf-vae")
    assert crosses == {looks[system, ""][0] for system in expected}
    assert style.INK not in crosses
    assert {"LSTM-VAE", "LSTM-VAE-AVG: published", "LSTM-vMF-VAE L=1: published"} <= {*entries(figure)}
    # Ours and the published one with L = 1.
    assert labels(figure) == ["L=1", "L=1", "L=10", "L=10‡", "L=5", "L=5‡"]
    assert kl.caption(cells, "ptb").endswith("‡: not a bound, because it counts one KL for L samples.")


def test_variants_share_one_cross(tmp_path: Path, write_run: WriteRun) -> None:
    for size in (4, 8, 16):
        write_run("lstm-vae", 1, latent_size=size, estimates=VAE)
    figure = drawn(kl, cells_of(tmp_path), "ptb")
    bars = [found for found in figure.axes[0].containers if isinstance(found, ErrorbarContainer)]
    # LSTM-VAE with L = 1, 5, 10, LSTM-VAE-AVG with L = 5, 10, and LSTM-vMF-VAE.
    assert len(bars) == 6


@pytest.mark.parametrize("module", [kl, cost])
def test_only_lines_of_several_samples_have_them_beside_their_marks(
    tmp_path: Path, write_run: WriteRun, module
) -> None:
    write_run("lstm-lm", dataset="toy", result=TIMES)
    write_run("lstm-vae", 1, dataset="toy", estimates=VAE, result=TIMES)
    assert labels(drawn(module, cells_of(tmp_path), "toy")) == []
    assert "LSTM-VAE" in entries(drawn(module, cells_of(tmp_path), "toy"))
    for L in (5, 10):
        of_iwae = {**VAE, "nll_elbo": 90.0 + L, "kl": float(L)}
        write_run("lstm-iwae", L, dataset="toy", estimates=of_iwae, result=TIMES)
    figure = drawn(module, cells_of(tmp_path), "toy")
    assert labels(figure) == ["L=10", "L=5"]
    assert {"LSTM-VAE L=1", "LSTM-IWAE"} <= {*entries(figure)}


def test_the_legend_says_that_some_published_numbers_are_converted(
    tmp_path: Path, write_run: WriteRun
) -> None:
    """On Penn Treebank some systems' numbers were printed for another count of tokens per sentence."""
    write_run("lstm-vae", 1, estimates=VAE)
    assert "published (some converted): mean ± std" in entries(drawn(kl, cells_of(tmp_path), "ptb"))
    (tmp_path / "study").rename(tmp_path / "first")
    write_run("lstm-vae", 1, dataset="yahoo", estimates=VAE)
    assert not any("converted" in text for text in entries(drawn(kl, cells_of(tmp_path), "yahoo")))
