"""Real English without a download: the language reference that every CPython carries.

``pydoc_data.topics`` holds chapters of the language reference as plain text. Its prose is split into
sentences and tokenised like the Penn Treebank: lower case, punctuation and clitics (``n't``, ``'s``) as
separate tokens, ``N`` for a number. The text, and with it the content hash, differs between versions of
CPython.
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
    """Read one of the three splits: 80%, 10% and 10% of the sentences."""
    return _all()[split]


@cache
def _all() -> dict[str, Text]:
    # Imported here: 460 kB of text that only this dataset needs, and that a stripped-down Python may lack.
    try:
        from pydoc_data.topics import topics
    except ImportError:
        raise InputError(
            "dataset pydocs: this Python lacks the standard library's pydoc_data; install a complete Python"
        ) from None

    lines: dict[str, list[str]] = {split: [] for split in SPLITS}
    # Chapters repeat paragraphs; a dictionary keeps one copy of each sentence, in order.
    sentences = dict.fromkeys(s for name in sorted(topics) for s in sentences_of(topics[name]))
    for sentence in sentences:
        lines[_split_of(sentence)].append(sentence)
    return {split: from_lines(lines[split], f"pydocs {split}") for split in SPLITS}


def sentences_of(document: str) -> Iterator[str]:
    """Yield the tokenised sentences of a plain-text document, with single spaces between tokens."""
    for paragraph in paragraphs(document):
        for sentence in _SENTENCE_END.sub(r"\1\n", paragraph).split("\n"):
            tokens = tokenize(sentence)
            if MIN_TOKENS <= len(tokens) <= MAX_TOKENS:
                yield " ".join(tokens)


def paragraphs(document: str) -> Iterator[str]:
    """Yield the paragraphs of prose, each as one line, without code, grammar, tables and headings."""
    for block in re.split(r"\n\s*\n", document):
        lines = block.strip("\n").split("\n")
        if any(_UNDERLINE.fullmatch(line) for line in lines) or "::=" in block:
            continue
        first, *rest = lines
        bullet = _BULLET.match(first.lstrip())
        if bullet:
            lines = [first.lstrip()[bullet.end() :], *rest]
        elif rest and _indent(first) < _indent(rest[0]):
            # The first line is a term or a signature; the indented lines explain it.
            lines = rest
        # Lines of prose have one indentation; several lines of code seldom do.
        if len({_indent(line) for line in (rest if bullet else lines)}) > 1:
            continue
        # Undo line breaks after a hyphen.
        text = re.sub(r"(?<=[a-z]-) (?=[a-z])", "", " ".join(line.strip() for line in lines))
        text = _FOOTNOTE.sub("", text)
        yield _LABEL.sub("", _VERSION.sub("", text))


def tokenize(sentence: str) -> list[str]:
    """Tokenise a sentence; [] if it is a fragment or contains code beyond single names."""
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
