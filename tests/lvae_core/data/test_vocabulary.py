"""Vocabularies: which words become classes, their numbers, and the handling of unknown words."""

import pickle

import pytest

from lvae_core.data.vocabulary import Vocabulary
from lvae_core.errors import InputError


def text(*lines: str) -> list[list[str]]:
    return [line.split() for line in lines]


def test_classes_are_ordered_end_first_then_by_count_then_alphabetically() -> None:
    vocabulary = Vocabulary.build(text("b c z", "c b a", "c"))
    assert vocabulary.words == ("</s>", "c", "b", "a", "z")
    assert len(vocabulary) == vocabulary.start_id == 5
    assert vocabulary.unknown_id is None


def test_encode_appends_end_and_decode_stops_at_it() -> None:
    vocabulary = Vocabulary.build(text("a b", "a"))
    assert vocabulary.encode(["b", "a"]) == [2, 1, 0]
    assert vocabulary.encode([]) == [0]
    assert vocabulary.decode([2, 1, 0, 1, 0]) == ["b", "a"]


@pytest.mark.parametrize("reserved", ["<s>", "</s>"])
def test_reserved_words_are_refused_in_a_sentence(reserved: str) -> None:
    with pytest.raises(InputError, match="cannot contain"):
        Vocabulary.build(text("a b")).encode(["a", reserved])


@pytest.mark.parametrize(
    ("line", "symbol"), [("a <unk> b", "<unk>"), ("a _UNK b", "_UNK"), ("_UNK a <unk> b", "<unk>")]
)
def test_the_unknown_symbol_of_the_text_is_used(line: str, symbol: str) -> None:
    vocabulary = Vocabulary.build(text(line))
    assert set(vocabulary.words) == {"</s>", *line.split()}
    assert vocabulary.unknown_id == vocabulary.words.index(symbol)
    assert vocabulary.decode(vocabulary.encode(["never", "a"])) == [symbol, "a"]


def test_an_unknown_class_is_added_only_if_a_word_needs_it() -> None:
    train = text("a b", "a")
    assert Vocabulary.build(train, other_sentences=text("b a")).unknown_id is None
    vocabulary = Vocabulary.build(train, other_sentences=text("b new"))
    # Never seen in training, so it has the lowest count.
    assert vocabulary.words == ("</s>", "a", "b", "<unk>")
    assert vocabulary.unknown_id == 3


def test_the_error_without_an_unknown_class_names_the_unknown_word() -> None:
    with pytest.raises(InputError, match="'new' is not in the vocabulary"):
        Vocabulary.build(text("a b")).encode(["a", "new"])


def test_counts_of_rare_words_are_added_to_the_unknown_word() -> None:
    # b, c, d and e are cut off, so the unknown word's count is 4, more than the 3 of a.
    vocabulary = Vocabulary.build(text("a a a b c d e z z"), min_count=2)
    assert vocabulary.words == ("</s>", "<unk>", "a", "z")
    assert vocabulary.unknown_id == 1


def test_min_count_never_cuts_off_the_unknown_word() -> None:
    vocabulary = Vocabulary.build(text("a a z z <unk>"), min_count=2)
    assert vocabulary.words == ("</s>", "a", "z", "<unk>")
    assert vocabulary.unknown_id == 3


@pytest.mark.parametrize(
    ("limit", "words"),
    [
        (5, ("</s>", "a", "b", "c", "d")),  # everything fits, so nothing is unknown
        (4, ("</s>", "a", "<unk>", "b")),  # c and d, counts 2 + 1, are cut off
        (3, ("</s>", "<unk>", "a")),
    ],
)
def test_max_vocabulary_counts_end_and_the_unknown_word(limit: int, words: tuple[str, ...]) -> None:
    train = text("a a a a b b b c c d")
    assert Vocabulary.build(train, max_vocabulary=limit).words == words


def test_max_vocabulary_makes_room_for_the_unknown_class_that_other_splits_need() -> None:
    vocabulary = Vocabulary.build(text("a a b"), max_vocabulary=3, other_sentences=text("new"))
    assert vocabulary.words == ("</s>", "a", "<unk>")


@pytest.mark.parametrize("lines", [(), ("a a a", "a")])
def test_a_text_of_fewer_than_two_words_is_refused(lines: tuple[str, ...]) -> None:
    with pytest.raises(InputError, match="fewer than two different words"):
        Vocabulary.build(text(*lines))


@pytest.mark.parametrize(("min_count", "max_vocabulary"), [(9, 0), (1, 2)])
def test_limits_that_leave_one_word_are_refused(min_count: int, max_vocabulary: int) -> None:
    with pytest.raises(InputError, match=r"min_count = \d and max_vocabulary = \d leave"):
        Vocabulary.build(text("a b b c"), min_count, max_vocabulary)


def test_a_vocabulary_can_be_pickled() -> None:
    vocabulary = Vocabulary.build(text("a b <unk>"))
    vocabulary.encode(["a"])
    back = pickle.loads(pickle.dumps(vocabulary))
    assert back == vocabulary
    assert back.encode(["x", "b"]) == vocabulary.encode(["x", "b"])
