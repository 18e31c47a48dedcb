"""Put a figure's SVG into a page: with unique ids, and colours that follow the light or dark scheme."""

from __future__ import annotations

import re

from markupsafe import Markup

COLOURS = {
    "#1c1c1f": "--ink",
    "#6d6d72": "--muted",
    "#e4e4e8": "--grid",
    "#fefefe": "--paper",
    "#4a4a4d": "--c0",
    "#0072b2": "--c1",
    "#d55e00": "--c2",
    "#009e73": "--c3",
    "#aa4499": "--c4",
    "#b58c45": "--c5",
    "#40178a": "--c6",
    "#257a05": "--c7",
    "#ff5878": "--c8",
    "#6a1c00": "--c9",
    "#2c70eb": "--c10",
    "#432355": "--c11",
    "#00421a": "--c12",
    "#709ba0": "--c13",
}
"""Colour of the figures (``analysis/figures/elements/style.py``) -> its variable in style.css."""


def inline(svg: str, name: str, label: str) -> Markup:
    """The ``<svg>`` element of a figure.

    Args:
        svg: the text that matplotlib wrote.
        name: the figure's name, unique on the page.
        label: a description for readers who cannot see the figure.
    """
    body = svg[svg.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    # matplotlib uses the same ids in every figure; on one page they must differ.
    body = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', body)
    body = re.sub(r'(href="|url\()#([^")]+)', rf"\1#{name}-\2", body)
    for colour, variable in COLOURS.items():
        # The page swaps the variables for a dark scheme.
        body = body.replace(colour, f"var({variable})")
    size = re.search(r'<svg[^>]*? width="([\d.]+)pt"', body)
    assert size, "matplotlib writes the width in points"
    # style.css makes it as wide as the page allows, and at most this wide.
    width = round(float(size[1]) * 4 / 3)
    head = Markup('<svg role="img" aria-label="{}" style="--width: {}px"').format(label, width)
    body = re.sub(r'( width| height)="[\d.]+pt"', "", body, count=2)
    return Markup(head + Markup(body.removeprefix("<svg")))
