"""Statistics of a dataset, split by split, to compare with the counts that papers report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

from lvae_core.config import dataset_label
from lvae_core.data import datasets
from lvae_core.data.corpus import combined_sha256
from lvae_core.data.importing import RECORD, read_record
from lvae_core.data.sources.public import MissingError
from lvae_core.data.text_files import MAX_LENGTH, SPLITS, Text, length_problem
from lvae_core.data.unknown import unseen_words
from lvae_core.data.vocabulary import UNKNOWN_SYMBOLS, Vocabulary
from lvae_core.errors import InputError, check_data_dir, check_type


def describe(dataset: str | Path, data_dir: str | Path | None = None) -> dict[str, Any]:
    """Compute the statistics of a dataset as plain values, ready for JSON.

    Returns:
        A dictionary with these keys:

        - ``dataset``: its label.
        - ``vocabulary``: number of classes; absent if the training split is missing.
        - ``data_sha256``: content hash; absent if any split is missing.
        - ``splits``: for each split ``sentences``, ``predicted_tokens`` (with ``</s>``), ``types``
          (distinct words, without ``</s>``), ``longest`` (in predicted tokens), ``unknown_rate`` (share of
          the predicted tokens that are the unknown class; without a training split, that are the unknown
          symbol; to six significant digits) and ``sha256``. A missing split has only ``missing``, a line
          with reason and remedy.
        - ``imported``: sources, rules and counts, if ``python -m lvae_core import`` made the folder.
        - ``warnings``: lines.

    Raises:
        InputError: the dataset is unknown, a file cannot be used, or every split is missing.
    """
    check_type("dataset", dataset, (str, Path), "a dataset's name or a folder")
    check_data_dir(data_dir)
    dataset = str(dataset)
    texts: dict[str, Text] = {}
    missing: dict[str, str] = {}
    for split in SPLITS:
        try:
            texts[split] = datasets.read(dataset, split, data_dir)
        except MissingError as error:
            missing[split] = str(error)
    if not texts:
        raise InputError(next(iter(missing.values())))

    result: dict[str, Any] = {"dataset": dataset_label(dataset)}
    vocabulary = None
    if "train" in texts:
        others = [texts[split].sentences() for split in texts if split != "train"]
        try:
            vocabulary = Vocabulary.build(texts["train"].sentences(), other_sentences=chain(*others))
        except InputError as error:
            raise InputError(f"{texts['train'].source}: {error}") from None
        result["vocabulary"] = len(vocabulary)
    record = None
    if dataset not in datasets.NAMES:
        record = read_record(Path(next(iter(texts.values())).source).parent)
    if record:
        result["imported"] = {name: record.get(name) for name in ("sources", "rules", "counts")}
    if not missing:
        result["data_sha256"] = combined_sha256(texts)
    result["splits"] = {
        split: {"missing": missing[split]} if split in missing else _statistics(texts[split], vocabulary)
        for split in SPLITS
    }
    result["warnings"] = list(datasets.warnings(dataset, texts))
    if dataset not in datasets.NAMES:  # the recipes of these choose min_count
        result["warnings"] += _unseen(texts, result["splits"], vocabulary)
    result["warnings"] += [
        f"{text.source}: {length_problem(Path(text.source), longest, MAX_LENGTH)}"
        for split, text in texts.items()
        if (longest := result["splits"][split]["longest"]) > MAX_LENGTH
    ]
    if record:
        result["warnings"] += [
            f"{text.source}: changed since the import that {RECORD} records"
            for split, text in texts.items()
            if record["sha256"].get(split) != text.sha256
        ]
    return result


def _unseen(
    texts: Mapping[str, Text], statistics: Mapping[str, Any], vocabulary: Vocabulary | None
) -> Iterator[str]:
    """The warning about unknown words that training never has, or too seldom."""
    if vocabulary is None:
        return
    counts = Counter(token for sentence in texts["train"].sentences() for token in sentence)
    rates = {split: statistics[split]["unknown_rate"] for split in texts}
    if unseen := unseen_words(rates, [counts[word] for word in vocabulary.words], vocabulary.unknown_id):
        yield unseen.warning(texts["train"].source)


def _statistics(text: Text, vocabulary: Vocabulary | None) -> dict[str, Any]:
    counts = Counter(token for sentence in text.sentences() for token in sentence)
    predicted = counts.total() + len(text.lines)
    if vocabulary is None:
        unknown = next((counts[symbol] for symbol in UNKNOWN_SYMBOLS if symbol in counts), 0)
    elif vocabulary.unknown_id is None:
        unknown = 0
    else:
        known = set(vocabulary.words) - {vocabulary.words[vocabulary.unknown_id]}
        unknown = sum(count for word, count in counts.items() if word not in known)
    return {
        "sentences": len(text.lines),
        "predicted_tokens": predicted,
        "types": len(counts),
        "longest": text.longest(),
        "unknown_rate": float(f"{unknown / predicted:.6g}"),
        "sha256": text.sha256,
    }
