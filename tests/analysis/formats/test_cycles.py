"""Sentences that repeat words or phrases are shortened, and all others stay as they are."""

import pytest

from analysis.formats.page.cycles import merged, shortened


@pytest.mark.parametrize(
    ("text", "short"),
    [
        ("the " * 13 + "the", "the the the … (×14)"),
        ("in " + "of the " * 5 + "end", "in of the of the … (×5) end"),
        ("a b c a b c a b c", "a b c a b c a b c"),
        ("no no no yes", "no no no yes"),
        ("x x x x and y y y y y", "x x x … (×4) and y y y … (×5)"),
        ("a a b a a b a a b a a b", "a a b a a b … (×4)"),
        ("", ""),
    ],
)
def test_a_cycle_is_shown_once_with_its_count(text: str, short: str) -> None:
    assert shortened(text) == short


def test_equal_sentences_are_merged() -> None:
    assert merged(("a", "b", "a", "a")) == [("a", 3), ("b", 1)]
