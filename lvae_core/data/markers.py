"""Warnings about tokens that are no words: markers, spellings of an unknown word, attached punctuation."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from lvae_core.data.text_files import Text, import_command
from lvae_core.data.vocabulary import UNKNOWN_SYMBOLS

SPELLINGS = (*UNKNOWN_SYMBOLS, "<UNK>", "[UNK]", "UNK", "<oov>", "<OOV>")
"""Tokens that corpora use for an unknown word; the vocabulary knows the first ones only."""

# <eos>, </S>, [CLS], <|endoftext|>; and the bare words that only such corpora put on every line.
_MARKER = re.compile(r"<\|?/?\w+\|?>|\[/?\w+\]|[EB]OS|[eb]os|_[EB]OS")

_ATTACHED = re.compile(r"([^\W\d_]{2,})[.!?]")

_MOSTLY = 0.5
"""Share of a split's lines above which an attached full stop is how the text is written, not an
abbreviation."""


def marker_warnings(texts: Mapping[str, Text]) -> Iterator[str]:
    """Yield a warning for each kind of marker that the splits count as ordinary words.

    Args:
        texts: split -> its text.
    """
    yield from _edge_warning(texts, "begins", lambda line: line.partition(" ")[0])
    yield from _edge_warning(texts, "ends", lambda line: line.rpartition(" ")[2])
    yield from _unknown_warning(texts)
    yield from _attached_warning(texts)


def _edge_warning(texts: Mapping[str, Text], place: str, edge: Callable[[str], str]) -> Iterator[str]:
    """The warning about a marker on every line of a split.

    Args:
        texts: see :func:`marker_warnings`.
        place: the end of the line, as a verb.
        edge: returns the token at that end of a line.
    """
    for text in texts.values():
        token = edge(text.lines[0])
        if len(text.lines) < 2 or token in SPELLINGS or not _MARKER.fullmatch(token):
            continue
        if all(edge(line) == token for line in text.lines):
            yield (
                f"{text.source}: {token} {place} every line and is counted as a word that costs nothing, "
                f"which makes the perplexity too low; remove it with {_command(text, '--remove', token)}"
            )
            return


def _unknown_warning(texts: Mapping[str, Text]) -> Iterator[str]:
    """The warning about spellings of an unknown word that are ordinary words to the vocabulary."""
    counts = dict.fromkeys(SPELLINGS, 0)
    for text in texts.values():
        for spelling in SPELLINGS:
            # Few lines have one; a search for the characters is far quicker than a split.
            counts[spelling] += sum(
                line.split(" ").count(spelling) for line in text.lines if spelling in line
            )
    found = [spelling for spelling, count in counts.items() if count]
    # By the rule of Vocabulary.build: the first symbol of the training text is the unknown word. Where that
    # text is missing, another split has to do.
    text = next(iter(texts.values()))
    lines = texts.get("train", text).lines
    known = [s for s in UNKNOWN_SYMBOLS if any(s in line.split(" ") for line in lines if s in line)]
    others = [spelling for spelling in found if spelling != (*known, UNKNOWN_SYMBOLS[0])[0]]
    if not others:
        return
    listed = ", ".join(f"{spelling} ({counts[spelling]:,} times)" for spelling in found)
    # An import writes the first symbol, beside which all others would be ordinary words.
    respelled = [spelling for spelling in found if spelling != UNKNOWN_SYMBOLS[0]]
    options = [word for spelling in respelled for word in ("--unknown-word", spelling)]
    yield (
        f"{text.source}: {listed}: an unknown word? {', '.join(others)} would be {_ordinary(others)}; "
        f"give all one spelling with {_command(text, *options)}"
    )


def _attached_warning(texts: Mapping[str, Text]) -> Iterator[str]:
    """The warning about text that is not tokenised: most lines end with punctuation attached to a word."""
    for text in texts.values():
        found = [m for line in text.lines if (m := _ATTACHED.fullmatch(line.rpartition(" ")[2]))]
        if len(text.lines) > 1 and len(found) > _MOSTLY * len(text.lines):
            yield (
                f"{text.source}: {len(found) / len(text.lines):.0%} of its lines end with punctuation that "
                f"is attached to a word, which makes {found[0][0]!r} and {found[0][1]!r} two words; put a "
                "blank before punctuation"
            )
            return


def _ordinary(words: list[str]) -> str:
    return "an ordinary word" if len(words) == 1 else "ordinary words"


def _command(text: Text, *options: str) -> str:
    return import_command(Path(text.source).parent, *options)
