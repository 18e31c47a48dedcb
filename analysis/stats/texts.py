"""The text behind a test number: numbers over different text measure different problems.

The words of a vocabulary are a prefix of the training words ranked by count, so its size tells it, given
the data. Results from before the size was recorded are told apart by the fields that limit it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pandas as pd

_MEASURES = {
    "test_unknown": "unknown",
    "test_characters": "characters",
    "test_spelling_nats": "spelling_nats",
}
"""Column of the frame -> field of a text."""

_FIELDS = ("data_sha256", "tokens", "sentences", "min_count", "max_vocabulary")


@dataclass(frozen=True)
class Text:
    """A test split as a model sees it: its tokens, and the words that it tells apart."""

    data_sha256: str
    tokens: int
    """Predicted tokens of the test split."""
    sentences: int
    vocabulary: int | None
    """V; None if no result with these fields recorded it."""
    limits: tuple[int, int] | None
    """min_count and max_vocabulary if V is unknown, else None."""
    fields: tuple[int, int] = field(default=(1, 0), compare=False)
    """min_count and max_vocabulary of one of its runs."""
    unknown: float | None = field(default=None, compare=False)
    """Share of the test tokens that are the unknown word, if recorded."""
    characters: int | None = field(default=None, compare=False)
    """Characters of the test split; None if not recorded."""
    spelling_nats: float = field(default=0.0, compare=False)
    """Nats of its unknown words when spelled out; 0 if the characters are not recorded."""

    def matches(self, other: Text) -> bool:
        """Whether both are the same, as far as is known: the vocabulary's size decides if both have it."""
        known = self.vocabulary is not None and other.vocabulary is not None
        words = (self.vocabulary, other.vocabulary) if known else (self.fields, other.fields)
        split, others = ((t.data_sha256, t.tokens, t.sentences) for t in (self, other))
        return split == others and words[0] == words[1]

    def __str__(self) -> str:
        parts = [
            f"min_count={self.fields[0]}, max_vocabulary={self.fields[1]}"
            if self.vocabulary is None
            else f"V = {self.vocabulary:,}",
            f"{self.sentences:,} test sentences",
            f"{self.tokens:,} tokens" + ("" if self.unknown is None else f", {self.unknown:.1%} unknown"),
            f"data {self.data_sha256[:8]}",
        ]
        return ", ".join(parts)


def texts_of_runs(frame: pd.DataFrame) -> list[Text | None]:
    """The text of each finished run; None for other runs."""
    done = (frame["status"] == "done").tolist()
    rows = [tuple(row) for row in frame[list(_FIELDS)].astype(object).itertuples(index=False)]
    sizes = frame["vocabulary"].astype(object).tolist()
    measures = frame[list(_MEASURES)].astype(object).itertuples(index=False)
    # A result that recorded V tells it for all with the same fields, and the one that recorded most tells
    # the rest.
    known: dict[Hashable, dict[str, Any]] = defaultdict(dict)
    for row, size, of_row in zip(rows, sizes, measures, strict=True):
        if not pd.isna(size):
            recorded = zip(_MEASURES.values(), of_row, strict=True)
            known[row] |= {"vocabulary": int(size)} | {n: v for n, v in recorded if not pd.isna(v)}
    texts = [
        _text(row, known.get(row, {})) if is_done else None for row, is_done in zip(rows, done, strict=True)
    ]
    # Other limits that give the same vocabulary give the same text.
    complete = {text: text for text in texts if text is not None and text.characters}
    return [None if text is None else _completed(text, complete.get(text)) for text in texts]


def _completed(text: Text, same: Text | None) -> Text:
    if same is None or text.characters:
        return text
    return replace(text, characters=same.characters, spelling_nats=same.spelling_nats)


def _text(row: tuple[Any, ...], known: Mapping[str, Any]) -> Text:
    data, tokens, sentences, min_count, most = row
    limits = int(min_count), int(most)
    recorded = {"vocabulary": None, "limits": None if known else limits, **known}
    return Text(str(data), int(tokens), int(sentences), fields=limits, **recorded)
