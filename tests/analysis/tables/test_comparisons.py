"""p-values as tables print them."""

from __future__ import annotations

import pytest

from analysis.tables.comparisons import p_text


@pytest.mark.parametrize(
    ("p", "text"),
    [
        (None, None),
        (0.00005, "<0.0001"),
        (0.0078125, "0.0078"),
        (0.0625, "0.062"),
        (1.0, "1"),
        # The verdict depends on the side of 0.05 that p lies on, so no other p is printed as 0.05.
        (0.05, "0.05"),
        (0.0503, "0.0503"),
        (0.0496, "0.0496"),
        (0.05001, "0.05001"),
    ],
)
def test_a_p_value_has_the_digits_that_show_its_side_of_the_level(
    p: float | None, text: str | None
) -> None:
    assert p_text(p) == text
