"""Held-out words that training never has: the warning, its remedy, and the default of new runs."""

from dataclasses import replace
from pathlib import Path

import pytest

from lvae_core.config import RunConfig
from lvae_core.data.corpus import load, load_for, load_new
from lvae_core.data.datasets import SHIPPED
from lvae_core.data.describe import describe
from lvae_core.data.unknown import unseen_words
from lvae_core.systems import recipe


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Text whose validation has 1 unseen word of 4 predicted tokens, its test 2 of 5."""
    path = tmp_path / "mine"
    path.mkdir()
    (path / "train.txt").write_text("a b a\nc a\nb\n")
    (path / "valid.txt").write_text("new b a\n")
    (path / "test.txt").write_text("newer newest b a\n")
    return path


def of_folder(path: Path) -> RunConfig:
    return recipe("lstm-lm", dataset=str(path))


def test_a_warning_gives_the_share_of_unseen_words_and_the_remedy(folder: Path) -> None:
    (line,) = load(str(folder)).warnings
    assert line.startswith(
        f"{folder}/train.txt: 25.0% of the tokens of valid and 40.0% of test are words that training never"
    )
    assert "; min_count=2 lets the rarest words" in line
    assert describe(str(folder))["warnings"] == [line]
    # The remedy removes it: c, seen once, is the unknown word.
    assert load(str(folder), min_count=2).warnings == ()
    assert (load(str(folder), min_count=2).train.tokens == 3).sum() == 1


def test_the_remedy_makes_the_rarest_word_unknown(folder: Path) -> None:
    (folder / "train.txt").write_text("a b a\nb a\nb a\n")
    (line,) = load(str(folder)).warnings
    assert "; min_count=4 lets" in line
    assert load(str(folder), min_count=4).unseen is None


def test_the_shipped_corpora_need_no_warning_with_their_recipes() -> None:
    for name in SHIPPED:
        assert load_for(recipe("lstm-lm", dataset=name), data_dir=None).warnings == ()
        assert describe(name)["warnings"] == []
    assert load("pydocs").unseen is not None


@pytest.mark.parametrize(
    ("split", "content"),
    [("train", "a b a\nc <unk>\nb\n"), ("train", "a b a\nc _UNK\nb\n"), ("both", "a b\n")],
)
def test_no_warning_if_training_shows_the_class_often_enough_or_no_word_needs_it(
    folder: Path, split: str, content: str
) -> None:
    for name in ("valid", "test") if split == "both" else (split,):
        (folder / f"{name}.txt").write_text(content)
    corpus = load(str(folder))
    assert (corpus.unseen, corpus.warnings) == (None, ())
    assert describe(str(folder))["warnings"] == []
    config = of_folder(folder)
    assert load_new(config, data_dir=None)[0] == config


def test_a_split_without_unseen_words_is_not_in_the_warning(folder: Path) -> None:
    (folder / "valid.txt").write_text("a\n")
    (line,) = load(str(folder)).warnings
    assert ": 40.0% of the tokens of test are words" in line


def large(folder: Path, shown: str, held_out: str) -> Path:
    """Write 4,000 tokens to train on, the last of them the two words of ``shown``; the others as given."""
    (folder / "train.txt").write_text("a b a\n" * 999 + f"b {shown}\n")
    for name in ("valid", "test"):
        (folder / f"{name}.txt").write_text(held_out)
    return folder


@pytest.mark.parametrize("symbol", ["<unk>", "_UNK"])
def test_one_unknown_word_in_training_does_not_switch_the_protection_off(folder: Path, symbol: str) -> None:
    large(folder, f"c {symbol}", "new b a\n" * 3 + "a\n")  # of 14 tokens, 3
    (folder / "test.txt").write_text("new b a b\n")
    (line,) = load(str(folder)).warnings
    assert line == (
        f"{folder}/train.txt: 21.4% of the tokens of valid and 20.0% of test are unknown words, but only "
        "under 0.1% of train, so the model is tested on an unknown word that it has seldom seen; "
        "min_count=2 lets the rarest words of training be unknown, too"
    )
    assert describe(str(folder))["warnings"] == [line]
    config, corpus = load_new(of_folder(folder), data_dir=None)
    assert config == replace(of_folder(folder), min_count=2)
    # c has become unknown, which is still too seldom, and the warning says so.
    assert corpus.sizes()["splits"]["train"]["unknown"] == 2 / 4000
    assert corpus.unseen is not None
    assert corpus.unseen.train == 2 / 4000


def test_the_unknown_word_is_not_the_rarest_word_that_can_become_unknown(folder: Path) -> None:
    large(folder, "a <unk>", "new b a\n")  # b 1,000 times
    (line,) = load(str(folder)).warnings
    assert "; min_count=1000 lets" not in line
    assert "; min_count=1001 lets" in line
    assert describe(str(folder))["warnings"] == [line]
    assert load_new(of_folder(folder), data_dir=None)[0] == of_folder(folder)


@pytest.mark.parametrize(
    ("train", "held_out", "seldom"),
    [
        (0.0, 0.0, False),
        (0.0, 0.0001, True),
        (0.0009, 0.02, True),  # about Yelp of 10,000 sentences
        (0.001, 0.01, True),
        (0.001, 0.0099, False),
        (0.0001, 0.0049, False),
        (0.0001, 0.005, True),
        (0.048, 0.045, False),  # about Penn Treebank
    ],
)
def test_training_shows_the_class_too_seldom_if_another_split_has_ten_times_its_share(
    train: float, held_out: float, seldom: bool
) -> None:
    for rates in ({"valid": held_out, "test": train}, {"valid": train, "test": held_out}):
        found = unseen_words({"train": train, **rates}, [9, 1, 3], 2)
        assert (found is not None) == seldom
    assert unseen_words({"valid": 0.1, "test": 0.1}, [9, 1, 3], 2) is None


def test_the_rarest_word_is_neither_the_end_of_a_sentence_nor_unknown_nor_absent() -> None:
    rates = {"train": 0.0, "valid": 0.1, "test": 0.1}
    found = unseen_words(rates, [1, 7, 2, 5, 0], 2)
    assert found is not None
    assert found.rarest == 5
    assert unseen_words(rates, [3, 0, 2], 2) is None


def test_a_new_run_over_such_a_folder_trains_its_unknown_word(folder: Path) -> None:
    config, corpus = load_new(of_folder(folder), data_dir=None)
    assert config == replace(of_folder(folder), min_count=2)
    assert corpus.warnings == ()
    assert corpus.data_sha256 == load_for(of_folder(folder), data_dir=None).data_sha256
    assert corpus.vocabulary.words == load_for(config, data_dir=None).vocabulary.words


def test_a_new_run_keeps_its_words_if_min_count_would_not_help_or_leave_too_few(folder: Path) -> None:
    for train in ("a b a\nb a\nb\n", "a c\n"):  # no word seen once, and no other words
        (folder / "train.txt").write_text(train)
        config, corpus = load_new(of_folder(folder), data_dir=None)
        assert config.min_count == 1
        assert corpus.unseen is not None
    named = RunConfig(dataset="toy", min_count=1)
    assert load_new(named, data_dir=None)[0] == named
