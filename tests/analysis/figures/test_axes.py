"""The figure of varied fields: one axis for each, with the bounds of every system."""

from pathlib import Path

from matplotlib.lines import Line2D

from analysis.figures import axes
from analysis.figures.draw import draw_all
from analysis.reading.collect import collect
from analysis.reading.sources import open_source
from analysis.stats.cells import Cell
from analysis.stats.over_seeds import average_cells
from analysis.tables.elements.shown_variants import mark_shown, variant_key
from lvae_core.protocols import fu2019
from lvae_core.systems import recipe

from ..conftest import WriteRun
from .conftest import drawn, means_of


def test_the_bound_is_drawn_against_each_field_that_was_varied(varied: list[Cell]) -> None:
    figure = drawn(axes, varied, "toy")
    (ax,) = figure.axes
    assert ax.get_xlabel() == "latent_size"
    assert [label.get_text() for label in ax.get_xticklabels()] == ["4", "8"]
    # By hand: 100.5 + 1 - 4 and 100.5 + 1 - 8, of both systems.
    assert sorted(y for _, y, _ in means_of(ax)) == [93.5, 93.5, 97.5, 97.5]
    kinds = {picture.kind for picture in draw_all(varied, ["toy"], {}, {}, advance=None, units={}).drawn}
    assert "axes" in kinds


def test_fields_that_changed_together_have_one_axis(tmp_path: Path, write_run: WriteRun) -> None:
    for dropout in (0.3, 0.5):
        for batch_size, rate in ((8, 1.0), (16, 0.5), (32, 0.25)):
            fields = {"dropout": dropout, "batch_size": batch_size, "learning_rate": rate}
            estimates = {"nll": 100.0 - batch_size, "ppl": 90.0}
            write_run("lstm-lm", dataset="toy", **fields, estimates=estimates)
    cells = average_cells(collect([open_source(str(tmp_path / "study"))]).frame)
    found = {axis.fields: axis.values for axis in axes.varied_axes(cells, "toy")}
    assert found.keys() == {("dropout",), ("batch_size", "learning_rate")}
    assert found["batch_size", "learning_rate"] == (("8", "1"), ("16", "0.5"), ("32", "0.25"))
    panels = {ax.get_xlabel(): ax for ax in drawn(axes, cells, "toy").axes}
    assert panels.keys() == {"dropout", "batch_size, learning_rate (together)"}
    together = panels["batch_size, learning_rate (together)"]
    assert [label.get_text() for label in together.get_xticklabels()] == ["8, 1", "16, 0.5", "32, 0.25"]
    # By hand: 100 - 32, 100 - 16 and 100 - 8, at both rates of dropout.
    assert sorted(y for _, y, _ in means_of(together)) == [68.0, 68.0, 84.0, 84.0, 92.0, 92.0]
    assert "their effects cannot be separated" in axes.caption(cells, "toy")


def test_each_l_of_a_system_has_its_mark_and_the_systems_colour(
    tmp_path: Path, write_run: WriteRun
) -> None:
    for size in (4, 8):
        for system, L in (("lstm-lm", 0), ("lstm-vae", 1), ("lstm-vae", 5), ("lstm-vae-avg", 5)):
            nll = 100.0 - size + L
            estimates = {"nll_elbo": nll, "nll_joint": nll + 1} if L else {"nll": nll}
            write_run(system, L, dataset="toy", latent_size=size, estimates=estimates)
    cells = average_cells(collect([open_source(str(tmp_path / "study"))]).frame)
    figure = drawn(axes, cells, "toy")
    keys = {
        text.get_text(): (line.get_color(), line.get_marker())
        for legend in figure.legends
        for line, text in zip(legend.get_lines(), legend.get_texts(), strict=True)
    }
    one, five, avg = (keys[name] for name in ("LSTM-VAE L=1", "LSTM-VAE L=5", "LSTM-VAE-AVG L=5"))
    assert one[0] == five[0] != avg[0]
    assert len({one[1], five[1], avg[1]}) == 3
    # In print, without colour, the marks of the panel tell them apart, too.
    (ax,) = figure.axes
    shapes = {line.get_marker() for line in ax.get_lines() if line.get_alpha() is None} - {"None", "_", "|"}
    assert {one[1], five[1], avg[1]} <= shapes


def test_variants_that_differ_in_many_fields_have_the_letters_of_the_tables(
    tmp_path: Path, write_run: WriteRun
) -> None:
    matched = recipe("lstm-vae-cyclical", dataset="toy")
    own = {name: v for name, v in fu2019(matched).to_dict().items() if v != getattr(matched, name)}
    same = {"kl_schedule": matched.kl_schedule}
    for fields in (same, same | own):
        nll = 99.0 + len(fields)
        write_run("lstm-vae-cyclical", dataset="toy", **fields, estimates={"nll_elbo": nll})
    cells = mark_shown(average_cells(collect([open_source(str(tmp_path / "study"))]).frame))
    figure = drawn(axes, cells, "toy")
    (ax,) = figure.axes
    assert sorted(label.get_text() for label in ax.get_xticklabels()) == ["A", "B"]
    assert ax.get_xlabel().endswith("(together)")
    # The legend explains both letters in full.
    key = " ".join(figure.legends[0].get_title().get_text().split())
    assert key == "; ".join(variant_key(cells, "toy"))
    # Each letter stands where its variant is: the original has the higher bound.
    letters = {cell.short_name: cell.averages["nll_elbo"].mean for cell in cells}
    places = {round(x): y for x, y, _ in means_of(ax)}
    shown = {label.get_text(): places[k] for k, label in enumerate(ax.get_xticklabels())}
    assert shown == letters


def test_lines_of_other_values_can_be_told_apart(tmp_path: Path, write_run: WriteRun) -> None:
    """In a panel, lines of one system and L have different dashes, which the legend explains."""
    for size in (4, 8):
        for dropout in (0.3, 0.5):
            nll = 100.0 - size + dropout
            write_run(dataset="toy", latent_size=size, dropout=dropout, estimates={"nll_elbo": nll})
    cells = average_cells(collect([open_source(str(tmp_path / "study"))]).frame)
    figure = drawn(axes, cells, "toy")
    (legend,) = figure.legends
    named = {
        text.get_text(): dashes(line)
        for line, text in zip(legend.get_lines(), legend.get_texts(), strict=True)
    }
    panels = {ax.get_xlabel(): ax for ax in figure.axes}
    # By hand: the bound of the first point of each line, at latent_size=4 or dropout=0.3.
    for field, expected in (
        ("latent_size", {96.3: "dropout=0.3", 96.5: "dropout=0.5"}),
        ("dropout", {96.3: "latent_size=4", 92.3: "latent_size=8"}),
    ):
        lines = [line for line in panels[field].get_lines() if len(line.get_xdata()) == 2]
        found = {round(float(line.get_ydata()[0]), 6): dashes(line) for line in lines}
        assert found == {bound: named[name] for bound, name in expected.items()}
        assert len({*found.values()}) == 2


def dashes(line: Line2D) -> tuple[float, ...]:
    """The dashes of a line in units of its width."""
    _, lengths = line._dash_pattern
    return tuple(round(length / line.get_linewidth(), 3) for length in lengths or ())


def test_a_figure_without_letters_has_no_key_to_them(tmp_path: Path, write_run: WriteRun) -> None:
    for dropout in (0.3, 0.5):
        for size in (8, 16):
            estimates = {"nll": 100.0 - size, "ppl": 90.0}
            write_run("lstm-lm", dataset="toy", dropout=dropout, batch_size=size, estimates=estimates)
    cells = mark_shown(average_cells(collect([open_source(str(tmp_path / "study"))]).frame))
    assert variant_key(cells, "toy"), "tables have letters"
    (legend,) = drawn(axes, cells, "toy").legends
    assert "A:" not in legend.get_title().get_text()


def test_without_a_varied_field_there_is_no_figure_of_it(cells: list[Cell]) -> None:
    assert axes.varied_axes(cells, "ptb") == []
    assert axes.draw(cells, "ptb") is None


def test_the_caption_names_the_fields_that_have_no_axis(tmp_path: Path, write_run: WriteRun) -> None:
    usual = {"hidden_size": 8, "learning_rate": 1.0, "batch_size": 8, "dropout": 0.5, "max_epochs": 4}
    other = {"hidden_size": 16, "learning_rate": 0.5, "batch_size": 16, "dropout": 0.3, "max_epochs": 5}
    for changes in ({}, *({name: value} for name, value in other.items())):
        write_run("lstm-lm", dataset="toy", **{**usual, **changes})
    cells = average_cells(collect([open_source(str(tmp_path / "study"))]).frame)
    drawn_fields = {ax.get_xlabel() for ax in drawn(axes, cells, "toy").axes}
    (left_out,) = usual.keys() - drawn_fields
    caption = axes.caption(cells, "toy")
    assert f". Not drawn, as a figure has at most 4 axes: {left_out}. To choose" in caption
    few = [cell for cell in cells if left_out not in cell.varied or cell.varied[left_out] == "4"]
    assert "Not drawn" not in axes.caption(few, "toy")
