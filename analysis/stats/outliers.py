"""Sizes of values relative to their median, by which figures leave out what would flatten the rest."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence


def times_median(values: Iterable[float], times: float) -> float:
    """``times`` the median of the sizes of some values; of two medians the lower.

    A huge value of two must not raise the limit that it is compared with.
    """
    return times * statistics.median_low(map(abs, values))


def near_median(values: Sequence[float], times: float) -> list[float]:
    """The values up to ``times`` their median, in their order; none of none."""
    if not values:
        return []
    most = times * statistics.median(values)
    return [value for value in values if value <= most]
