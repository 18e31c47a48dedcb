"""Values of config fields as text, in labels and as ``--set`` takes them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from lvae_core.settings import format_value

_MOST_ROUNDED = 1000.0
"""Larger values keep all digits in labels, which 4 would turn into powers of ten."""


def field_texts(values: Iterable[Any]) -> dict[Any, str]:
    """Texts of a field's values: numbers with 4 significant digits, if that still tells them apart."""
    exact = {value: field_text(value) for value in values}
    short = {
        value: f"{value:.4g}" if isinstance(value, float) and abs(value) < _MOST_ROUNDED else text
        for value, text in exact.items()
    }
    return short if len(set(short.values())) == len(set(exact.values())) else exact


def field_text(value: Any) -> str:
    """A config value in the form that ``--set`` takes; "?" if unknown."""
    return "?" if value is None else format_value(value)


def numbers_first(text: str) -> tuple[float, str]:
    """Sort key for the values of a field: numbers by size, then words."""
    try:
        return float(text), ""
    except ValueError:
        return math.inf, text
