"""The vocabulary: the tokens that are classes of the softmax, and their numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from lvae_core.errors import InputError

END = "</s>"
START = "<s>"
UNKNOWN_SYMBOLS = ("<unk>", "_UNK")
"""Symbols that corpora use for an unknown word; in a text with both, the first one counts."""


@dataclass(frozen=True)
class Vocabulary:
    """The V classes of the softmax and their numbers.

    ``words[i]`` has number i: 0 is ``</s>``, then words by descending count in the training text, ties in
    alphabetical order. ``unknown_id`` is the class of all words not listed; None if every word of every
    split is listed. ``<s>`` has number V: an input, never a class, so an embedding has V + 1 rows.
    """

    words: tuple[str, ...]
    unknown_id: int | None

    def __len__(self) -> int:
        return len(self.words)

    @property
    def start_id(self) -> int:
        """The number of ``<s>``, V."""
        return len(self.words)

    @cached_property
    def _ids(self) -> dict[str, int]:
        return {word: i for i, word in enumerate(self.words)}

    def encode(self, tokens: Sequence[str]) -> list[int]:
        """Class numbers of ``tokens``, followed by that of ``</s>``.

        Raises:
            InputError: a token is ``<s>`` or ``</s>``, or is unknown and there is no unknown class.
        """
        if END in tokens or START in tokens:
            raise InputError(f"a sentence cannot contain {START} or {END}: remove it")
        lookup, unknown = self._ids.get, self.unknown_id
        ids = [lookup(token, unknown) for token in tokens]
        known = [i for i in ids if i is not None]
        if len(known) < len(ids):
            raise InputError(
                f"word {tokens[ids.index(None)]!r} is not in the vocabulary, which has no unknown word; "
                "use only words of the training text"
            )
        known.append(0)
        return known

    def unlisted(self, tokens: Iterable[str]) -> list[str]:
        """The distinct tokens that are not listed, in order: to :meth:`encode` they are unknown words."""
        return [token for token in dict.fromkeys(tokens) if token not in self._ids]

    def decode(self, ids: Iterable[int]) -> list[str]:
        """The words of ``ids`` before the first ``</s>``; padding is 0 as well, so it is dropped."""
        words: list[str] = []
        for i in ids:
            if i == 0:
                break
            words.append(self.words[i])
        return words

    @staticmethod
    def build(
        sentences: Iterable[Sequence[str]],
        min_count: int = 1,
        max_vocabulary: int = 0,
        *,
        other_sentences: Iterable[Sequence[str]] = (),
    ) -> Vocabulary:
        """Build the vocabulary of a training text.

        The unknown word is the one in the training text (see ``UNKNOWN_SYMBOLS``). A text without one gets
        the class ``<unk>`` only if some word needs it. Words that are cut off add to the unknown word's
        count.

        Args:
            sentences: the training text, tokens without ``</s>``.
            min_count: words seen less often become the unknown word.
            max_vocabulary: largest V, ``</s>`` and the unknown word included; 0: no limit.
            other_sentences: validation and test text. It only decides whether an unknown class is needed
                for a word that does not occur in training.

        Raises:
            InputError: fewer than two words are left besides ``</s>``.
        """
        counts = Counter(token for sentence in sentences for token in sentence)
        types = len(counts)
        symbol = next((s for s in UNKNOWN_SYMBOLS if s in counts), None)
        needed = symbol is not None or any(t not in counts for s in other_sentences for t in s)
        unknown = symbol or UNKNOWN_SYMBOLS[0]
        unknown_count = counts.pop(unknown, 0)

        ranked = sorted(counts, key=lambda word: (-counts[word], word))
        kept = [word for word in ranked if counts[word] >= min_count]
        needed = needed or len(kept) < len(ranked)
        if max_vocabulary and 1 + len(kept) + needed > max_vocabulary:
            needed = True
            kept = kept[: max_vocabulary - 2]
        if needed:
            unknown_count += sum(counts[word] for word in ranked[len(kept) :])
            kept.append(unknown)
            counts[unknown] = unknown_count
            kept.sort(key=lambda word: (-counts[word], word))
        if types < 2:
            raise InputError("the text has fewer than two different words: give a larger training text")
        if len(kept) < 2:
            raise InputError(
                f"min_count = {min_count} and max_vocabulary = {max_vocabulary} leave a vocabulary of one "
                "word: lower min_count or raise max_vocabulary"
            )
        words = (END, *kept)
        return Vocabulary(words, words.index(unknown) if needed else None)
