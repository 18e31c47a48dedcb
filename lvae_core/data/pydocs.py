"""Real English with no download: the reference text that every CPython carries.

``pydoc_data.topics`` holds the chapters of the language reference, rendered as plain text. Its prose is
cut into sentences and tokenised in the manner of the Penn Treebank: lower case, punctuation and clitics
(``n't``, ``'s``) apart, ``N`` for a number. The text differs between versions of CPython, and so then
does the content hash.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from functools import cache

from lvae_core.data.text_files import SPLITS, Text, from_lines
from lvae_core.errors import InputError

MIN_TOKENS, MAX_TOKENS = 3, 60

_BULLET = re.compile(r"(\*|\d+\.|\[\d+\])\s+")
_UNDERLINE = re.compile(r"\s*([*=~^#-])\1+\s*")
_VERSION = re.compile(r"(New|Added|Changed|Deprecated|Removed)\b[^:.]*\bversion [\d., ]*\d[^:.]*[:.]\s*")
_LABEL = re.compile(r"(\*\*[\w ]+:\*\*|Note:|Warning:|See also:)\s+")
_SENTENCE_END = re.compile(r"(?<!e\.g)(?<!i\.e)(?<!etc)(?<!cf)(?<!vs)([.?!][\")'’]?)\s+(?=\(?[A-Z]|[\"*])")
_NAME = r"[A-Za-z_][\w-]*(?:\.[A-Za-z_]\w*)*"
_QUOTED_NAMES = re.compile(rf"\"('?)({_NAME}(?: [a-z]+)*)(?:\(\))?\1\"")
_EMPHASIS = re.compile(r"(\*{1,2})(\w[^*\s]*(?: [^*\s]+)*)\1")
_SINGLE_QUOTES = re.compile(r"(?<!\w)'(\w[^']*)(?:'(?!\w)|$)")
_FOOTNOTE = re.compile(r"\s*\[\d+\]")
_NUMBER = re.compile(r"(?<!\w)[-+]?(?:0x[0-9a-f]+|\d+(?:[.,](?:\d+|x\b))*)(?!\w)")
_TOKEN = re.compile(
    rf"""
    N(?:-\w+)*(?!\w) | e\.g\. | i\.e\. | etc\.         # a number, also as in N-bit; abbreviations
    | \w+(?=n't\b) | n't\b | '(?:s|re|ve|ll|d|m)\b     # do n't, it 's
    | {_NAME} | \.\.\. | \w+ | [^\w\s]                 # a word or a dotted name; punctuation
    """,
    re.VERBOSE,
)
_PROSE = re.compile(r"[\w\s.,;:?!()'/-]+")


def read(split: str) -> Text:
    """One of the three splits: eight tenths, one and one of the sentences."""
    return _all()[split]


@cache
def _all() -> dict[str, Text]:
    # 460 kB of text that only this dataset needs, and that a stripped-down Python may lack.
    try:
        from pydoc_data.topics import topics
    except ImportError:
        raise InputError(
            "dataset pydocs: this Python lacks pydoc_data of the standard library; install it in full"
        ) from None

    lines: dict[str, list[str]] = {split: [] for split in SPLITS}
    # Chapters repeat each other's paragraphs; a dictionary keeps the first of each sentence.
    sentences = dict.fromkeys(s for name in sorted(topics) for s in sentences_of(topics[name]))
    for sentence in sentences:
        lines[_split_of(sentence)].append(sentence)
    return {split: from_lines(lines[split], f"pydocs {split}") for split in SPLITS}


def sentences_of(document: str) -> Iterator[str]:
    """The tokenised sentences of a plain-text document, tokens between single spaces."""
    for paragraph in paragraphs(document):
        for sentence in _SENTENCE_END.sub(r"\1\n", paragraph).split("\n"):
            tokens = tokenize(sentence)
            if MIN_TOKENS <= len(tokens) <= MAX_TOKENS:
                yield " ".join(tokens)


def paragraphs(document: str) -> Iterator[str]:
    """The paragraphs of prose, each on one line; code, grammar, tables, headings and terms left out."""
    for block in re.split(r"\n\s*\n", document):
        lines = block.strip("\n").split("\n")
        if any(_UNDERLINE.fullmatch(line) for line in lines) or "::=" in block:
            continue
        first, *rest = lines
        bullet = _BULLET.match(first.lstrip())
        if bullet:
            lines = [first.lstrip()[bullet.end() :], *rest]
        elif rest and _indent(first) < _indent(rest[0]):
            # The first line is a term or a signature, and what follows explains it.
            lines = rest
        # Prose is set flush; code seldom is for long.
        if len({_indent(line) for line in (rest if bullet else lines)}) > 1:
            continue
        # A line may have been broken after a hyphen.
        text = re.sub(r"(?<=[a-z]-) (?=[a-z])", "", " ".join(line.strip() for line in lines))
        text = _FOOTNOTE.sub("", text)
        yield _LABEL.sub("", _VERSION.sub("", text))


def tokenize(sentence: str) -> list[str]:
    """The tokens of a sentence, [] where it is none: a fragment, or one with code beyond single names."""
    if not re.match(r"[A-Z(\"*]", sentence) or "://" in sentence:
        return []
    text = sentence.translate({0x2018: "'", 0x2019: "'", 0x201C: None, 0x201D: None})
    text = _QUOTED_NAMES.sub(r"\2", text)
    text = _EMPHASIS.sub(r"\2", text)
    text = _SINGLE_QUOTES.sub(r"\1", text)
    if not re.search(r"[\w)][.?!]\)?$", text) or not _PROSE.fullmatch(text):
        return []
    return _TOKEN.findall(_NUMBER.sub("N", text.lower()))


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _split_of(sentence: str) -> str:
    tenth = int.from_bytes(hashlib.sha256(sentence.encode()).digest()[:8], "big") % 10
    return {0: "valid", 1: "test"}.get(tenth, "train")
