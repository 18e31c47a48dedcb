"""A corpus: a dataset ready for a model, as three splits of class numbers and their vocabulary."""

from __future__ import annotations

import hashlib
import logging
from array import array
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from lvae_core.config import RunConfig, dataset_label
from lvae_core.data import datasets
from lvae_core.data.spelling import SpelledText, Speller
from lvae_core.data.text_files import MAX_LENGTH, SPLITS, Text
from lvae_core.data.unknown import UnseenWords, unseen_words
from lvae_core.data.vocabulary import Vocabulary
from lvae_core.errors import InputError

_log = logging.getLogger("lvae.data")


@dataclass(frozen=True, eq=False)
class Split:
    """N sentences, concatenated. The arrays may be read-only shared memory; nothing here writes to them.

    tokens: int32 [sum of T], class numbers; every sentence ends with ``</s>``.
    offsets: int64 [N + 1]; sentence i is ``tokens[offsets[i] : offsets[i + 1]]``.
    """

    tokens: np.ndarray
    offsets: np.ndarray

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @cached_property
    def lengths(self) -> np.ndarray:
        """Number of predicted tokens T of each sentence, int64 [N]."""
        return np.diff(self.offsets)

    def sentence(self, i: int) -> np.ndarray:
        """Class numbers of sentence ``i``: a view, int32 [T]."""
        return self.tokens[self.offsets[i] : self.offsets[i + 1]]

    def num_batches(self, config: RunConfig) -> int:
        """Number of batches in an epoch of training; see :func:`lvae_core.data.batches.epoch_order`."""
        sizes = np.array([len(self)])
        if config.batching == "equal_length":
            _, sizes = np.unique(self.lengths, return_counts=True)
        return int((-(-sizes // config.batch_size)).sum())

    @property
    def num_tokens(self) -> int:
        """Number of predicted tokens, with one ``</s>`` per sentence: the denominator of perplexity."""
        return len(self.tokens)

    def share(self, class_: int | None) -> float:
        """Share of the predicted tokens that are of a class; None: of no class."""
        return 0.0 if class_ is None else float(np.mean(self.tokens == class_))


@dataclass(frozen=True, eq=False)
class Corpus:
    """The three splits of a dataset, encoded.

    A corpus can be pickled, and its arrays are contiguous, so an object store can share them without a
    copy. ``warnings`` are lines for the user about data that looks wrong but can be used. ``true_nll`` is
    the mean of -log p(x) over the test split, in nats per sentence, if the data come from a known model.
    ``unseen`` describes held-out words whose class training never shows, if there are any. ``spelled`` has
    the held-out splits' characters and what their unknown words cost when spelled out.
    """

    name: str
    vocabulary: Vocabulary
    train: Split
    valid: Split
    test: Split
    data_sha256: str
    warnings: tuple[str, ...]
    true_nll: float | None = None
    unseen: UnseenWords | None = None
    spelled: Mapping[str, SpelledText] = field(default_factory=dict)

    def warn(self) -> None:
        """Log the warnings."""
        for warning in self.warnings:
            _log.warning(warning)

    def epochs_at_most(self, config: RunConfig) -> float:
        """Epochs of a run that no stop rule ends: ``max_epochs``, or as many as ``max_steps`` leaves."""
        if not config.max_steps:
            return config.max_epochs
        return min(config.max_epochs, config.max_steps / self.train.num_batches(config))

    def sizes(self) -> dict[str, Any]:
        """The vocabulary's size and those of the splits as plain values: what makes numbers comparable.

        ``unknown`` is the share of a split's predicted tokens that are the unknown word. Held-out splits
        also have the fields of :class:`SpelledText`, by which other vocabularies' numbers are comparable.
        """
        splits = {"train": self.train, "valid": self.valid, "test": self.test}
        return {
            "vocabulary": len(self.vocabulary),
            "splits": {
                name: {
                    "sentences": len(split),
                    "tokens": split.num_tokens,
                    "unknown": split.share(self.vocabulary.unknown_id),
                    **(asdict(self.spelled[name]) if name in self.spelled else {}),
                }
                for name, split in splits.items()
            },
        }


def data_hashes(corpora: Mapping[str, Corpus]) -> dict[str, str]:
    """Dataset -> the content hash of its corpus."""
    return {dataset: corpus.data_sha256 for dataset, corpus in corpora.items()}


def load(
    dataset: str,
    *,
    data_dir: str | Path | None = None,
    min_count: int = 1,
    max_vocabulary: int = 0,
    max_length: int = MAX_LENGTH,
) -> Corpus:
    """Read, check and encode a dataset.

    Args:
        dataset: one of ``datasets.NAMES``, or the path of a folder with three splits.
        data_dir: folder of the public datasets; see :func:`datasets.read`.
        min_count: words seen less often in training become the unknown word.
        max_vocabulary: largest number of classes, ``</s>`` and the unknown word included; 0: no limit.
        max_length: largest number of predicted tokens of a sentence; a longer one is refused.

    Raises:
        InputError: the dataset is unknown or cannot be used; the message is one line with file, line and
            remedy.
    """
    name = dataset_label(dataset)
    texts = {split: datasets.read(dataset, split, data_dir, max_length) for split in SPLITS}
    try:
        vocabulary = Vocabulary.build(
            texts["train"].sentences(),
            min_count,
            max_vocabulary,
            other_sentences=chain(texts["valid"].sentences(), texts["test"].sentences()),
        )
    except InputError as error:
        raise InputError(f"{texts['train'].source}: {error}") from None
    splits = {split: encode_text(text, vocabulary) for split, text in texts.items()}
    unknown = vocabulary.unknown_id
    unseen = unseen_words(
        {split: encoded.share(unknown) for split, encoded in splits.items()},
        np.bincount(splits["train"].tokens, minlength=len(vocabulary)).tolist(),
        unknown,
    )
    lacking = () if unseen is None else (unseen.warning(texts["train"].source),)
    return Corpus(
        name=name,
        vocabulary=vocabulary,
        **splits,
        data_sha256=combined_sha256(texts),
        warnings=(*datasets.warnings(dataset, texts), *lacking),
        # A word that becomes the unknown word makes it another, coarser problem.
        true_nll=datasets.true_nll(dataset, texts["test"]) if unknown is None else None,
        unseen=unseen,
        spelled=_spelled(texts, vocabulary),
    )


def load_for(config: RunConfig, data_dir: str | Path | None) -> Corpus:
    """Load the corpus that ``config`` names. Raises InputError as :func:`load` does."""
    return load(
        config.dataset,
        data_dir=data_dir,
        min_count=config.min_count,
        max_vocabulary=config.max_vocabulary,
        max_length=config.max_length,
    )


def load_new(config: RunConfig, data_dir: str | Path | None) -> tuple[RunConfig, Corpus]:
    """Load the corpus of a run that is planned for the first time, and settle its ``min_count``.

    Over a folder that lacks the unknown class in training, or has it too seldom (see
    :mod:`lvae_core.data.unknown`), the run gets ``min_count = 2`` if this shows the class more often. The
    recipe cannot decide it, because it reads no data.

    Returns:
        The config and its corpus.

    Raises:
        InputError: as :func:`load`.
    """
    corpus = load_for(config, data_dir)
    if config.dataset in datasets.NAMES or corpus.unseen is None or corpus.unseen.rarest != 1:
        return config, corpus
    taught = replace(config, min_count=2)
    try:
        return taught, load_for(taught, data_dir)
    except InputError:  # it leaves a vocabulary of one word
        return config, corpus


def encode_text(text: Text, vocabulary: Vocabulary) -> Split:
    """Encode a text as class numbers of ``vocabulary``."""
    tokens, offsets = array("i"), [0]
    for sentence in text.sentences():
        tokens.extend(vocabulary.encode(sentence))
        offsets.append(len(tokens))
    return Split(np.array(tokens, dtype=np.int32), np.array(offsets, dtype=np.int64))


def _spelled(texts: Mapping[str, Text], vocabulary: Vocabulary) -> dict[str, SpelledText]:
    # Without unknown words nothing is spelled, and the training text need not be read once more.
    training = () if vocabulary.unknown_id is None else texts["train"].sentences()
    speller = Speller(vocabulary, training)
    return {split: speller.read(texts[split].sentences()) for split in ("valid", "test")}


def combined_sha256(texts: Mapping[str, Text]) -> str:
    r"""The content hash of a dataset: SHA-256 over ``"train <hex>\nvalid <hex>\ntest <hex>\n"``.

    ``<hex>`` is the SHA-256 of a split's file. A generated split has no file; its hash is that of the file
    which would hold it: one sentence per line, single spaces between tokens, a newline after each line.
    """
    listing = "".join(f"{split} {texts[split].sha256}\n" for split in SPLITS)
    return hashlib.sha256(listing.encode()).hexdigest()
