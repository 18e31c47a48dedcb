"""Datasets by name or by path, as checked text.

``ptb`` and ``yahoo`` are read from the user's files. ``pydocs``, ``toy`` and ``topics`` come with the
package. A folder with ``train.txt``, ``valid.txt`` and ``test.txt`` is a dataset too, named by its path, or
by its name if it lies here or in the folder of corpora.
"""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from lvae_core.config import dataset_label
from lvae_core.data.markers import marker_warnings
from lvae_core.data.sources import pydocs, topics, toy
from lvae_core.data.sources.public import PUBLIC, Hashes, MissingError, data_folder, locate
from lvae_core.data.text_files import SPLITS, SUFFIXES, Text, import_command, read_file, rename_advice
from lvae_core.errors import InputError, check_name
from lvae_core.storage.local import local_path

SHIPPED: Mapping[str, Callable[[str], Text]] = {
    "pydocs": pydocs.read,
    "toy": toy.read,
    "topics": topics.read,
}
"""Name of a dataset that comes with the package -> function that reads one of its splits."""

LOG_LIKELIHOODS: Mapping[str, Callable[[Sequence[str]], float]] = {
    "toy": toy.log_likelihood,
    "topics": topics.log_likelihood,
}
"""Name of a dataset that is drawn from a known model -> log p(x) of a sentence, in nats."""

NAMES = (*PUBLIC, *SHIPPED)

_OVERLAP = 0.1
"""Share of held-out sentences that may occur in training without a warning."""


def read(
    dataset: str, split: str, data_dir: str | Path | None = None, max_length: int | None = None
) -> Text:
    """Read and check one split of a dataset.

    Args:
        dataset: one of ``NAMES``, or a folder; see :func:`folder_of`.
        split: ``train``, ``valid`` or ``test``.
        data_dir: folder of corpora; None: $LVAE_DATA_DIR if set, else ``./data``.
        max_length: largest number of predicted tokens of a sentence; None: no limit.

    Raises:
        MissingError: the split's file does not exist.
        InputError: the dataset is unknown or the file cannot be used.
    """
    if dataset in PUBLIC:
        return read_file(locate(dataset, split, data_dir), max_length)
    if dataset in SHIPPED:
        text = SHIPPED[dataset](split)
        if max_length is not None and (longest := text.longest()) > max_length:
            raise InputError(
                f"{text.source}: has a sentence of {longest} predicted tokens, more than "
                f"max_length = {max_length}; raise max_length"
            )
        return text
    folder = folder_of(dataset, data_dir)
    path = folder / f"{split}.txt"
    if not path.is_file():
        table = next((name for s in SUFFIXES if (folder / (name := f"{split}{s}")).is_file()), "")
        advice = f"; for {table}: {import_command(folder, '--column', 'NAME')}" if table else ""
        advice = advice or rename_advice(folder, split)
        raise MissingError(
            f"dataset {dataset}: {path} is missing; the folder needs {_split_files()}{advice}"
        )
    return read_file(path, max_length)


def folder_of(dataset: str, data_dir: str | Path | None = None) -> Path:
    """Find the folder of a dataset that is not one of ``NAMES``.

    A path means that folder. A name means the folder of that name here, else the one in ``data_dir``.

    Raises:
        MissingError: there is no such folder.
        InputError: a name is empty, or neither a folder nor a known dataset; the nearest known name is
            given.
    """
    if not dataset:
        raise InputError("dataset '': an empty name; give a dataset's name or a folder's path")
    here = local_path(dataset)
    if here.is_dir():
        return here
    is_path = "/" in dataset or os.sep in dataset
    there = data_folder(data_dir) / dataset
    if not is_path and there.is_dir():
        return there
    if here.is_file():
        files = import_command(here, "--split", "0.8", "0.1", "0.1")
        raise InputError(
            f"dataset {dataset}: a file; make a folder of it with {files}, and --column if it is a table"
        )
    if is_path:
        raise MissingError(f"dataset {dataset}: no such folder; give one with {_split_files()}")
    try:
        check_name(dataset, NAMES, "dataset")
    except InputError as error:
        raise InputError(
            f"{error} (or the path of a folder with {_split_files()}, or --data-dir, the folder that it is "
            f"in; looked for {here.absolute()} and {there.absolute()})"
        ) from None
    raise AssertionError  # a known name has no folder


def check_known(dataset: str, data_dir: str | Path | None = None) -> None:
    """Raise InputError if a dataset's name is misspelt; the files of a dataset may be missing as yet."""
    if dataset not in NAMES:
        with contextlib.suppress(MissingError):
            folder_of(dataset, data_dir)


def true_nll(dataset: str, text: Text) -> float | None:
    """Mean of the exact -log p(x) over a split, in nats per sentence; None if it is unknown."""
    log_likelihood = LOG_LIKELIHOODS.get(dataset)
    if log_likelihood is None:
        return None
    return -math.fsum(map(log_likelihood, text.sentences())) / len(text.lines)


def warnings(dataset: str, texts: Mapping[str, Text]) -> tuple[str, ...]:
    """Warnings about data that looks wrong but can be used, one line each."""
    found = [warning for text in texts.values() for warning in text.warnings]
    label = dataset_label(dataset)
    if dataset not in NAMES and label in NAMES:
        found.append(
            f"{dataset}: its runs and tables are called {label} and get the sizes of {label}, the dataset "
            "of the package; rename the folder"
        )
    known = PUBLIC[dataset].hashes if dataset in PUBLIC else {}
    for split, text in texts.items():
        if split in known and not _is_usual(text, known[split]):
            found.append(
                f"{text.source}: SHA-256 {text.sha256[:8]}…: not the usual {dataset} {split} file "
                f"({known[split]}); results are not comparable with published ones"
            )
    if dataset not in SHIPPED:
        found += marker_warnings(texts)
    train = texts.get("train")
    if train is None:
        return tuple(found)
    train_lines = set(train.lines)
    for split in SPLITS[1:]:
        if split not in texts:
            continue
        text = texts[split]
        if len(train.lines) < len(text.lines):
            found.append(
                f"{train.source}: {len(train.lines)} sentences, fewer than the {len(text.lines)} of "
                f"{text.source}; are the two swapped?"
            )
        share = sum(line in train_lines for line in text.lines) / len(text.lines)
        # A known model draws short sentences, so its splits share some by chance.
        if share > _OVERLAP and dataset not in LOG_LIKELIHOODS:
            found.append(
                f"{text.source}: {share:.0%} of its sentences are also in {train.source}; "
                "the estimates on it will be too optimistic"
            )
    return tuple(found)


def _is_usual(text: Text, known: Hashes) -> bool:
    if known.sha256:
        return text.sha256 == known.sha256
    # A file that can no longer be read counts as usual: it gets no warning.
    with contextlib.suppress(OSError):
        return known.matches(Path(text.source).read_bytes())
    return True


def _split_files() -> str:
    return ", ".join(f"{split}.txt" for split in SPLITS)
