"""Figures draw every seed, the intervals and the published values that they are given."""

import ast
import dataclasses
import math
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.text import Text

from analysis.figures import axes, bounds, cost, curves, differences, kl, latent, nll, ppl
from analysis.figures.draw import draw_all, runs_with_curves
from analysis.figures.elements import finish, marks, style
from analysis.published.catalogue import find
from analysis.reading.collect import collect
from analysis.reading.learning_curves import learning_curves
from analysis.reading.sources import open_source
from analysis.stats.cells import Cell
from analysis.stats.comparisons import Comparison, compare_family
from analysis.stats.over_seeds import average_cells

from ..conftest import WriteRun, run_writer
from .conftest import drawn, means_of

ROOT = Path(__file__).resolve().parents[3]
OF_CELLS = {"bounds": bounds, "ppl": ppl, "nll": nll, "kl": kl, "latent": latent, "cost": cost}


def values(ax: Axes, axis: int) -> list[float]:
    """The x or y of every dot, marker and end of a bar."""
    return [float(v) for line in ax.get_lines() for v in np.atleast_1d(line.get_data()[axis])]


@pytest.mark.parametrize(
    ("kind", "estimate", "axis"),
    [("ppl", "ppl", 1), ("nll", "nll", 0), ("bounds", "nll", 1), ("kl", "nll", 1), ("latent", "mi", 0)],
)
def test_every_seed_and_both_ends_of_every_interval_are_drawn(
    cells: list[Cell], kind: str, estimate: str, axis: int
) -> None:
    panels = dict(zip(("standard", "inputless"), drawn(OF_CELLS[kind], cells, "ptb").axes, strict=False))
    if kind == "latent":  # a row of panels for each setting
        of_latent = drawn(latent, cells, "ptb").axes
        panels = {"standard": of_latent[0], "inputless": of_latent[len(of_latent) // 2]}
    for cell in cells:
        average = cell.averages.get(cell.estimate(estimate))
        if average is None:
            continue
        found = values(panels[cell.setting], axis)
        assert {round(v, 6) for v in average.values} <= {round(v, 6) for v in found}
        if kind in ("kl", "bounds") and not cell.num_samples:
            continue  # its interval is a band
        assert average.interval is not None
        for end in (average.interval.low, average.interval.high):
            assert np.min(np.abs(np.array(found) - end)) < 1e-6


def spread_out(write: WriteRun, **numbers: tuple[float, float, float]) -> None:
    for seed in range(3):
        estimates = {name: values[seed] for name, values in numbers.items()}
        write("lstm-vae", 1, seed=seed, dataset="toy", estimates={"nll_elbo": 100.0 + seed} | estimates)


@pytest.mark.parametrize(
    ("kind", "estimate", "panel", "axis"),
    [(ppl, "ppl_elbo", 0, "y"), (kl, "kl", 0, "x"), (latent, "mi", 0, "x"), (latent, "au", 1, "x")],
)
def test_no_axis_shows_negative_numbers_that_only_an_interval_has(
    tmp_path: Path, kind: ModuleType, estimate: str, panel: int, axis: str
) -> None:
    narrow = {
        "ppl_elbo": (9.0, 9.1, 9.2),
        "kl": (3.0, 3.1, 3.2),
        "mi": (2.0, 2.1, 2.2),
        "au": (3.0, 4.0, 3.5),
    }
    said = []
    for name, wide in (("narrow", {}), ("wide", {estimate: (4.6, 6.1, 17.2)})):  # 9.3 ± 6.9
        spread_out(run_writer(tmp_path / name), **{**narrow, **wide})
        found = average_cells(collect([open_source(str(tmp_path / name / "study"))]).frame)
        figure = drawn(kind, found, "toy")
        limits = figure.axes[panel].get_xlim() if axis == "x" else figure.axes[panel].get_ylim()
        assert limits[0] >= -0.05 * limits[1]
        said.append(marks.CUT in " ".join(t.get_text() for t in figure.findobj(Text)).replace("\n", " "))
    assert said == [False, True]


def test_published_means_are_lines(cells: list[Cell]) -> None:
    ax = drawn(ppl, cells, "ptb").axes[0]
    lines = [c for c in ax.collections if isinstance(c, LineCollection) and len(c.get_segments())]
    heights = {round(float(line.get_segments()[0][0][1]), 1) for line in lines}
    # Table 2a of the paper: LSTM-LM, LSTM-VAE with L = 1, 5, 10, LSTM-VAE-AVG with L = 5, 10.
    assert {99.4, 107.5, 98.8, 97.7, 84.6, 73.8} <= heights


@pytest.mark.parametrize(("std", "label"), [(0.7, "published mean, band ± std"), (None, "published mean")])
def test_the_legend_names_a_band_only_if_one_is_drawn(std: float | None, label: str) -> None:
    fact = find("2", "ptb", "lstm-lm", 0, "standard", "ppl")
    assert fact is not None
    keys = marks.common_keys(intervals=False, cited=[dataclasses.replace(fact, std=std)])
    assert [str(key.get_label()) for key in keys][1:] == [label]


def test_the_gap_between_the_two_conventions_is_labelled(cells: list[Cell]) -> None:
    texts = {text.get_text() for ax in drawn(bounds, cells, "ptb").axes for text in ax.texts}
    # Four more samples at a mean KL of 7.25 nats each.
    assert "29.0 nats apart" in texts


def test_a_system_is_compared_by_the_bound_that_it_was_trained_by(tmp_path: Path) -> None:
    run_writer(tmp_path)("lstm-vae-avg", 5, estimates={"nll_elbo": 90.0, "nll_joint": 110.0})
    estimates = {"nll_elbo": 103.0, "nll_iw": 99.0}
    run_writer(tmp_path)("lstm-vae", 5, estimates=estimates)
    run_writer(tmp_path)("lstm-iwae", 5, estimates=estimates, objective="importance_weighted")
    figure = drawn(bounds, average_cells(collect([open_source(str(tmp_path / "study"))]).frame), "ptb")
    keys = [text.get_text().replace("\n", " ") for text in figure.legends[0].get_texts()]
    assert "LSTM-VAE, ELBO: valid bound" in keys
    assert "LSTM-IWAE, IW: valid in expectation" in keys


def iw(value: float, khat_above: float) -> dict[str, float]:
    return {"value": value, "stderr": 0.1, "ess": 12.4, "khat_above": khat_above}


def test_captions_name_the_unreliable_numbers_that_are_drawn(tmp_path: Path) -> None:
    write = run_writer(tmp_path)
    ratios = {"nll_iw": iw(95.0, 0.05), "nll_iw_one": iw(94.0, 0.9), "nll_iw_joint": iw(105.0, 0.4)}
    for size in (4, 8):
        nll = {"nll_elbo": 97.0, "nll_joint": 110.0, "kl": 2.0}
        write("lstm-vae-avg", 5, dataset="toy", latent_size=size, estimates=nll | ratios)
        # Drawn by its ELBO in the figure of bounds; its tightest bound is the weighted one.
        estimates = {"nll_elbo": 99.0, "nll_iw": iw(98.0, 0.61)}
        write("lstm-vae", 5, dataset="toy", latent_size=size, estimates=estimates)
    cells = average_cells(collect([open_source(str(tmp_path / "study"))]).frame)
    avg = "LSTM-VAE-AVG L=5 (latent_size=4) standard, IW, joint (k > 0.7 in 40.0%, ESS 12)"
    vae = "LSTM-VAE L=5 (latent_size=4) standard, IW (k > 0.7 in 61.0%, ESS 12)"
    said = bounds.caption(cells, "toy")
    assert "Unreliable (?), because few draws decide them, or are too few to tell" in said
    assert avg in said
    # Neither a number that is not drawn nor one of 5%.
    assert vae not in said
    for name in ("one ratio", "mean of ratios"):
        assert name not in said
    for module in (cost, axes):
        assert avg in module.caption(cells, "toy")
        assert vae in module.caption(cells, "toy")


def test_captions_are_silent_if_all_weighted_numbers_are_reliable(cells: list[Cell]) -> None:
    assert "Unreliable" not in bounds.caption(cells, "ptb") + cost.caption(cells, "ptb")


def test_a_caption_names_few_unreliable_numbers_and_counts_the_others(tmp_path: Path) -> None:
    for L in range(2, 11):
        estimates = {"nll_elbo": 99.0, "nll_iw": iw(98.0, 0.61)}
        run_writer(tmp_path)("lstm-vae", L, dataset="toy", estimates=estimates)
    found = average_cells(collect([open_source(str(tmp_path / "study"))]).frame)
    said = cost.caption(found, "toy")
    assert said.count("k > 0.7 in") == 6
    assert said.endswith("; and 3 more.")


def test_without_averaged_states_there_is_no_figure_of_conventions(cells: list[Cell]) -> None:
    assert bounds.draw([c for c in cells if c.averaging != "hidden"], "ptb") is None


def test_learning_curves_mark_the_end_of_annealing_and_drops_of_the_learning_rate(
    study: Path, cells: list[Cell]
) -> None:
    sources = [open_source(str(study))]
    frame = collect(sources).frame
    metrics = {str(run): rows for run, rows in learning_curves(sources, frame).frame.groupby("run")}
    anneal = dict.fromkeys(metrics, 10.0)
    figure = drawn(curves, cells, metrics, anneal, "ptb", "standard")
    columns = [axes for axes in figure.axes[: len(figure.axes) // 2] if axes.get_title(loc="left")]
    by_title = {axes.get_title(loc="left"): axes for axes in columns}
    lm, vae = by_title["LSTM-LM"], by_title["LSTM-VAE\nL = 5"]
    for ax, ends in ((lm, 0), (vae, 1)):
        lines = ax.get_lines()
        assert len([line for line in lines if len(line.get_xdata()) == 12]) == 3
        drops = [list(line.get_xdata()) for line in lines if line.get_marker() == "v"]
        assert drops == [[11]] * 3
        assert len([line for line in lines if list(line.get_xdata()) == [10.0, 10.0]]) == ends


def test_learning_curves_mark_the_columns_whose_perplexity_is_not_a_bound(
    study: Path, cells: list[Cell]
) -> None:
    sources = [open_source(str(study))]
    frame = collect(sources).frame
    metrics = {str(run): rows for run, rows in learning_curves(sources, frame).frame.groupby("run")}

    def shown(some: list[Cell]) -> tuple[set[str], str]:
        arguments = some, metrics, {}, "ptb", "standard"
        titles = {ax.get_title(loc="left").replace("\n", " ") for ax in drawn(curves, *arguments).axes}
        return titles - {""}, curves.caption(*arguments)

    titles, caption = shown(cells)
    averaged = {f"LSTM-VAE-AVG L = {cell.num_samples}‡" for cell in cells if cell.joint_latent}
    assert averaged
    assert {title for title in titles if "‡" in title} == averaged
    assert caption.endswith(" ‡: not a bound, because it counts one KL for L samples.")
    titles, caption = shown([cell for cell in cells if not cell.joint_latent])
    assert "LSTM-VAE L = 5" in titles
    assert "‡" not in caption + "".join(titles)


def test_two_studies_differ_seed_by_seed(cells: list[Cell], tmp_path: Path, small_grid: Callable) -> None:
    small_grid("other", -0.5)
    others = average_cells(collect([open_source(str(tmp_path / "other"))]).frame)
    pairs = list(zip(others, cells, strict=True))
    compared = compare_family(pairs, "nll_valid", np.random.default_rng(0))
    ax = drawn(differences, compared, "ptb").axes[0]
    found = values(ax, 0)
    assert sum(abs(value + 0.5) < 1e-9 for value in found) >= 3 * 4


def test_a_figure_with_nothing_to_draw_is_left_out_with_a_reason(
    tmp_path: Path, write_run: WriteRun
) -> None:
    write_run("lstm-lm", status="unfinished")
    cells = average_cells(collect([open_source(str(tmp_path / "study"))]).frame)
    pictures = draw_all(cells, ["ptb"], {}, {}, advance=None, units={})
    assert pictures.drawn == ()
    assert len(pictures.left_out) == len(OF_CELLS)
    assert "PTB, bounds: no finished run of a decoder that reads several samples" in pictures.left_out


def test_variants_stand_side_by_side_and_bounds_within_hollow_rings(varied: list[Cell]) -> None:
    ax = drawn(bounds, varied, "toy").axes[0]
    found = means_of(ax)
    filled = [(x, y) for x, y, face in found if face != "none"]
    rings = [(x, y) for x, y, face in found if face == "none"]
    # Two of LSTM-VAE; an ELBO and a weighted number of each of two LSTM-VAE-AVG.
    assert len({round(x, 6) for x, _ in filled}) == len(filled) == 6
    # The published convention gives the same numbers here, at the same places.
    assert len(rings) == 4
    assert set(rings) <= set(filled)
    labels = [
        text.get_text().replace("\n", " ") for text in drawn(bounds, varied, "toy").legends[0].get_texts()
    ]
    assert "LSTM-LM: exact, band: 95% t interval" in labels


@pytest.mark.parametrize("module", [ppl, kl, nll])
def test_numbers_that_are_no_bounds_are_hollow_in_every_figure(module, varied: list[Cell]) -> None:
    figure = drawn(module, varied, "toy")
    hollow = [mark for mark in means_of(figure.axes[0]) if mark[2] == style.PAPER]
    assert len(hollow) == 2
    assert "hollow: not a bound" in [text.get_text() for text in figure.legends[0].get_texts()]


@pytest.mark.slow
def test_the_best_of_many_variants_are_drawn_and_the_caption_says_so(
    tmp_path: Path, write_run: WriteRun
) -> None:
    for k in range(40):
        write_run(
            "lstm-lm", dataset="toy", learning_rate=1.0 + k, estimates={"nll": 100.0 - k, "ppl": 90.0}
        )
    cells = average_cells(collect([open_source(str(tmp_path / "study"))]).frame)
    pictures = draw_all(cells, ["toy"], {}, {}, advance=None, units={})
    (nll,) = (picture for picture in pictures.drawn if picture.kind == "nll")
    assert nll.caption.endswith(
        " Of the variants of each row, only the 12 with the lowest bounds on the test split are shown."
    )
    best = {cell.averages["nll"].runs[0] for cell in cells if cell.averages["nll"].mean < 73}
    assert runs_with_curves(cells, ["toy"]) == best
    assert len(best) == 12


def test_a_figure_with_too_many_cells_is_left_out_with_a_reason(
    tmp_path: Path, write_run: WriteRun
) -> None:
    for L in range(1, 41):
        write_run("lstm-vae", L, dataset="toy")
    cells = average_cells(collect([open_source(str(tmp_path / "study"))]).frame)
    pictures = draw_all(cells, ["toy"], {}, {}, advance=None, units={})
    assert "toy, nll: 40 cells and variants in one setting, of which 36 can be shown" in pictures.left_out


def test_published_cells_give_way_to_our_rows(tmp_path: Path, write_run: WriteRun) -> None:
    for k in range(12):
        for system, L in (("lstm-vae", 1), ("lstm-vae", 5), ("lstm-vae-avg", 5)):
            write_run(system, L, learning_rate=1.0 + k, estimates={"nll_elbo": 100.0 + k, "kl": 2.0})
    cells = average_cells(collect([open_source(str(tmp_path / "study"))]).frame)
    pictures = draw_all(cells, ["ptb"], {}, {}, advance=None, units={})
    assert not [reason for reason in pictures.left_out if "can be shown" in reason]
    said = (
        " In the standard setting, published numbers without a run of ours are left out for lack of room."
    )
    captions = {picture.kind: picture.caption for picture in pictures.drawn}
    assert {kind for kind, caption in captions.items() if said in caption} == {"bounds", "nll", "kl"}
    # Of all rows, a panel shows those that have a run, and their published numbers.
    names = [text.get_text() for text in drawn(nll, cells, "ptb").axes[0].get_yticklabels()]
    assert len(names) == 36
    assert not [name for name in names if "L=10" in name]


def test_the_same_figure_is_the_same_file(cells: list[Cell]) -> None:
    def files() -> tuple[str, bytes]:
        with style.style():
            figure = nll.draw(cells, "ptb")
            assert figure is not None
            return finish.save(figure)

    once, again = files(), files()
    assert once == again
    assert "<!--" not in once[0]
    assert "<dc:date>" not in once[0]
    assert once[1].startswith(b"\x89PNG")


def test_figures_compute_no_statistics() -> None:
    """No module that could compute a mean or an interval is imported."""
    allowed = {
        "analysis.stats.average",
        "analysis.stats.cells",
        "analysis.stats.field_texts",
        "analysis.stats.outliers",
        "analysis.published",
        "analysis.tables.elements.table",
        "analysis.stats.comparisons",
        "analysis.tables.bounds",
        "analysis.stats.valid_bounds",
        "analysis.stats.variants",
        "analysis.tables.elements.shown_variants",
        "analysis.tables.elements.importance_weights",
        "analysis.tables.latent",
        "analysis.tables.costs",
        "lvae_core.run_folder",  # names and definitions
        "lvae_core.messages",  # words
    }
    allowed |= {"analysis.figures", "matplotlib", "pandas", "__future__"} | set(sys.stdlib_module_names)
    allowed -= {"statistics"}
    paths = list((ROOT / "analysis" / "figures").rglob("*.py"))
    assert len(paths) > 10
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text())):
            modules = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            modules += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            for name in modules:
                assert {name, name.split(".")[0], ".".join(name.split(".")[:2])} & allowed, (
                    f"{path}: {name}"
                )


@pytest.mark.parametrize(
    ("seconds", "unit", "shown"),
    [(12.0, "seconds", 12.0), (600.0, "minutes", 10.0), (36000.0, "hours", 10.0)],
)
def test_cost_has_a_unit_that_suits_its_size(
    tmp_path: Path, seconds: float, unit: str, shown: float
) -> None:
    for seed in range(3):
        times = {"train_seconds": seconds - 2, "evaluate_seconds": 2.0}
        run_writer(tmp_path)(seed=seed, result=times)
    ax = drawn(cost, average_cells(collect([open_source(str(tmp_path / "study"))]).frame), "ptb").axes[0]
    assert ax.get_xlabel() == f"device-{unit} per run"
    # The axis, read at the mark of the mean, gives the expected number of the unit.
    ticks = {
        float(label.get_text()): x for label, x in zip(ax.get_xticklabels(), ax.get_xticks(), strict=True)
    }
    (a, at_a), (b, at_b) = sorted(ticks.items())[:2]
    mean = ax.get_lines()[-1].get_xdata()[0]
    assert a + (mean - at_a) / (at_b - at_a) * (b - a) == pytest.approx(shown)


@pytest.mark.parametrize(
    ("anneal", "said"),
    [(10.0, "this need not be posterior collapse"), (1.0, "the posterior has collapsed")],
)
def test_an_unused_latent_variable_is_called_collapsed_only_after_annealing(
    tmp_path: Path, anneal: float, said: str
) -> None:
    run_writer(tmp_path)(
        "lstm-vae",
        5,
        dataset="toy",
        kl_anneal_epochs=anneal,
        estimates={"nll_elbo": 90.0, "mi": 0.01},
        result={"epochs": 2, "best_epoch": 2},
    )
    cells = average_cells(collect([open_source(str(tmp_path / "study"))]).frame)
    assert said in latent.caption(cells, "toy")


def curve(values: list[float]) -> pd.DataFrame:
    epochs = range(1, len(values) + 1)
    rows = {"epoch": epochs, "learning_rate": 1.0, "valid_ppl": values, "valid_kl": values}
    return pd.DataFrame(rows)


@pytest.mark.parametrize(
    ("values", "alone"),
    [
        ([90.0], [1.0]),
        ([90.0, math.inf, 80.0, math.inf, 70.0, 60.0], [1.0, 3.0]),
        ([90.0, 80.0], []),
    ],
)
def test_an_epoch_without_neighbours_is_a_mark(
    tmp_path: Path, write_run: WriteRun, values: list[float], alone: list[float]
) -> None:
    run = write_run("lstm-vae", dataset="toy", estimates={"nll_elbo": 99.0, "ppl_elbo": 80.0}).name
    cells = average_cells(collect([open_source(str(tmp_path / "study"))]).frame)
    figure = drawn(curves, cells, {run: curve(values)}, {}, "toy", "standard")
    for ax in figure.axes:
        marked = [line for line in ax.get_lines() if line.get_marker() == "."]
        assert [float(x) for line in marked for x in line.get_xdata()] == alone


def test_annealing_ends_only_where_a_run_of_the_column_gets_there(
    tmp_path: Path, write_run: WriteRun
) -> None:
    epochs = {}
    for L, count in ((1, 2), (5, 12)):
        estimates = {"nll_elbo": 99.0, "ppl_elbo": 80.0}
        run = write_run("lstm-vae", L, dataset="toy", estimates=estimates).name
        epochs[run] = curve([90.0 - k for k in range(count)])
    cells = average_cells(collect([open_source(str(tmp_path / "study"))]).frame)
    figure = drawn(curves, cells, epochs, dict.fromkeys(epochs, 10.0), "toy", "standard")
    ends = [sum(list(line.get_xdata()) == [10.0, 10.0] for line in ax.get_lines()) for ax in figure.axes]
    assert ends == [0, 1, 0, 1]


def compared_with(
    tmp_path: Path, write_run: WriteRun, numbers: dict[str, dict[int, list[float]]]
) -> list[Comparison]:
    """Study b minus study a; ``numbers`` are the bounds of their seeds by L."""
    of_studies = []
    for study, by_samples in numbers.items():
        for L, values in by_samples.items():
            for seed, value in enumerate(values):
                estimates = {"nll_elbo": value, "ppl_elbo": 80.0}
                write_run("lstm-vae", L, seed=seed, dataset="toy", study=study, estimates=estimates)
        of_studies.append(average_cells(collect([open_source(str(tmp_path / study))]).frame))
    pairs = list(zip(of_studies[1], of_studies[0], strict=True))
    return compare_family(pairs, "nll_valid", np.random.default_rng(0))


@pytest.mark.parametrize(("seeds", "intervals"), [(2, 0), (3, 1)])
def test_differences_have_the_intervals_that_their_legend_names(
    tmp_path: Path, write_run: WriteRun, seeds: int, intervals: int
) -> None:
    numbers = {
        "a": {1: [100.0] * seeds},
        "b": {1: [99.0 - k / 8 for k in range(seeds)]},
    }
    figure = drawn(differences, compared_with(tmp_path, write_run, numbers), "toy")
    assert sum(line.get_marker() == "|" for line in figure.axes[0].get_lines()) == intervals
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert ("95% t interval, n ≥ 3" in names) == bool(intervals)
    # Without any, the legend says why.
    assert ("one seed (n < 3: no intervals are drawn)" in names) != bool(intervals)


def test_a_variant_in_the_figure_of_two_studies_looks_as_its_system_does_elsewhere(
    tmp_path: Path, write_run: WriteRun
) -> None:
    of_studies = []
    for study in "ab":
        for size in (4, 8):
            write_run("lstm-iwae", 5, dataset="toy", study=study, latent_size=size)
        of_studies.append(average_cells(collect([open_source(str(tmp_path / study))]).frame))
    pairs = list(zip(of_studies[1], of_studies[0], strict=True))
    assert len(pairs) == 2
    compared = compare_family(pairs, "nll_valid", np.random.default_rng(0))
    lines = drawn(differences, compared, "toy").axes[0].get_lines()
    ((_, own),) = style.looks([("lstm-iwae", "")]).values()
    # Seeds are small dots; the line of no difference has no marker.
    marks_of_means = [
        str(x.get_marker()) for x in lines if len(x.get_xdata()) == 1 and x.get_markersize() > 4
    ]
    assert marks_of_means == [own, own]


def test_a_huge_difference_does_not_hide_the_others(tmp_path: Path, write_run: WriteRun) -> None:
    numbers = {"a": {1: [100.0, 100.0], 5: [100.0, 100.0]}, "b": {1: [99.0, 99.5], 5: [1e20, 99.0]}}
    compared = compared_with(tmp_path, write_run, numbers)
    figure = drawn(differences, compared, "toy")
    low, high = figure.axes[0].get_xlim()
    assert max(-low, high) < 10
    said = " ".join(text.get_text() for text in figure.findobj(Text))
    assert "1 value beyond the axis: LSTM-VAE L=5 standard 1e+20" in said.replace("\n", " ")


@pytest.mark.parametrize(("seconds", "cut"), [((1.0, 60.0, 2.0), True), ((60.0, 61.0, 62.0), False)])
def test_the_cost_says_if_an_interval_of_the_time_is_cut_at_zero(
    tmp_path: Path, write_run: WriteRun, seconds: tuple[float, ...], cut: bool
) -> None:
    for seed, of_run in enumerate(seconds):
        times = {"train_seconds": of_run, "evaluate_seconds": 1.0}
        write_run(seed=seed, dataset="toy", result=times)
    cells = average_cells(collect([open_source(str(tmp_path / "study"))]).frame)
    assert ("reaches below 0 is cut there" in cost.caption(cells, "toy")) == cut
