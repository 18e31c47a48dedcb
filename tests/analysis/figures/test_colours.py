"""Readers can tell the colours of figures apart: on light and on dark paper, and without red and green.

The authorities are CIE Lab (CIE 15), the matrix of Machado et al. (2009) for deuteranopia, and the contrast
ratio of WCAG 2.
"""

import itertools
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from analysis.figures.elements import layout, naming, style
from analysis.formats.page import page
from analysis.formats.page.pictures import COLOURS
from lvae_core.systems import SYSTEMS

Values = npt.NDArray[np.float64]

TO_XYZ = np.array(
    [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
)
DEUTERANOPIA = np.array(
    [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ]
)
WHITE = TO_XYZ @ np.ones(3)

LEAST_NORMAL, LEAST_DEUTERANOPE = 20.0, 12.0
"""Distances in CIE Lab; of neighbouring colours on a map, 10 to 20 are seen at a glance."""

LEAST_OF_MARKS, LEAST_OF_TEXT = 3.0, 4.5
"""Contrast with the paper, WCAG 2.1, 1.4.11 and 1.4.3."""


def linear(colour: str) -> Values:
    values = np.array([int(colour[k : k + 2], 16) for k in (1, 3, 5)]) / 255
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def lab(rgb: Values) -> Values:
    scaled = TO_XYZ @ rgb / WHITE
    f = np.where(scaled > (6 / 29) ** 3, np.cbrt(scaled), scaled / 3 / (6 / 29) ** 2 + 4 / 29)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def as_seen(rgb: Values) -> Values:
    return rgb


def by_deuteranopes(rgb: Values) -> Values:
    return np.clip(DEUTERANOPIA @ rgb, 0, 1)


def contrast(one: str, other: str) -> float:
    low, high = sorted(float(TO_XYZ[1] @ linear(colour)) for colour in (one, other))
    return (high + 0.05) / (low + 0.05)


def schemes() -> dict[str, dict[str, str]]:
    """Each scheme of the page: variable -> colour."""
    css = Path(page.__file__).with_name("style.css").read_text()
    starts = [
        css.index(start) for start in (":root", "@media (prefers-color-scheme: dark)", "@media print")
    ]
    texts = [css[start : css.index("}", start)] for start in starts]
    light, dark, printed = (dict(re.findall(r"(--\w+): (#[0-9a-f]{3,6})\b", text)) for text in texts)
    return {"light": light, "dark": dark, "print": printed}


SCHEMES = schemes()
MARKS = [f"--c{k}" for k in range(len(style._LOOKS))]


def test_the_page_has_the_colours_of_the_figures_on_light_paper() -> None:
    assert {variable: colour for colour, variable in COLOURS.items()}.items() <= SCHEMES["light"].items()
    assert all(SCHEMES["print"][name] == SCHEMES["light"][name] for name in MARKS)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("seen", "least"), [(as_seen, LEAST_NORMAL), (by_deuteranopes, LEAST_DEUTERANOPE)])
def test_no_two_systems_have_similar_colours(
    scheme: str, seen: Callable[[Values], Values], least: float
) -> None:
    # Of all systems: variants may have the marker of any.
    assert len(MARKS) >= len(SYSTEMS)
    found = {name: lab(seen(linear(SCHEMES[scheme][name]))) for name in MARKS}
    near = {
        (one, other): round(float(np.linalg.norm(found[one] - found[other])), 1)
        for one, other in itertools.combinations(MARKS, 2)
    }
    assert {pair: distance for pair, distance in near.items() if distance < least} == {}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_marks_stand_out_from_the_paper(scheme: str) -> None:
    of_scheme = SCHEMES[scheme]
    found = {name: round(contrast(of_scheme[name], of_scheme["--paper"]), 2) for name in MARKS}
    assert {name: value for name, value in found.items() if value < LEAST_OF_MARKS} == {}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_labels_of_points_can_be_read_whatever_the_colour_of_their_mark(scheme: str) -> None:
    with style.style():
        _, ((ax,),) = layout.panels(1, 2.0)
        for colour, _ in style._LOOKS:
            naming.label(ax, "L=1", (0.5, 0.5), colour)
    labels = [child for child in ax.get_children() if isinstance(child, naming.Label)]
    assert len(labels) == len(style._LOOKS)
    for label in labels:
        shown = SCHEMES[scheme][COLOURS[str(label.get_color())]]
        assert contrast(shown, SCHEMES[scheme]["--paper"]) >= LEAST_OF_TEXT
