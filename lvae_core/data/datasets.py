"""Datasets by name or by path, as checked text.

``ptb`` and ``yahoo`` are read from files that the user brings, ``pydocs`` and ``toy`` come with the
package, and a folder with ``train.txt``, ``valid.txt`` and ``test.txt`` is a dataset by its path.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from lvae_core.data import pydocs, toy
from lvae_core.data.public import PUBLIC, MissingError, locate
from lvae_core.data.text_files import SPLITS, Text, read_file
from lvae_core.errors import check_name
from lvae_core.storage.local import local_path

NAMES = (*PUBLIC, "pydocs", "toy")

_OVERLAP = 0.1


def read(
    dataset: str, split: str, data_dir: str | Path | None = None, max_length: int | None = None
) -> Text:
    """One split of a dataset, checked.

    Args:
        dataset: one of ``NAMES``, or a folder's path.
        split: ``train``, ``valid`` or ``test``.
        data_dir: the folder of the public corpora; None: $LVAE_DATA_DIR, else ``./data``.
        max_length: a sentence of more predicted tokens is refused; None: no limit.

    Raises:
        MissingError: the split's file is not there.
        InputError: the dataset is unknown or the file cannot be used.
    """
    if dataset in PUBLIC:
        return read_file(locate(dataset, split, data_dir), max_length)
    if dataset == "toy":
        return toy.read(split)
    if dataset == "pydocs":
        return pydocs.read(split)
    if not is_path(dataset):
        check_name(dataset, NAMES, "dataset")
    folder = local_path(dataset)
    if not folder.is_dir():
        raise MissingError(f"dataset {dataset}: no such folder; give one with {_listing()}")
    path = folder / f"{split}.txt"
    if not path.is_file():
        raise MissingError(f"dataset {dataset}: {path} is missing; the folder needs {_listing()}")
    return read_file(path, max_length)


def is_path(dataset: str) -> bool:
    """Whether ``dataset`` means a folder: no dataset's name, and it has a separator or is there."""
    return dataset not in NAMES and ("/" in dataset or os.sep in dataset or Path(dataset).is_dir())


def warnings(dataset: str, texts: Mapping[str, Text]) -> tuple[str, ...]:
    """What looks wrong with the splits at hand but can be used, one line each."""
    found = [warning for text in texts.values() for warning in text.warnings]
    usual = PUBLIC[dataset].sha256 if dataset in PUBLIC else {}
    for split, text in texts.items():
        if text.sha256 != usual.get(split, text.sha256):
            found.append(
                f"{text.source}: SHA-256 {text.sha256[:8]}… is not the usual {dataset} {split} file's "
                f"({usual[split][:8]}…); results will not compare with published ones"
            )
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
        # Short sentences from a small model coincide by chance.
        if share > _OVERLAP and dataset != "toy":
            found.append(
                f"{text.source}: {share:.0%} of its sentences are also in {train.source}; "
                "its estimates will look too good"
            )
    return tuple(found)


def _listing() -> str:
    return ", ".join(f"{split}.txt" for split in SPLITS)
