"""Values beyond a multiple of the median."""

import pytest

from analysis.stats.outliers import near_median, times_median


@pytest.mark.parametrize(
    ("values", "limit"), [([2.0], 6.0), ([2.0, 1e9], 6.0), ([-5.0, 1.0, 4.0], 12.0), ([0.0], 0.0)]
)
def test_a_limit_is_a_multiple_of_the_lower_median_of_sizes(values: list[float], limit: float) -> None:
    assert times_median(values, 3) == limit


def test_values_far_above_the_median_are_left_out() -> None:
    assert near_median([100.0, 2000.0, 90.0, 110.0], 10) == [100.0, 90.0, 110.0]
    assert near_median([1.0, 10.0, 1.0], 10) == [1.0, 10.0, 1.0]
    assert near_median([], 10) == []
