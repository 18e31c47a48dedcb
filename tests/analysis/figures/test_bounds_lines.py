"""The figure of bounds: where the lines of averaging decoders begin, and what the caption says of them."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from matplotlib.colors import to_rgb

from analysis.figures import bounds
from analysis.figures.elements import style
from analysis.reading.collect import collect
from analysis.reading.sources import open_source
from analysis.stats.cells import Cell, same_with_one_sample
from analysis.stats.over_seeds import average_cells

from ..conftest import WriteRun
from .conftest import drawn


def cells_of(tmp_path: Path) -> list[Cell]:
    return average_cells(collect([open_source(str(tmp_path / "study"))]).frame)


def averaged(nll: float, joint: float, iw: float | None = None) -> dict[str, float]:
    weighted = {} if iw is None else {"nll_iw": nll - 0.5, "nll_iw_joint": iw}
    return {"nll_elbo": nll, "nll_joint": joint, "ppl_elbo": 90.0, "kl": 1.0, **weighted}


def polylines(cells: Sequence[Cell]) -> list[list[float]]:
    """The heights of every line with several points, in the order of L."""
    (ax,) = drawn(bounds, cells, "toy").axes
    return [
        [round(float(y), 6) for y in line.get_ydata()]
        for line in ax.get_lines()
        if len(line.get_xdata()) > 1
        and line.get_linestyle() != "None"
        and line.get_transform() == ax.transData
    ]


def test_only_a_system_that_averages_hidden_states_is_another_with_one_sample() -> None:
    assert same_with_one_sample("lstm-vae-avg") == "lstm-vae"
    assert [
        same_with_one_sample(system) for system in ("lstm-vae", "lstm-lm", "lstm-iwae", "a-new-one")
    ] == [None] * 4


def test_a_line_begins_at_its_own_variant_of_the_system_that_is_the_same_with_one_sample(
    tmp_path: Path, write_run: WriteRun
) -> None:
    for size, nll in ((4, 110.0), (32, 100.0)):
        estimates = {"nll_elbo": nll, "ppl_elbo": 90.0}
        write_run("lstm-vae", 1, dataset="toy", latent_size=size, estimates=estimates)
        write_run("lstm-vae-avg", 5, dataset="toy", latent_size=size, estimates=averaged(nll - 3, nll + 5))
    found = polylines(cells_of(tmp_path))
    # In the order of L, so from the start to the line itself.
    assert sorted(found) == [[100.0, 97.0], [100.0, 105.0], [110.0, 107.0], [110.0, 115.0]]


def test_a_line_does_not_begin_at_another_system(tmp_path: Path, write_run: WriteRun) -> None:
    write_run("lstm-vae-fb", 1, dataset="toy", estimates={"nll_elbo": 140.0, "ppl_elbo": 90.0})
    for L, nll in ((5, 101.0), (10, 99.0)):
        write_run("lstm-vae-avg", L, dataset="toy", estimates=averaged(nll, nll + L))
    assert sorted(polylines(cells_of(tmp_path))) == [[101.0, 99.0], [106.0, 109.0]]


@pytest.mark.parametrize(
    ("of_samples", "said"),
    [
        (
            {5: (101.0, 109.0, 108.0), 10: (99.0, 117.0, 116.0)},
            "With L, at every seed, the published ELBO and the mean of the ratios fall, and the valid ELBO "
            "and the valid IW number rise.",
        ),
        (
            {5: (101.0, 109.0, 108.0), 10: (99.0, 117.0, 107.0)},
            "With L, at every seed, the valid IW number, the published ELBO and the mean of the ratios "
            "fall, and the valid ELBO rises.",
        ),
        ({5: (101.0, 109.0), 10: (101.0, 108.0)}, "With L, at every seed, the valid ELBO falls."),
        ({5: (99.0, 109.0), 8: (101.0, 108.0), 10: (99.0, 109.0)}, ""),
        ({5: (99.0, 109.0)}, ""),
    ],
)
def test_the_caption_says_of_each_convention_what_the_drawn_numbers_do(
    tmp_path: Path, write_run: WriteRun, of_samples: Mapping[int, tuple[float, ...]], said: str
) -> None:
    for L, numbers in of_samples.items():
        write_run("lstm-vae-avg", L, dataset="toy", estimates=averaged(*numbers))
    caption = bounds.caption(cells_of(tmp_path), "toy")
    assert ("With L," in caption) == bool(said)
    assert said in caption


def test_the_caption_says_no_direction_that_a_seed_contradicts(tmp_path: Path, write_run: WriteRun) -> None:
    """Means fall here, as they may by chance."""
    for seed, (first, second) in enumerate([(101.0, 99.0), (102.0, 99.5), (100.0, 100.1)]):
        for L, nll in ((5, first), (10, second)):
            write_run("lstm-vae-avg", L, seed=seed, dataset="toy", estimates=averaged(nll, nll + L))
    caption = bounds.caption(cells_of(tmp_path), "toy")
    assert "published ELBO" not in caption.partition("With L,")[2]
    assert "With L, at every seed, the valid ELBO rises." in caption


def test_the_key_of_the_area_between_has_the_colour_of_the_systems_it_stands_for(
    tmp_path: Path, write_run: WriteRun
) -> None:
    def key_colours(*sizes: int) -> tuple[float, ...]:
        for size in sizes:
            for L in (5, 10):
                write_run(
                    "lstm-vae-avg", L, dataset="toy", latent_size=size, estimates=averaged(99.0, 100.0 + L)
                )
        figure = drawn(bounds, cells_of(tmp_path), "toy")
        (patch,) = figure.legends[0].get_patches()
        return patch.get_facecolor()[:3]

    one = key_colours(4)
    assert one != to_rgb(style.MUTED)
    assert key_colours(8) == to_rgb(style.MUTED), "of several systems, none's own"


@pytest.mark.parametrize("sizes", [(4,), (4, 8)])
def test_the_figure_names_the_system_and_what_lies_between_its_conventions(
    tmp_path: Path, write_run: WriteRun, sizes: Sequence[int]
) -> None:
    write_run("lstm-lm", dataset="toy", estimates={"nll": 100.0, "ppl": 90.0})
    for size in sizes:
        for L in (5, 10):
            estimates = averaged(99.0, 100.0 + L)
            write_run("lstm-vae-avg", L, dataset="toy", latent_size=size, estimates=estimates)
    cells = cells_of(tmp_path)
    assert "a decoder that reads L samples (LSTM-VAE-AVG), " in bounds.caption(cells, "toy")
    names = [
        text.get_text().replace("\n", " ") for text in drawn(bounds, cells, "toy").legends[0].get_texts()
    ]
    assert sum(name.startswith("LSTM-VAE-AVG") for name in names) == len(sizes)
    conventions = [place for place, name in enumerate(names) if name.startswith("ELBO, KL of")]
    assert names.index("between the ELBOs: KL not counted") == max(conventions) + 1


def test_the_start_of_every_valid_line_has_a_mark(tmp_path: Path, write_run: WriteRun) -> None:
    start = {"nll_elbo": 100.0, "nll_iw": 98.0, "ppl_elbo": 90.0}
    write_run("lstm-vae", 1, dataset="toy", estimates=start)
    write_run("lstm-vae-avg", 5, dataset="toy", estimates=averaged(97.0, 105.0, 103.0))
    cells = cells_of(tmp_path)
    (ax,) = drawn(bounds, cells, "toy").axes
    heights = {
        marker: sorted(
            float(line.get_ydata()[0])
            for line in ax.get_lines()
            if line.get_marker() == marker and line.get_markerfacecolor() != "none"
        )
        for marker in "D^"
    }
    assert heights == {"D": [100.0, 105.0], "^": [98.0, 103.0]}
    assert "Lines begin at the system that is the same model at L = 1." in bounds.caption(cells, "toy")


@pytest.mark.parametrize(("gap", "shown"), [(8.0, True), (0.1, False), (0.02, False)])
def test_only_a_gap_that_can_be_seen_is_measured(
    tmp_path: Path, write_run: WriteRun, gap: float, shown: bool
) -> None:
    write_run("lstm-lm", dataset="toy", estimates={"nll": 96.0, "ppl": 90.0})
    write_run("lstm-vae-avg", 5, dataset="toy", estimates=averaged(97.0, 97.0 + gap))
    cells = cells_of(tmp_path)
    (ax,) = drawn(bounds, cells, "toy").axes
    texts = [text.get_text() for text in ax.texts]
    assert (f"{gap:.1f} nats apart" in texts) == shown
    assert ("An arrow measures" in bounds.caption(cells, "toy")) == shown


def test_the_caption_names_every_language_model_that_is_drawn(tmp_path: Path, write_run: WriteRun) -> None:
    for system in ("lstm-lm", "cnn-lm"):
        write_run(system, dataset="toy", estimates={"nll": 100.0, "ppl": 90.0})
    for L in (5, 10):
        write_run("lstm-vae-avg", L, dataset="toy", estimates=averaged(97.0, 105.0))
    caption = bounds.caption(cells_of(tmp_path), "toy")
    assert "Compare with LSTM-LM or CNN-LM by filled marks only." in caption
