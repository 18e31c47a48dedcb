"""Corpora from files: encoding, the published counts, content hashes and refused input."""

import hashlib
import os
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lvae_core.config import RunConfig
from lvae_core.data import datasets
from lvae_core.data.corpus import Corpus, Split, load, load_for
from lvae_core.data.describe import describe
from lvae_core.errors import InputError
from lvae_core.systems import recipe

ROOT = Path(__file__).parents[3]
PLACES = (os.environ.get("LVAE_DATA_DIR", ""), ROOT / "data", ROOT.parent / "shared" / "data")
REAL = next((place for place in map(Path, filter(None, PLACES)) if place.is_dir()), ROOT / "data")
"""The folder of real corpora, in the checkout or shared by several, if there is one."""


def needs_corpus(name: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(
        not (REAL / name / "test.txt").is_file(),
        reason=f"set LVAE_DATA_DIR to the folder of {name}/",
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "small"
    path.mkdir()
    (path / "train.txt").write_text("a b a\nc a\nb\n")
    (path / "valid.txt").write_text("c\n")
    (path / "test.txt").write_text("b new a\n")
    return path


def test_sentences_are_encoded_and_concatenated(folder: Path) -> None:
    corpus = load(str(folder))
    assert corpus.name == "small"
    assert corpus.vocabulary.words == ("</s>", "a", "b", "c", "<unk>")
    assert corpus.train.tokens.tolist() == [1, 2, 1, 0, 3, 1, 0, 2, 0]
    assert corpus.train.offsets.tolist() == [0, 4, 7, 9]
    assert corpus.train.lengths.tolist() == [4, 3, 2]
    assert (len(corpus.train), corpus.train.num_tokens) == (3, 9)
    assert corpus.test.sentence(0).tolist() == [2, 4, 1, 0]
    assert corpus.train.tokens.dtype == np.int32
    assert corpus.train.offsets.dtype == corpus.train.lengths.dtype == np.int64
    (unseen,) = corpus.warnings
    assert "25.0% of test are words that training never has" in unseen.replace("the tokens of ", "")


def test_the_content_hash_is_the_hash_of_the_hashes_of_the_files(folder: Path) -> None:
    hexes = {
        split: hashlib.sha256((folder / f"{split}.txt").read_bytes()).hexdigest()
        for split in ("train", "valid", "test")
    }
    listing = f"train {hexes['train']}\nvalid {hexes['valid']}\ntest {hexes['test']}\n"
    before = load(str(folder)).data_sha256
    assert before == hashlib.sha256(listing.encode()).hexdigest()
    (folder / "valid.txt").write_text("a\n")
    assert load(str(folder)).data_sha256 != before


def test_generated_splits_have_the_hash_of_the_equivalent_files(tmp_path: Path) -> None:
    for split in datasets.SPLITS:
        content = "".join(f"{line}\n" for line in datasets.read("toy", split).lines)
        (tmp_path / f"{split}.txt").write_text(content)
    assert load(str(tmp_path)).data_sha256 == load("toy").data_sha256


def test_the_fields_of_a_config_limit_what_is_loaded(folder: Path) -> None:
    config = RunConfig(dataset=str(folder), min_count=2, max_length=9)
    assert load_for(config, data_dir=None).vocabulary.words == ("</s>", "a", "b", "<unk>")
    limited = RunConfig(dataset=str(folder), max_vocabulary=3)
    assert load_for(limited, data_dir=None).vocabulary.words == ("</s>", "<unk>", "a")
    with pytest.raises(InputError, match=r"train.txt:1: .* raise max_length"):
        load_for(RunConfig(dataset=str(folder), max_length=3), data_dir=None)


@pytest.mark.parametrize("name", ["toy", "topics", "pydocs"])
def test_max_length_limits_the_datasets_of_the_package_too(name: str) -> None:
    config = recipe("lstm-lm", dataset=name)
    longest = max(int(split.lengths.max()) for split in splits_of(load_for(config, data_dir=None)))
    assert load_for(replace(config, max_length=longest), data_dir=None).name == name
    with pytest.raises(InputError, match=f"of {longest} predicted tokens, more than .* raise max_length$"):
        load_for(replace(config, max_length=longest - 1), data_dir=None)


def splits_of(corpus: Corpus) -> tuple[Split, Split, Split]:
    return corpus.train, corpus.valid, corpus.test


def test_the_error_for_a_vocabulary_of_one_word_names_the_file(folder: Path) -> None:
    (folder / "train.txt").write_text("a a\na\n")
    with pytest.raises(InputError, match=r"small/train.txt: .*fewer than two different words"):
        load(str(folder))


def test_a_missing_split_is_an_input_error(folder: Path) -> None:
    (folder / "test.txt").unlink()
    with pytest.raises(InputError, match=r"small/test.txt is missing"):
        load(str(folder))


def test_warnings_about_the_splits_are_kept_in_the_corpus(folder: Path) -> None:
    (folder / "valid.txt").write_text("c\n\n\nb b\nb a c\nc c\n")
    blanks, swapped, _ = load(str(folder)).warnings
    assert "valid.txt:2: 2 blank lines" in blanks
    assert "swapped" in swapped


def test_a_corpus_pickles_with_its_arrays_out_of_band() -> None:
    corpus = load("toy")
    buffers: list[pickle.PickleBuffer] = []
    data = pickle.dumps(corpus, protocol=5, buffer_callback=buffers.append)
    # Load from read-only buffers, like shared memory: the arrays must be views of them.
    back: Corpus = pickle.loads(data, buffers=[memoryview(bytes(b.raw())) for b in buffers])
    assert len(buffers) == 6
    assert not back.train.tokens.flags.writeable
    assert back.vocabulary == corpus.vocabulary
    for split in ("train", "valid", "test"):
        assert np.array_equal(getattr(back, split).tokens, getattr(corpus, split).tokens)
        assert np.array_equal(getattr(back, split).lengths, getattr(corpus, split).lengths)


def test_pydocs_loads_without_any_file() -> None:
    corpus = load_for(recipe("lstm-lm", dataset="pydocs"), "nowhere")
    assert 1000 < len(corpus.train) < 10_000
    assert corpus.vocabulary.unknown_id is not None
    assert corpus.warnings == ()


@needs_corpus("ptb")
def test_penn_treebank_has_the_published_counts() -> None:
    corpus = load("ptb", data_dir=REAL)
    assert (len(corpus.test), corpus.test.num_tokens) == (3761, 82430)
    assert (len(corpus.train), len(corpus.valid)) == (42068, 3370)
    assert len(corpus.vocabulary) == 10_000
    assert corpus.vocabulary.unknown_id == corpus.vocabulary.words.index("<unk>")
    assert corpus.warnings == ()
    lines = (REAL / "ptb" / "test.txt").read_text().splitlines()
    for i in (0, 1234, 3760):
        assert corpus.vocabulary.decode(corpus.test.sentence(i)) == lines[i].split()


@needs_corpus("ptb")
def test_penn_treebank_is_described_with_the_published_counts() -> None:
    result = describe("ptb", REAL)
    test = result["splits"]["test"]
    assert (test["sentences"], test["predicted_tokens"], result["vocabulary"]) == (3761, 82430, 10_000)
    assert result["splits"]["train"]["types"] == 9999
    assert result["warnings"] == []


@needs_corpus("yahoo")
def test_yahoo_is_described_with_the_published_counts() -> None:
    result = describe("yahoo", REAL)
    test = result["splits"]["test"]
    assert (test["sentences"], test["predicted_tokens"]) == (10_000, 798_673)
    assert result["warnings"] == []
