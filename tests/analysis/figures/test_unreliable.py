"""Numbers that few draws decide have a question mark in every figure that shows them."""

import itertools
from pathlib import Path
from types import ModuleType

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from analysis.figures import axes, bounds, cost
from analysis.figures.elements import finish, marks, naming
from analysis.reading.collect import collect
from analysis.reading.sources import open_source
from analysis.stats.cells import Cell
from analysis.stats.over_seeds import average_cells

from ..conftest import WriteRun
from .conftest import drawn, means_of

FIGURES = [bounds, cost, axes]


def iw(value: float, khat_above: float) -> dict[str, float]:
    return {"value": value, "stderr": 0.1, "ess": 12.4, "khat_above": khat_above}


def study(tmp_path: Path, write_run: WriteRun, khat_above: float) -> list[Cell]:
    """LSTM-LM, and LSTM-VAE-AVG of two sizes, the first of which may have an unreliable bound."""
    write_run("lstm-lm", dataset="toy", estimates={"nll": 100.0, "ppl": 90.0})
    for size, share in ((4, khat_above), (8, 0.01)):
        estimates = {"nll_elbo": 97.0, "nll_joint": 110.0, "nll_iw_joint": iw(100.0 + size, share)}
        write_run("lstm-vae-avg", 5, dataset="toy", latent_size=size, estimates=estimates)
    return average_cells(collect([open_source(str(tmp_path / "study"))]).frame)


def signs(figure: Figure) -> list[naming.Sign]:
    return [child for ax in figure.axes for child in ax.get_children() if isinstance(child, naming.Sign)]


def entries(figure: Figure) -> list[str]:
    return [text.get_text().replace("\n", " ") for text in figure.legends[0].get_texts()]


@pytest.mark.parametrize("module", FIGURES)
def test_an_unreliable_number_has_a_question_mark_and_a_legend_entry(
    tmp_path: Path, write_run: WriteRun, module: ModuleType
) -> None:
    figure = drawn(module, study(tmp_path, write_run, 0.4), "toy")
    (sign,) = signs(figure)
    assert sign.get_text() == marks.UNRELIABLE == "?"
    assert sign.xy[1] == pytest.approx(104.0)
    assert any(sign.xy == pytest.approx(mark[:2]) for mark in means_of(figure.axes[0]))
    assert "unreliable: few draws may decide it" in entries(figure)


@pytest.mark.parametrize("module", FIGURES)
def test_reliable_numbers_have_none(tmp_path: Path, write_run: WriteRun, module: ModuleType) -> None:
    figure = drawn(module, study(tmp_path, write_run, 0.05), "toy")
    assert signs(figure) == []
    assert not [entry for entry in entries(figure) if "unreliable" in entry]


@pytest.mark.parametrize(
    ("khat_above", "said"), [(0.4, "by filled marks without ? only."), (0.05, "by filled marks only.")]
)
def test_the_caption_invites_to_compare_reliable_numbers_alone(
    tmp_path: Path, write_run: WriteRun, khat_above: float, said: str
) -> None:
    assert said in bounds.caption(study(tmp_path, write_run, khat_above), "toy")


def test_no_label_lies_on_a_question_mark(tmp_path: Path, write_run: WriteRun) -> None:
    figure = drawn(cost, study(tmp_path, write_run, 0.4), "toy")
    finish.settle(figure)
    labels = [child for ax in figure.axes for child in ax.get_children() if isinstance(child, naming.Label)]
    (sign,) = signs(figure)
    assert not any(sign.get_window_extent().overlaps(label.get_window_extent()) for label in labels)


def test_signs_of_marks_that_coincide_do_not_cover_each_other() -> None:
    figure = Figure(figsize=(4, 3))
    FigureCanvasAgg(figure)
    ax = figure.add_subplot(xlim=(0, 1), ylim=(0, 1))
    for at in ((0.5, 0.5), (0.5, 0.505), (0.5, 0.498), (0.9, 0.999), (0.2, 0.5)):
        naming.sign(ax, "?", at)
    finish.settle(figure)
    shown = [sign for sign in signs(figure) if sign.get_visible()]
    boxes = [sign.get_window_extent() for sign in shown]
    assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))
    assert [(sign.xy, sign.get_verticalalignment()) for sign in shown] == [
        ((0.5, 0.5), "bottom"),
        ((0.5, 0.505), "top"),
        ((0.9, 0.999), "top"),
        ((0.2, 0.5), "bottom"),
    ]
