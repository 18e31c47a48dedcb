"""A figure's SVG made part of a page: ids that no other figure has, colours that follow the page's."""

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
    "#a87900": "--c5",
    "#56b4e9": "--c6",
    "#8b5a2b": "--c7",
}
"""Colour in the figures (``analysis/figures/style.py``) -> what style.css calls it."""


def inline(svg: str, name: str, label: str) -> Markup:
    """The ``<svg>`` element for a page.

    Args:
        svg: as matplotlib wrote it.
        name: of the figure, unlike any other on the page.
        label: what a reader is told who cannot see it.
    """
    body = svg[svg.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    body = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', body)
    body = re.sub(r'(href="|url\()#([^")]+)', rf"\1#{name}-\2", body)
    for colour, variable in COLOURS.items():
        body = body.replace(colour, f"var({variable})")
    size = re.search(r'<svg[^>]*? width="([\d.]+)pt"', body)
    assert size, "matplotlib writes the width in points"
    # As wide as the page has room for, never wider than it was made for.
    width = round(float(size[1]) * 4 / 3)
    head = Markup('<svg role="img" aria-label="{}" style="--width: {}px"').format(label, width)
    body = re.sub(r'( width| height)="[\d.]+pt"', "", body, count=2)
    return Markup(head + Markup(body.removeprefix("<svg")))
