"""Warnings about tokens that are no words: other columns, markers, unknown words, attached punctuation."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from lvae_core.data.json_lines import first_object
from lvae_core.data.text_files import MAX_LENGTH, Text, import_command, tabs_problem
from lvae_core.data.vocabulary import UNKNOWN_SYMBOLS

_SIGNS = r"[<>\[\]{}_@#|%$*&/]"
"""Signs that corpora put around words which are no text."""

# <unk>, [Unk], @unk@, _UNK, <rare>. Without signs "unknown" and "rare" are words, and so is "#rare".
_UNKNOWN = re.compile(rf"(?i:{_SIGNS}+(?:unk|oov|unknown|rare){_SIGNS}+|_*(?:unk|oov))|_*UNKNOWN")

_PARTS = ("unk", "oov", "rare")
"""What each of these has in lower case."""

# <eos>, </S>, [CLS], <|endoftext|>, #end#, __eou__; and the bare words that only such corpora have there.
_MARKER = re.compile(rf"{_SIGNS}+[\w-]+?{_SIGNS}+|_[A-Z]+|[EB]OS|[eb]os")

_NEARLY_ALL = 0.9
"""Share of a split's lines above which a marker at their ends is part of the file's form."""

_PROBED = 100
"""The number of lines by which it is decided whether all lines are read for a marker."""

_ATTACHED = re.compile(r"([^\W\d_]{2,})[.!?]")

_MOSTLY = 0.5
"""Share of a split's lines above which an attached full stop is how the text is written, not an
abbreviation."""


class _Fault(NamedTuple):
    """Something that an import mends."""

    problem: str
    """Where and what, and why it matters."""
    remedy: str
    """What the import does about it."""
    options: tuple[tuple[str, str], ...]
    """Of the import."""


def marker_warnings(texts: Mapping[str, Text]) -> Iterator[str]:
    """Yield a warning for each kind of thing that the splits count as ordinary words.

    The first one that an import mends has the command that mends all of them, because two commands would
    write to the same folder.

    Args:
        texts: split -> its text.
    """
    tables = list(_table_faults(texts))
    if tables and (unlike := _unlike(texts, tables[0].options[0][1])):
        for fault in tables:
            yield f"{fault.problem}; {fault.remedy} by hand, because {unlike} is of another form"
        return
    faults = [
        *tables,
        *_edge_fault(texts, "begins", lambda line: line.partition(" ")[0]),
        *_edge_fault(texts, "ends", lambda line: line.rpartition(" ")[2]),
        *_unknown_fault(texts),
    ]
    # An import keeps one column; the other options can be repeated.
    columns = [option for fault in faults for option in fault.options if option[0] == "--column"]
    others = [option for fault in faults for option in fault.options if option[0] != "--column"]
    for fault in faults:
        if fault is faults[0]:
            if (longest := max(text.longest() for text in texts.values())) > MAX_LENGTH:
                others.append(("--max-length", str(longest)))
            words = [word for option in (*columns[:1], *dict.fromkeys(others)) for word in option]
            folder = Path(next(iter(texts.values())).source).parent
            yield f"{fault.problem}; {fault.remedy} with {import_command(folder, *words)}"
        else:
            yield f"{fault.problem}; {fault.remedy} with the command above"
    yield from _attached_warning(texts)


def _unlike(texts: Mapping[str, Text], column: str) -> str:
    """The file of the first split that lacks the column of another split, so that no import reads both."""
    for text in texts.values():
        known = first_object(text.lines)
        fits = str(text.tabs + 1) == column if known is None else column in known
        if not fits and len(text.lines) > 1:  # of a single line, nobody knows
            return text.source
    return ""


def _table_faults(texts: Mapping[str, Text]) -> Iterator[_Fault]:
    """The files that seem to be tables or JSON lines."""
    for text in texts.values():
        if text.tabs:
            yield _Fault(
                tabs_problem(text.source, text.tabs), "keep one", (("--column", str(text.tabs + 1)),)
            )
        elif known := first_object(text.lines):
            name = next((name for name, value in known.items() if isinstance(value, str)), "NAME")
            yield _Fault(
                f"{text.source}: JSON lines, whose names and marks are read as text",
                "keep the text of one name",
                (("--column", name),),
            )


def _edge_fault(texts: Mapping[str, Text], place: str, edge: Callable[[str], str]) -> Iterator[_Fault]:
    """A marker on all or nearly all lines of a split.

    Args:
        texts: see :func:`marker_warnings`.
        place: the end of the line, as a verb.
        edge: returns the token at that end of a line.
    """
    for text in texts.values():
        total = len(text.lines)
        (token, _), *_ = Counter(map(edge, text.lines[:_PROBED])).most_common(1)
        if total < 2 or not _is_marker(token, text.lines):
            continue
        if (count := sum(edge(line) == token for line in text.lines)) > _NEARLY_ALL * total:
            lines = "every line" if count == total else f"{count:,} of {total:,} lines"
            yield _Fault(
                f"{text.source}: {token} {place} {lines} and is counted as a word that costs nothing, "
                "which makes the perplexity too low",
                "remove it",
                (("--remove", token),),
            )
            return


def _is_marker(token: str, lines: Sequence[str]) -> bool:
    """Whether a token that nearly all lines begin or end with is no word or mark of a language."""
    if _UNKNOWN.fullmatch(token) or not token:
        return False
    if _MARKER.fullmatch(token):
        return True
    if token.isupper() and len(token) > 2:  # STOP
        return any(character.islower() for line in lines[:_PROBED] for character in line)
    # Symbols such as ■ and |; but not the punctuation that ends sentences.
    return all(unicodedata.category(character)[0] == "S" for character in token)


def _unknown_fault(texts: Mapping[str, Text]) -> Iterator[_Fault]:
    """Spellings of an unknown word that are ordinary words to the vocabulary."""
    counts = Counter(dict.fromkeys(UNKNOWN_SYMBOLS, 0))  # first, in their order
    for text in texts.values():
        for line in text.lines:
            # Few lines have one; a search for the characters is far quicker than a split.
            lowered = line.lower()
            if any(part in lowered for part in _PARTS):
                counts.update(filter(_UNKNOWN.fullmatch, line.split(" ")))
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
    yield _Fault(
        f"{text.source}: {listed}: an unknown word? {', '.join(others)} would be {_ordinary(others)}",
        "give all one spelling",
        tuple(("--unknown-word", spelling) for spelling in respelled),
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
