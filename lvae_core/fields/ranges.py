"""The ranges of config fields that are numbers, as fields declare them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple


class Range(NamedTuple):
    """A condition on a field's value."""

    text: str
    """What the value must be, in the words of a message."""
    holds: Callable[[Any], bool]
    part: str = "every run"
    """The part, one of ``lvae_core.fields.parts.PARTS``, with which the field must have it."""


def at_least(least: float, why: str = "", *, part: str = "every run") -> Range:
    """Make the range from ``least`` on; ``why`` is added to its text."""
    return Range(f"at least {least:.15g}{why}", lambda value: value >= least, part)


def at_most(most: float) -> Range:
    """Make the range up to ``most``."""
    return Range(f"at most {most:,.15g}", lambda value: value <= most)


def none_or(none: str, range_: Range) -> Range:
    """Make a range that holds 0, too; ``none`` is how its text names 0."""
    return Range(f"{none} or {range_.text}", lambda value: value == 0 or range_.holds(value))


FROM_0 = Range("0 or more", lambda value: value >= 0)
ABOVE_0 = Range("above 0", lambda value: value > 0)
SHARE = Range("in [0, 1]", lambda value: 0 <= value <= 1)
BELOW_1 = Range("in [0, 1)", lambda value: 0 <= value < 1)
FACTOR = Range("in (0, 1]", lambda value: 0 < value <= 1)

# Beyond them float32 or indices overflow, and a run fails for a reason that does not name the field.
MOST_COUNT, MOST_NUMBER = at_most(10**9), at_most(1e30)

MOST_DRAWS = at_most(100_000)
"""Draws per sentence. It only catches slips: a run would take weeks."""

COUNT = (at_least(1), MOST_COUNT)
COUNT_FROM_0 = (FROM_0, MOST_COUNT)
NUMBER_FROM_0 = (FROM_0, MOST_NUMBER)
NUMBER_ABOVE_0 = (ABOVE_0, MOST_NUMBER)
