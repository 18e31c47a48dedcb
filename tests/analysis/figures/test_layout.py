"""No figure cuts off a text or puts one on another, whatever it is given.

Every figure is drawn for studies of many shapes. Then the bounding boxes of all its texts are compared with
each other and with the edge of the canvas, and the outermost pixels of the canvas must be blank.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Annotation, Text

from analysis.figures import axes, bounds, cost, curves, differences, kl, latent, nll, parallel, ppl, trials
from analysis.figures.elements import finish, layout, naming, style, wrapping
from analysis.figures.trials import Field, Outcome, Point
from analysis.stats.average import Average, average
from analysis.stats.cells import Cell, Counts
from analysis.stats.comparisons import compare_family
from analysis.tables.elements.shown_variants import name_variants
from lvae_core.systems import SYSTEMS

OF_CELLS = {"bounds": bounds, "ppl": ppl, "nll": nll, "kl": kl, "latent": latent, "cost": cost}
LONG = "a-system-of-another-group-with-a-very-long-name"
AVERAGING = {"lstm-lm": "none", "lstm-vae-avg": "hidden"}


@dataclass(frozen=True)
class Shape:
    """A study to draw."""

    settings: tuple[str, ...] = ("standard", "inputless")
    systems: tuple[str, ...] = ("lstm-lm", "lstm-vae", "lstm-vae-avg")
    samples: tuple[int, ...] = (1, 5)
    variants: tuple[str, ...] = ("",)
    dataset: str = "ptb"
    n: int = 3
    values: str = "plain"

    @property
    def long(self) -> bool:
        """Whether its names or its rows are the longest."""
        return LONG in self.systems or len(self.variants) > 2 or self.n == 1


MANY = tuple(f"learning_rate={0.1 * k:g}, kl_anneal_epochs={k}, max_vocabulary=10000" for k in range(12))
SHAPES = {
    "as published": Shape(),
    "one language model": Shape(("standard",), ("lstm-lm",), dataset="toy", n=1),
    "long names": Shape(("standard",), ("lstm-vae", LONG), dataset="a-corpus-of-our-own-" * 6, n=2),
    "12 systems": Shape(systems=(*list(SYSTEMS)[:11], LONG), samples=(5,), dataset="toy"),
    "12 L": Shape(("inputless",), ("lstm-vae-avg",), tuple(4**k for k in range(12)), dataset="toy", n=1),
    "12 variants": Shape(("standard",), ("lstm-vae",), (1,), MANY, dataset="toy", n=1),
    "two variants": Shape(variants=("max_epochs=3", "max_epochs=30"), n=2, values="huge"),
    "equal values": Shape(samples=(1, 5, 10), values="equal"),
    "values that hardly differ": Shape(dataset="toy", values="close"),
    "huge values only": Shape(("standard",), ("lstm-vae",), dataset="toy", values="all huge"),
    "large values, negative zeros": Shape(("inputless",), dataset="toy", n=2, values="large"),
    "missing numbers": Shape(("standard",), samples=(1, 5, 10), values="missing"),
}


def of(values: list[float], cell: int) -> Average:
    n = len(values)
    with np.errstate(over="ignore", invalid="ignore"):
        found = average(np.arange(n), np.array(values), np.full(n, np.nan))
    return replace(found, runs=tuple(f"{cell}-seed{seed}" for seed in range(n)))


def cells_of(shape: Shape) -> list[Cell]:
    """The cells of a study of this shape."""
    cells = []
    rows = itertools.product(shape.systems, shape.samples, shape.variants, shape.settings)
    for number, (system, samples, variant, setting) in enumerate(rows):
        averaging = AVERAGING.get(system, "loss")
        L = 0 if averaging == "none" else samples
        if averaging == "none" and samples != shape.samples[0]:
            continue
        base = (100.0 if setting == "standard" else 130.0) + 2 * math.sin(number)
        scale = 0.3
        if shape.values in ("equal", "close"):
            base, scale = 100.0, 0.0 if shape.values == "equal" else 1e-6
        factor = 1e8 if shape.values == "large" else 1.0
        spread = [scale * math.cos(number + seed) for seed in range(shape.n)]
        loss = [factor * (base + part) for part in spread]
        use = [0.0 if shape.values == "equal" else 3 * abs(math.sin(number)) + abs(part) for part in spread]
        if shape.values == "large":
            use = [-0.0] * shape.n
        numbers = {"nll": loss, "ppl": loss}
        if L:
            numbers = {"nll_elbo": loss, "ppl_elbo": loss, "nll_iw": [v - 0.5 for v in loss]}
            numbers |= {"kl": use, "mi": use, "au": use}
        if averaging == "hidden" and L > 1:
            joint = [v + (L - 1) * k for v, k in zip(loss, use, strict=True)]
            numbers |= {"nll_joint": joint, "nll_iw_joint": [v - 0.4 for v in joint]}
        if shape.values == "all huge" or (shape.values == "huge" and number == 4):
            numbers = {name: [1e308] * shape.n for name in numbers}
        if shape.values == "missing" and number % 3 == 1:
            numbers = {}
        averages = {name: of(values, number) for name, values in numbers.items()}
        hours = of([0.1 + 0.01 * number] * shape.n, number) if numbers else None
        counts = Counts(done=shape.n) if numbers else Counts(failed=shape.n)
        cells.append(Cell(shape.dataset, system, L, setting, variant, averaging, counts, averages, hours))
    return cells


def curves_of(cells: list[Cell]) -> dict[str, pd.DataFrame]:
    """A learning curve for each run, which begins far above its end."""
    found = {}
    for cell in cells:
        for run in curves.runs_of(cell):
            end = min(cell.averages[cell.estimate("nll")].mean, 1e300)
            rows = {"epoch": range(1, 13), "valid_ppl": [end + 1000 / k**2 for k in range(1, 13)]}
            rows |= {"learning_rate": [1.0] * 10 + [0.5] * 2}
            found[run] = pd.DataFrame(
                rows | ({"valid_kl": [50 / k for k in range(1, 13)]} if cell.num_samples else {})
            )
    return found


def figures_of(shape: Shape) -> Iterator[tuple[str, Figure]]:
    """Every figure of a study, by name; those with nothing to draw are left out."""
    cells = cells_of(shape)
    drawn: dict[str, Figure | None] = {
        name: module.draw(cells, shape.dataset) for name, module in OF_CELLS.items()
    }
    if "huge" not in shape.values:
        pairs = [(cell, cell) for cell in cells if cell.averages]
        compared = compare_family(pairs, "nll_valid", np.random.default_rng(0))
        drawn["differences"] = differences.draw(compared, shape.dataset)
    # The slower figures, for the shapes that press them most.
    if shape.long:
        epochs = curves_of(cells)
        setting = shape.settings[-1]
        anneal = dict.fromkeys(epochs, 10.0)
        drawn["curves"] = curves.draw(cells, epochs, anneal, shape.dataset, setting)
        fields = [
            Field(f"{shape.dataset[:24]}_{k}", k % 2 == 0, ("a", "b", LONG) if k % 2 else ())
            for k in range(4)
        ]
        points = [
            Point({f.name: 10.0 ** (k - 3) if f.log else k % 3 for f in fields}, 90.0 + k) for k in range(6)
        ]
        title = f"a search of {shape.dataset}"
        note = ",\nnot a bound"
        drawn["trials"] = trials.draw(points, fields, {fields[0].name: 0.1}, title, note)
        drawn["parallel"] = parallel.draw(points, fields, title, note)
        size = 1e8 if shape.n == 1 else 1.0
        outcomes = [Outcome((size + k, size - k / 3), on_front=k % 2 == 0) for k in range(12)]
        headings = [f"valid NLL{note}", "seconds of training"]
        drawn["front"] = trials.draw_front(outcomes, headings, 0, title)
    yield from ((name, figure) for name, figure in drawn.items() if figure)


def texts_of(figure: Figure) -> list[Text]:
    """Every visible text of a figure that is not empty."""
    found = list(figure.texts)
    for legend in figure.legends:
        found += [legend.get_title(), *legend.get_texts()]
    for ax in figure.axes:
        if ax.get_visible():
            found += [ax.title, ax._left_title, ax._right_title, ax.xaxis.label, ax.yaxis.label, *ax.texts]
            for axis in (ax.xaxis, ax.yaxis):
                found += [axis.get_offset_text(), *(text for _, text in finish.tick_labels(axis))]
    return [text for text in dict.fromkeys(found) if text.get_visible() and text.get_text().strip()]


def problems(figure: Figure) -> list[str]:
    """The texts of a figure that are cut off, and pairs of texts that overlap."""
    finish.settle(figure)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    found = []
    boxes = [(text.get_text(), text.get_window_extent()) for text in texts_of(figure)]
    width, height = figure.bbox.size
    for text, box in boxes:
        if box.x0 < -0.5 or box.y0 < -0.5 or box.x1 > width + 0.5 or box.y1 > height + 0.5:
            found.append(f"cut off: {text!r}")
    for (a, box), (b, other) in itertools.combinations(boxes, 2):
        across = min(box.x1, other.x1) - max(box.x0, other.x0)
        along = min(box.y1, other.y1) - max(box.y0, other.y0)
        if across > 1 and along > 1:
            found.append(f"overlap: {a!r} and {b!r}")
    pixels = np.asarray(canvas.buffer_rgba())[..., :3]
    edge = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    if (edge != pixels[0, 0]).any():
        found.append("something reaches the edge")
    panels = [ax.get_window_extent() for ax in figure.axes]
    if min(min(box.width, box.height) for box in panels) < 0.5 * figure.dpi:
        found.append("a panel has no room")
    return found


@pytest.mark.parametrize("name", SHAPES)
def test_every_text_of_every_figure_can_be_read(name: str) -> None:
    found = {}
    with style.style():
        for kind, figure in figures_of(SHAPES[name]):
            figure.set_dpi(72)
            if wrong := problems(figure):
                found[kind] = wrong
    assert not found


Values = dict[tuple[str, ...], tuple[tuple[str, ...], ...]]
"""Fields that change together -> their values."""

RATES = tuple((f"{0.001 * 2**k:g}",) for k in range(12))
PROTOCOL = ("decoder_start", "lr_schedule", "optimiser", "init_scale", "kl_anneal_epochs", "patience_rule")
PROTOCOLS = (
    ("c0_linear_h0_tanh", "decay_on_plateau", "adam", "0.01", "10", "validation_elbo"),
    ("none", "constant", "sgd_with_momentum", "uniform", "0", "best_of_all_epochs"),
)
VARIED: dict[str, tuple[Shape, Values]] = {
    "one field": (Shape(dataset="toy"), {("latent_size",): (("4",), ("8",))}),
    "12 values": (Shape(systems=("lstm-vae",), dataset="toy"), {("learning_rate",): RATES}),
    "12 long values": (
        Shape(systems=("lstm-vae",), dataset="a-corpus-of-our-own-" * 6),
        {("kl_anneal_epochs",): tuple((str(1000.5 + k),) for k in range(12))},
    ),
    "three fields together": (
        Shape(("standard",), ("lstm-vae",), (1,), dataset="toy"),
        {
            ("hidden_size", "embedding_size", "learning_rate"): tuple(
                (str(200 * k), str(50 * k), f"{0.001 * k:g}") for k in range(1, 7)
            )
        },
    ),
    "a panel for each of three fields": (
        Shape(systems=("lstm-vae",), dataset="toy"),
        {
            ("latent_size",): (("4",), ("8",)),
            ("dropout",): (("0.3",), ("0.5",)),
            ("learning_rate",): (("0.5",), ("1",)),
        },
    ),
    "long texts of one value": (
        Shape(("inputless",), (LONG,), dataset="toy"),
        {("cnn_dilations",): (("1,2,4",), ("1,2,4,8,16",), ("1,2,4,8,16,32",))},
    ),
    "an original and a matched protocol": (
        Shape(("standard",), ("lstm-vae",), (1, 5), dataset="toy"),
        {PROTOCOL: PROTOCOLS},
    ),
    "two protocols of two sizes": (
        Shape(systems=("lstm-vae",), dataset="toy"),
        {PROTOCOL: PROTOCOLS, ("latent_size",): (("4",), ("8",))},
    ),
    "large numbers of one seed": (
        Shape(dataset="toy", n=1, values="large"),
        {("latent_size",): (("4",), ("8",))},
    ),
}


def varied_cells(shape: Shape, fields: Values) -> list[Cell]:
    """The cells of a grid over fields."""
    found: list[Cell] = []
    for values in itertools.product(*fields.values()):
        varied = {
            name: value
            for names, together in zip(fields, values, strict=True)
            for name, value in zip(names, together, strict=True)
        }
        label = ", ".join(f"{name}={value}" for name, value in varied.items())
        cells = cells_of(replace(shape, variants=(label,)))
        found += [replace(cell, varied=varied) for cell in cells]
    return found


@pytest.mark.parametrize("name", VARIED)
def test_every_text_of_the_figure_of_varied_fields_can_be_read(name: str) -> None:
    shape, fields = VARIED[name]
    with style.style():
        figure = axes.draw(name_variants(varied_cells(shape, fields)), shape.dataset)
        assert figure is not None
        figure.set_dpi(72)
        assert problems(figure) == []
    # Every value of fields that changed together is named, whatever the room.
    panels = zip(figure.axes, fields.items(), strict=False)
    for ax, (together, values) in panels:
        if len(together) > 1:
            names = [text.get_text() for _, text in finish.tick_labels(ax.xaxis)]
            assert len({*names}) == len(values)


@pytest.mark.parametrize("count", [2, 5, 8])
def test_long_choices_of_a_search_stay_between_their_axes(count: int) -> None:
    fields = [Field(f"field_{k}", log=False, choices=(LONG, f"{LONG}-{k}", "b")) for k in range(count)]
    points = [Point({field.name: k % 3 for field in fields}, 90.0 + k) for k in range(6)]
    with style.style():
        figure = parallel.draw(points, fields, "a search")
        assert figure is not None
        figure.set_dpi(72)
        assert problems(figure) == []
        (ax,) = figure.axes
        ends = [text.get_window_extent().x1 for text in ax.texts]
        starts = [float(ax.transData.transform((text.get_position()[0], 0))[0]) for text in ax.texts]
        step = float(np.diff(ax.transData.transform([(0, 0), (1, 0)])[:, 0])[0])
        assert all(end < start + step for end, start in zip(ends, starts, strict=True))
    # The beginning of each choice is there, whatever is cut.
    assert all(text.get_text()[:5] in (LONG[:5], "b", "90", "95") for text in ax.texts)


def test_text_that_has_no_room_is_cut_with_a_sign() -> None:
    assert wrapping.cut("short", 1.0, 0.2, 8) == "short"
    assert wrapping.cut("two words", 0.5, 0.5, 8) == "two\nwords"
    shown = wrapping.cut("many words that need more than a line", 0.8, 0.2, 8)
    assert "\n" not in shown
    assert shown.endswith("…")
    assert "many words".startswith(shown[:-1])


def test_texts_are_found_if_they_are_cut_off_or_overlap() -> None:
    """The checker itself: a wide legend, and two names in one place."""
    with style.style():
        figure, ((ax,),) = layout.panels(1, 2.0)
        ax.text(0.5, 0.5, "one name")
        ax.text(0.5, 0.5, "another")
        figure.legend([ax.plot([0, 1])[0]], ["too wide " * 20])
        found = problems(figure)
    assert "overlap: 'one name' and 'another'" in found
    assert any(problem.startswith("cut off: 'too wide") for problem in found)


def test_a_huge_value_is_left_out_with_a_note_and_the_others_keep_their_axis() -> None:
    cells = cells_of(replace(SHAPES["as published"], values="huge"))
    with style.style():
        figure = nll.draw(cells, "ptb")
        assert figure is not None
        finish.settle(figure)
    ends = [ax.get_xlim() for ax in figure.axes]
    assert all(80 < low < high < 200 for low, high in ends)
    note = figure.legends[0].get_title().get_text()
    assert note == "1 value beyond the axis: LSTM-VAE L=1 standard, nll_elbo 1e+308"


def test_learning_curves_of_all_systems_stand_in_rows_with_the_same_scales() -> None:
    cells = cells_of(Shape(("standard",), tuple(SYSTEMS), (1,)))
    with style.style():
        figure = curves.draw(cells, curves_of(cells), {}, "ptb", "standard")
        assert figure is not None
        finish.settle(figure)
    titles = {ax: ax.get_title(loc="left") or ax.get_title() for ax in figure.axes}
    perplexities = [ax for ax, title in titles.items() if title]
    assert len(perplexities) == len(cells)
    others = [ax for ax in figure.axes if ax not in perplexities]
    for kind in (perplexities, others):
        assert len({ax.get_ylim() for ax in kind}) == 1
    assert len({ax.get_xlim() for ax in figure.axes}) == 1
    assert [bool(ax.get_xlabel() and finish.tick_labels(ax.xaxis)) for ax in others] == [True] * len(cells)


def test_learning_curves_that_are_cut_say_so() -> None:
    cells = cells_of(SHAPES["one language model"])
    with style.style():
        figure = curves.draw(cells, curves_of(cells), {}, "toy", "standard")
    assert figure is not None
    limit = figure.axes[0].get_ylim()[1]
    note = figure.legends[0].get_title().get_text()
    assert note.replace("\n", " ") == f"PPL is cut at {limit:.4g}: 1 of 1 curves reach higher, up to 1100"


def test_learning_curves_of_few_epochs_are_not_cut() -> None:
    cells = cells_of(SHAPES["one language model"])
    short = {run: rows.iloc[:2] for run, rows in curves_of(cells).items()}
    with style.style():
        figure = curves.draw(cells, short, {}, "toy", "standard")
    assert figure is not None
    assert figure.axes[0].get_ylim()[1] >= max(rows["valid_ppl"].max() for rows in short.values())
    assert not figure.legends or "cut" not in figure.legends[0].get_title().get_text()


def test_learning_curves_are_cut_only_if_that_saves_much_of_the_axis() -> None:
    cells = cells_of(SHAPES["one language model"])
    epochs = curves_of(cells)
    for rows in epochs.values():
        rows["valid_ppl"] = np.linspace(180.0, 100.0, len(rows))
    with style.style():
        figure = curves.draw(cells, epochs, {}, "toy", "standard")
    assert figure is not None
    assert figure.axes[0].get_ylim()[1] > 180
    assert not figure.legends[0].get_title().get_text()


def test_captions_and_legends_speak_only_of_what_is_drawn() -> None:
    published = cells_of(SHAPES["as published"])
    alone = cells_of(Shape(("standard",), ("lstm-vae",), (1,), dataset="toy", n=1))
    epochs = curves_of(alone)
    for rows in epochs.values():
        rows["learning_rate"] = 1.0
    drawn = {
        "published mean": (nll, "", "published mean"),
        "interval": (nll, "t interval", "95% interval"),
        "number of samples": (ppl, "", "number of samples L"),
        "hidden states": (ppl, "hidden", "hidden states are averaged"),
        "crosses": (kl, "published", "crosses"),
        "both intervals": (cost, "t interval", "both intervals"),
    }
    for module, key, words in drawn.values():
        assert words in module.caption(published, "ptb")
        assert words not in module.caption(alone, "toy")
        with style.style():
            figure = module.draw(alone, "toy")
        assert figure is not None
        assert not key or not any(key in text.get_text() for text in figure.legends[0].get_texts())
    said = curves.caption(alone, epochs, dict.fromkeys(epochs, 100.0), "toy", "standard")
    assert "Dotted" not in said
    assert "Triangles" not in said
    said = curves.caption(alone, curves_of(alone), dict.fromkeys(epochs, 10.0), "toy", "standard")
    assert "Dotted" in said
    assert "Triangles" in said
    assert "thick line" not in bounds.caption(published, "ptb")


def test_learning_curves_say_whose_perplexity_is_of_another_bound_than_in_the_tables() -> None:
    cells = [
        replace(cell, objective="importance_weighted") if cell.system == "lstm-iwae" else cell
        for cell in cells_of(Shape(("standard",), ("lstm-vae", "lstm-iwae"), (5,), dataset="toy"))
    ]
    others = [cell for cell in cells if cell.system == "lstm-vae"]
    said = "The perplexity of LSTM-IWAE is that of the importance-weighted bound of its L samples"
    assert said in curves.caption(cells, curves_of(cells), {}, "toy", "standard")
    assert "importance" not in curves.caption(others, curves_of(others), {}, "toy", "standard")


def labelled(points: list[tuple[float, float]]) -> tuple[Figure, list[naming.Label], list[Annotation]]:
    """A figure with a label for each point, and lines that lead from labels to points."""
    figure, ((ax,),) = layout.panels(1, 2.0)
    for number, point in enumerate(points):
        naming.label(ax, f"L={number}", point, "k")
    finish.settle(figure)
    labels = [child for child in ax.get_children() if isinstance(child, naming.Label)]
    return figure, labels, [child for child in ax.texts if child.arrow_patch]


def test_a_label_stands_beside_its_own_point_or_a_line_leads_there() -> None:
    points = [(0.5, 0.5), (0.53, 0.55), (0.47, 0.45), (0.56, 0.5)]
    with style.style():
        figure, labels, leaders = labelled(points)
    at = figure.axes[0].transData.transform(points)
    led = {leader.xy for leader in leaders}
    beside = [(number, label) for number, label in enumerate(labels) if label.xy not in led]
    assert len(beside) > 1
    for number, label in beside:
        box = label.get_window_extent()
        nearest = np.clip(at, box.min, box.max)
        assert np.argmin(np.linalg.norm(at - nearest, axis=1)) == number


def test_a_label_beside_its_point_hides_no_line_if_there_is_room() -> None:
    with style.style():
        figure, ((ax,),) = layout.panels(1, 2.5)
        # The line rises to the right of the point, where a label would stand first.
        ax.plot([0.0, 0.5, 1.0], [0.4, 0.5, 0.8], "-")
        ax.set(xlim=(0, 1), ylim=(0, 1))
        naming.label(ax, "5.0 nats apart", (0.5, 0.5), "k")
        finish.settle(figure)
    (label,) = [child for child in ax.get_children() if isinstance(child, naming.Label)]
    box = label.get_window_extent()
    x = np.linspace(0, 1, 500)
    line = ax.transData.transform(np.column_stack([x, np.interp(x, [0.0, 0.5, 1.0], [0.4, 0.5, 0.8])]))
    assert not box.count_contains(line)


def test_no_label_is_dropped_in_a_crowd() -> None:
    crowd = 30
    points = [(0.5 + 0.01 * math.cos(k), 0.5 + 0.01 * math.sin(k)) for k in range(crowd)]
    with style.style():
        _, labels, leaders = labelled(points)
    assert [label.get_text() for label in labels if label.get_visible()] == [f"L={k}" for k in range(crowd)]
    assert len(leaders) > crowd / 2
    boxes = [label.get_window_extent() for label in labels]
    overlaps = [pair for pair in itertools.combinations(boxes, 2) if pair[0].overlaps(pair[1])]
    assert overlaps == []


def test_the_axis_of_the_kl_follows_the_data() -> None:
    cells = [
        replace(cell, averages={**cell.averages, "kl": of([0.02, 0.03, 0.04], 0)})
        for cell in cells_of(Shape(("standard",), ("lstm-vae",), (1,), dataset="toy"))
    ]
    with style.style():
        figure = kl.draw(cells, "toy")
    assert figure is not None
    assert figure.axes[0].get_xlim()[1] < 0.1


def test_annealing_that_no_curve_reaches_leaves_the_axis_to_the_curves() -> None:
    cells = cells_of(Shape(("standard",), ("lstm-vae",), (1,), dataset="toy"))
    epochs = curves_of(cells)
    for end, labelled in ((5.0, True), (100.0, False)):
        with style.style():
            figure = curves.draw(cells, epochs, dict.fromkeys(epochs, end), "toy", "standard")
        assert figure is not None
        assert figure.axes[0].get_xlim()[1] < 13
        assert ("annealing ends" in [t.get_text() for t in figure.legends[0].get_texts()]) == labelled


def test_variants_have_marks_and_colours_that_differ() -> None:
    keys = [("lstm-vae", name) for name in MANY] + [("lstm-lm", ""), ("lstm-vae-avg", "a")]
    looks = style.looks(keys)
    assert len(set(looks.values())) == len(keys)
    # The first of a system looks as in every other figure.
    assert looks["lstm-lm", ""] == style.looks([("lstm-lm", "")])["lstm-lm", ""]
    assert {colour for colour, _ in looks.values()} <= set(style.COLOURS)


def test_a_legend_without_room_for_all_notes_shows_whole_ones() -> None:
    """Half an entry of a key would be read as all of it."""
    notes = [
        f"{letter}: latent_size={n}, dropout=0.{n}, hidden_size=2{n}0" for n, letter in enumerate("ABCDEF")
    ]
    notes.append(f"G: {'learning_rate=0.125, ' * 30}")
    with style.style():
        figure, ((ax, _),) = layout.panels(2, 2.0)
        (line,) = ax.plot([0, 1], [0, 1], label="LSTM-VAE")
        layout.legend(figure, [line], notes=notes)
    (box,) = figure.legends
    *shown, last = box.get_title().get_text().split("\n")
    assert last == "and more, in report.md"
    assert shown == notes[:6]


def test_of_a_single_note_without_room_the_first_lines_are_shown() -> None:
    with style.style():
        figure, ((ax,),) = layout.panels(1, 2.0)
        (line,) = ax.plot([0, 1], [0, 1], label="LSTM-VAE")
        layout.legend(figure, [line], notes=["learning_rate=0.125, " * 60])
    (box,) = figure.legends
    *shown, last = box.get_title().get_text().split("\n")
    assert last == "and more, in report.md"
    assert len(shown) == 7
    assert all(text.startswith("learning_rate=0.125") for text in shown)
