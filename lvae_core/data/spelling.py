"""Unknown words spelled out, so that numbers of different vocabularies over one text can be compared.

A model of words gives an unknown word the probability of its class, which says nothing of its letters. With
a model q of the letters behind it, it is a model of the text itself:

    -log p(text) = -log p(classes) - sum over unknown words w of log q(w)        (nats)

q follows from the training text and is not learnt with the model. The sum is therefore a constant of a text
and a vocabulary: added to a bound on the first term, it gives a bound on the whole.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from lvae_core.data.vocabulary import END, Vocabulary

_EDGE = 256
"""The symbol before the first byte of a word and after its last."""

_SYMBOLS = 257


@dataclass(frozen=True)
class SpelledText:
    """The characters of a text, and the cost of its unknown words when spelled out.

    characters: those of its words, and one behind each word: a space or the end of the line.
    spelling_nats: the sum of -log q(w) over its unknown words, in nats.
    """

    characters: int
    spelling_nats: float


class Speller:
    """q(w), a distribution over the words that a vocabulary does not list.

    If the training text has a symbol for unknown words, that symbol is such a word. It has the probability
    (n + 1/2) / (N + 1), where n of the N unknown words of training are it. Any other word is spelled: its
    bytes in UTF-8 and its end, each given the byte before. This bigram is counted over the distinct
    unlisted words of training, or over the listed ones if there are none; Witten-Bell smoothing mixes it
    with the unigram, in which each of the 257 symbols has one count more. So every word has a probability
    above 0, and all together have at most 1.
    """

    def __init__(self, vocabulary: Vocabulary, sentences: Iterable[Sequence[str]]) -> None:
        """``sentences``: the training text, tokens without ``</s>``."""
        unknown = vocabulary.unknown_id
        self._symbol = None if unknown is None else vocabulary.words[unknown]
        self._listed = frozenset(vocabulary.words) - {self._symbol}
        counts = Counter(token for sentence in sentences for token in sentence if token not in self._listed)
        occurrences = counts.total()
        symbols = counts.pop(self._symbol, 0) if self._symbol else 0
        self._symbol_probability = (symbols + 0.5) / (occurrences + 1) if symbols else 0.0
        self._pairs: Counter[tuple[int, int]] = Counter()
        for word in counts or self._listed - {END}:
            self._pairs.update(pairwise(_symbols(word)))
        self._before: Counter[int] = Counter()
        self._followers: Counter[int] = Counter()
        self._after: Counter[int] = Counter()
        for (before, after), count in self._pairs.items():
            self._before[before] += count
            self._followers[before] += 1
            self._after[after] += count
        self._total = self._after.total()

    def next_symbol(self, before: int, after: int) -> float:
        """The probability that symbol ``after`` follows ``before``; 256 is the edge of a word."""
        unigram = (self._after[after] + 1) / (self._total + _SYMBOLS)
        seen, followers = self._before[before], self._followers[before]
        if not seen:
            return unigram
        return (self._pairs[before, after] + followers * unigram) / (seen + followers)

    def nats(self, word: str) -> float:
        """-log q(``word``) of an unlisted word, in nats."""
        if word == self._symbol and self._symbol_probability:
            return -math.log(self._symbol_probability)
        letters = [math.log(self.next_symbol(*pair)) for pair in pairwise(_symbols(word))]
        return -math.log1p(-self._symbol_probability) - math.fsum(letters)

    def read(self, sentences: Iterable[Sequence[str]]) -> SpelledText:
        """Count a text's characters and spell its unknown words."""
        words = Counter(token for sentence in sentences for token in sentence)
        return SpelledText(
            sum(count * (len(word) + 1) for word, count in words.items()),
            math.fsum(count * self.nats(word) for word, count in words.items() if word not in self._listed),
        )


def _symbols(word: str) -> list[int]:
    """The bytes of a word between two edges."""
    return [_EDGE, *word.encode(), _EDGE]
