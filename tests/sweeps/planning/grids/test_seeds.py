from __future__ import annotations

import random

import pytest

from lvae_core.errors import InputError
from sweeps.planning.grids.seeds import format_seeds, parse_seeds


@pytest.mark.parametrize(
    ("text", "seeds"),
    [
        ("1", (0,)),
        ("5", (0, 1, 2, 3, 4)),
        ("5..9", (5, 6, 7, 8, 9)),
        ("7..7", (7,)),
        ("3,7,11", (3, 7, 11)),
        ("0..2,7", (0, 1, 2, 7)),
        ("7, 0..2", (7, 0, 1, 2)),
        ("999999999999999999..999999999999999999", (10**18 - 1,)),
    ],
)
def test_seeds_are_a_number_a_range_or_a_list(text, seeds):
    assert parse_seeds(text) == seeds


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0", "--seeds 0: must be at least 1"),
        ("-1", "--seeds -1: must be at least 1"),
        ("", "--seeds : not a list of seeds; give a number (5: seeds 0 to 4), a range (5..9)"),
        ("five", "not a list of seeds; give a number"),
        ("1.5", "not a list of seeds"),
        ("3,", "not a list of seeds"),
        ("-1..3", "not a list of seeds"),
        ("5-9", "write 5..9, both ends included"),
        ("5...9", "write 5..9, both ends included"),
        ("5:9", "write 5..9, both ends included"),
        ("9..5", "9..5 is empty; write the smaller number first"),
        ("3,3", "seed 3 is given twice"),
        ("0..4,2", "seed 2 is given twice"),
        ("100000000", "100,000,000 seeds; give at most 10,000"),
        ("0..99999999", "100,000,000 seeds; give at most 10,000"),
        ("0..5000,6000..11000", "10,002 seeds; give at most 10,000"),
        ("1000000000000000000", "not a list of seeds"),
    ],
)
def test_other_texts_are_refused_in_one_line(text, message):
    with pytest.raises(InputError) as caught:
        parse_seeds(text)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_formatted_seeds_are_read_again():
    assert format_seeds((4, 0, 1, 2)) == "0..2,4"
    assert format_seeds((3,)) == "3..3"
    assert format_seeds((3, 4)) == "3,4"
    source = random.Random(1)
    for _ in range(200):
        seeds = tuple(sorted(source.sample(range(30), source.randint(1, 12))))
        assert parse_seeds(format_seeds(seeds)) == seeds
