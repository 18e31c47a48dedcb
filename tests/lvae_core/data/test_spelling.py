"""What unknown words cost when spelled out, against fractions by hand and sums over all symbols."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction
from pathlib import Path

import pytest

from lvae_core.data.corpus import load
from lvae_core.data.spelling import SpelledText, Speller
from lvae_core.data.vocabulary import Vocabulary

EDGE, SYMBOLS = 256, range(257)
TRAIN = [["ab", "ab", "the"], ["ac", "the"], ["the", "ab", "the"]]


def speller(train: list[list[str]] = TRAIN, **limits: int) -> Speller:
    return Speller(Vocabulary.build(train, **limits), train)


def test_probabilities_are_those_of_the_definition() -> None:
    """Of the training words, "ab" and "ac" are not listed, so their letters are counted, each word once."""
    q = speller(max_vocabulary=3)
    a, b, c = b"abc"
    # Symbols that follow another: a (2), b, c, the edge (2).
    unigram = {a: Fraction(3, 263), b: Fraction(2, 263), c: Fraction(2, 263), EDGE: Fraction(3, 263)}
    after_a = {s: (n + 2 * unigram.get(s, Fraction(1, 263))) / 4 for s, n in ((b, 1), (c, 1), (a, 0))}
    for symbol, expected in after_a.items():
        assert q.next_symbol(a, symbol) == pytest.approx(float(expected), rel=1e-14)
    # 'x' was never seen before another symbol.
    assert q.next_symbol(ord("x"), b) == pytest.approx(float(unigram[b]), rel=1e-14)
    first = (2 + 1 * unigram[a]) / Fraction(3)
    last = (1 + 1 * unigram[EDGE]) / Fraction(2)
    assert q.nats("ab") == pytest.approx(-math.log(float(first * after_a[b] * last)), rel=1e-14)
    # With the symbol for unknown words once in training, one of five unknown words is it.
    train = [*TRAIN, ["<unk>"]]
    q = speller(train, max_vocabulary=3)
    spelled = Fraction(4 * 2 + 1, 5 * 2 + 2) * first * after_a[b] * last
    assert q.nats("ab") == pytest.approx(-math.log(float(spelled)), rel=1e-14)
    assert q.nats("<unk>") == pytest.approx(-math.log(3 / 12), rel=1e-14)


@pytest.mark.parametrize(
    "words", [TRAIN, [["the", "é", "的", "<unk>", "x"], ["the", "the"]], [["only", "listed", "words"]]]
)
def test_next_symbols_have_probabilities_that_add_up_to_one(words: list[list[str]]) -> None:
    """Hence all words together have 1 at most, however long."""
    vocabulary = Vocabulary.build(
        words, min_count=3 if words[0][0] == "the" else 1, other_sentences=[["?"]]
    )
    q = Speller(vocabulary, words)
    for before in SYMBOLS:
        row = [q.next_symbol(before, after) for after in SYMBOLS]
        assert math.fsum(row) == pytest.approx(1, abs=1e-12)
        assert min(row) > 0


def test_a_symbol_that_is_all_unknown_words_costs_next_to_nothing() -> None:
    train = [["the", "<unk>", "the", "<unk>"]] * 500
    q = speller(train)
    assert q.nats("<unk>") == pytest.approx(-math.log(1000.5 / 1001), rel=1e-9)
    assert q.nats("new") > math.log(2002)


def test_a_symbol_that_training_does_not_have_is_spelled_and_costs_other_words_nothing() -> None:
    train = [["only", "listed", "words"]]
    q = Speller(Vocabulary.build(train, other_sentences=[["new"]]), train)
    for word in ("new", "<unk>"):
        symbols = [EDGE, *word.encode(), EDGE]
        letters = [q.next_symbol(a, b) for a, b in itertools.pairwise(symbols)]
        assert q.nats(word) == pytest.approx(-math.fsum(map(math.log, letters)), rel=1e-14)


def test_a_text_has_its_characters_and_the_sum_over_its_unknown_words() -> None:
    q = speller(max_vocabulary=3)
    text = [["the", "ab"], ["die", "的", "ab"]]
    assert q.read(text) == SpelledText(
        characters=len("the ab\ndie 的 ab\n"),
        spelling_nats=pytest.approx(2 * q.nats("ab") + q.nats("die") + q.nats("的"), rel=1e-14),
    )
    assert q.read([["the", "the"]]).spelling_nats == 0


def test_the_sizes_of_a_corpus_have_it_for_held_out_splits(tmp_path: Path) -> None:
    for split, text in {"train": "a b\na b\na b c\n", "valid": "a d\n", "test": "b\na cc c\n"}.items():
        (tmp_path / f"{split}.txt").write_text(text)
    for min_count, unknown in ((1, ["cc"]), (2, ["cc", "c"])):
        corpus = load(str(tmp_path), min_count=min_count)
        train = [["a", "b"], ["a", "b"], ["a", "b", "c"]]
        q = Speller(corpus.vocabulary, train)
        splits = corpus.sizes()["splits"]
        assert splits["test"]["characters"] == 9
        assert splits["test"]["spelling_nats"] == pytest.approx(sum(map(q.nats, unknown)), rel=1e-14)
        assert splits["valid"]["characters"] == 4
        assert "characters" not in splits["train"]


def test_without_unknown_words_nothing_is_spelled() -> None:
    test = load("topics").sizes()["splits"]["test"]
    assert test["unknown"] == test["spelling_nats"] == 0
    assert test["characters"] > 4000
