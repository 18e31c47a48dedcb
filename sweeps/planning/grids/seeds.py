"""Lists of seeds as people write them: ``5``, ``5..9``, ``3,7,11``, ``0..2,7``."""

from __future__ import annotations

import re
from collections.abc import Sequence

from lvae_core.errors import InputError, check_distinct

MAX_SEEDS = 10_000
"""The largest number of seeds in a list."""

_FORMS = "give a number (5: seeds 0 to 4), a range (5..9) or a list (3,7,11)"


def parse_seeds(text: str, option: str = "--seeds") -> tuple[int, ...]:
    """The seeds that a text names.

    A single number N stands for the seeds 0 to N - 1. Otherwise numbers and ranges, both ends included,
    have commas between.

    Args:
        text: such as ``0..2,7``.
        option: where it stands, for messages.

    Raises:
        InputError: the text is no such list, or names a seed twice or too many seeds.
    """
    given = f"{option} {text}"
    if re.fullmatch("-?[0-9]{1,18}", text):
        number = int(text)
        if number < 1:
            raise InputError(f"{given}: must be at least 1")
        return tuple(range(_checked_size(number, given)))
    seeds: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*([0-9]{1,18})(?:\.\.([0-9]{1,18}))?\s*", part)
        if match is None:
            remedy = _FORMS
            if between := re.fullmatch(r"\s*([0-9]+)\s*(?:-|:|\.\.\.|\s)\s*([0-9]+)\s*", part):
                remedy = f"write {between[1]}..{between[2]}, both ends included"
            raise InputError(f"{given}: not a list of seeds; {remedy}")
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first:
            raise InputError(f"{given}: {part.strip()} is empty; write the smaller number first")
        _checked_size(len(seeds) + last - first + 1, given)
        seeds += range(first, last + 1)
    check_distinct((f"seed {seed}" for seed in seeds), given)
    return tuple(seeds)


def _checked_size(size: int, given: str) -> int:
    if size > MAX_SEEDS:
        raise InputError(f"{given}: {size:,} seeds; give at most {MAX_SEEDS:,}")
    return size


def format_seeds(seeds: Sequence[int]) -> str:
    """Some seeds as :func:`parse_seeds` reads them, as short as possible: ``0..2,7``."""
    texts = []
    ordered = sorted(set(seeds))
    while ordered:
        first = last = ordered.pop(0)
        while ordered and ordered[0] == last + 1:
            last = ordered.pop(0)
        if last - first == 1:
            texts += [str(first), str(last)]
        else:
            texts.append(str(first) if first == last else f"{first}..{last}")
    # A number that stands alone would be a number of seeds.
    return f"{texts[0]}..{texts[0]}" if len(texts) == 1 and texts[0].isdigit() else ",".join(texts)
