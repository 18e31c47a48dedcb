"""Shorten sentences that go round in circles, as greedy decoding often does."""

from __future__ import annotations

_LONGEST = 8
"""Words of the longest cycle that is looked for."""

_FEWEST = 4
"""Repetitions from which on a cycle is shortened."""


def shortened(text: str) -> str:
    """Replace each cycle of words by its beginning and a count: ``the the the … (×14)``."""
    words, made, at = text.split(" "), [], 0
    while at < len(words):
        period, times = _cycle(words, at)
        if times >= _FEWEST:
            shown = 3 if period == 1 else 2
            made += [*words[at : at + shown * period], f"… (×{times})"]
            at += period * times
        else:
            made.append(words[at])
            at += 1
    return " ".join(made)


def merged(sentences: tuple[str, ...]) -> list[tuple[str, int]]:
    """Each sentence once, shortened, with how often it occurs."""
    return [(shortened(text), sentences.count(text)) for text in dict.fromkeys(sentences)]


def _cycle(words: list[str], at: int) -> tuple[int, int]:
    """The shortest cycle that begins at a word and repeats often enough: its words, and how often."""
    for period in range(1, _LONGEST + 1):
        cycle, times = words[at : at + period], 1
        while words[at + times * period : at + (times + 1) * period] == cycle:
            times += 1
        if times >= _FEWEST:
            return period, times
    return 1, 1
