"""Make a dataset's folder from text of other forms, with a record of how it was made."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from lvae_core.config import dataset_label
from lvae_core.data.datasets import NAMES
from lvae_core.data.tables import read_cells
from lvae_core.data.text_files import (
    MAX_LENGTH,
    SPLITS,
    SUFFIXES,
    marker_options,
    read_bytes,
    rename_advice,
)
from lvae_core.data.tokens import split_tokens, without_edges
from lvae_core.data.vocabulary import UNKNOWN_SYMBOLS
from lvae_core.errors import InputError, reason

RECORD = "dataset.json"
"""The file of the record, beside the three splits. Nothing that trains reads it."""

Policy = Literal["refuse", "cut", "drop"]


@dataclass(frozen=True, kw_only=True)
class Rules:
    """The rules by which text becomes sentences.

    Raises:
        InputError: a value lies outside its range.
    """

    column: str | None = None
    """See :func:`lvae_core.data.tables.read_cells`."""
    header: bool = False
    delimiter: str | None = None
    unknown_words: tuple[str, ...] = ()
    """Tokens that become ``<unk>``."""
    remove: tuple[str, ...] = ()
    """Tokens that are removed from the beginning and the end of a line."""
    max_length: int = MAX_LENGTH
    """Largest number of predicted tokens of a sentence."""
    max_length_policy: Policy = "refuse"
    split: tuple[float, float, float] | None = None
    """Shares of train, valid and test, to divide one file."""
    seed: int = 0
    """Of that division."""

    def __post_init__(self) -> None:
        if self.max_length < 2:
            raise InputError(f"--max-length {self.max_length}: must be at least 2, a word and its end")
        given = " ".join(f"{share:g}" for share in self.split or ())
        if self.split and not (min(self.split) > 0 and sum(self.split) > 0):
            raise InputError(f"--split {given}: give three shares above 0")
        if self.split and not _is_division(self.split):
            raise InputError(
                f"--split {given}: the shares sum to {sum(self.split):g}; give shares that sum to 1, or "
                "whole numbers such as 8 1 1"
            )
        if self.delimiter not in (None, "tab") and not _can_divide(self.delimiter):
            raise InputError(f"--delimiter {self.delimiter!r}: give tab, or one character such as ';'")
        for option, words in (("--unknown-word", self.unknown_words), ("--remove", self.remove)):
            for word in words:
                if split_tokens(word) != [word]:
                    raise InputError(f"{option} {word!r}: must be one token, without spaces")


def _can_divide(delimiter: str) -> bool:
    return len(delimiter) == 1 and not delimiter.isalnum() and delimiter not in '" \r\n\0'


def _is_division(shares: tuple[float, ...]) -> bool:
    """Whether shares sum to 1, but for their last digit, or are a ratio of whole numbers."""
    return abs(sum(shares) - 1) <= 0.005 or all(float(share).is_integer() for share in shares)


@dataclass
class Counts:
    """Counts of the sentences of a split, and of what was left out, cut or replaced."""

    sentences: int = 0
    blank: int = 0
    """Lines without a token, which are left out."""
    cut: int = 0
    dropped: int = 0
    unknown_words: int = 0
    """Tokens that became ``<unk>``."""
    removed: int = 0
    """Tokens removed from the ends of lines."""


class Source(NamedTuple):
    """A file and what was read from it."""

    path: Path
    sha256: str
    sentences: list[str]
    counts: Counts
    warnings: tuple[str, ...]
    header: bool
    """Whether the first line was passed over."""


def import_text(sources: Sequence[str | Path], out: str | Path, rules: Rules) -> dict[str, Any]:
    """Write ``train.txt``, ``valid.txt``, ``test.txt`` and a record to a new folder.

    Args:
        sources: a folder with three splits; three files, in the order train, valid, test; or one file, to
            be divided by ``rules.split``.
        out: the new folder. Everything is read and checked before it is made, and it appears whole.
        rules: how text becomes sentences.

    Returns:
        The record: ``sources``, ``rules``, ``counts`` by split, ``warnings`` about the sources, and
        ``sha256`` of the files written.

    Raises:
        InputError: a source or a rule cannot be used, or ``out`` exists or has an unusable name.
    """
    out = Path(out)
    _check_name(out)
    paths = [Path(source) for source in sources]
    if rules.split is None:
        read = {split: _read(path, rules) for split, path in _three(paths).items()}
        texts = {split: source.sentences for split, source in read.items()}
        counts = {split: asdict(source.counts) for split, source in read.items()}
    else:
        if len(paths) != 1 or paths[0].is_dir():
            raise InputError("--split: divides one file; give one, or leave --split out")
        source = _read(paths[0], rules)
        read = {"all": source}
        texts = _divided(source, rules)
        counts = {"all": asdict(source.counts)}
        counts |= {split: {"sentences": len(lines)} for split, lines in texts.items()}
    contents = {s: "".join(f"{line}\n" for line in lines).encode() for s, lines in texts.items()}
    record = {
        "sources": {
            name: {"path": str(source.path), "sha256": source.sha256} for name, source in read.items()
        },
        "rules": asdict(rules) | {"header": any(source.header for source in read.values())},
        "counts": counts,
        "warnings": [warning for source in read.values() for warning in source.warnings],
        "sha256": {split: _sha256(content) for split, content in contents.items()},
    }
    files = {f"{split}.txt": content for split, content in contents.items()}
    _write(out, files | {RECORD: (json.dumps(record, indent=2) + "\n").encode()})
    return record


def read_record(folder: Path) -> dict[str, Any] | None:
    """The record of an imported folder; None if there is none that can be read, or another program's."""
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return record if _is_record(record) else None


def _is_record(found: Any) -> bool:
    parts = ("sources", "rules", "counts", "sha256")
    if not isinstance(found, dict) or not all(isinstance(found.get(part), dict) for part in parts):
        return False
    sources, counts = found["sources"].values(), found["counts"].values()
    return all(
        isinstance(source, dict) and isinstance(source.get("path"), str) for source in sources
    ) and all(
        isinstance(kinds, dict)
        and kinds.keys() <= _WORDS.keys()
        and all(isinstance(number, int) for number in kinds.values())
        for kinds in counts
    )


def _check_name(out: Path) -> None:
    try:
        label = dataset_label(str(out))
    except InputError:
        raise InputError(
            f"--out {out}: choose a name of letters, digits, '.', '-' and single '_' only, with no '.' "
            "in front"
        ) from None
    if label in NAMES:
        raise InputError(
            f"--out {out}: {out.name} is a dataset of the package, whose name tables and runs would show; "
            "choose another name"
        )
    if os.path.lexists(out):
        raise InputError(f"--out {out}: exists; remove it, or choose another name")


def _three(paths: Sequence[Path]) -> dict[str, Path]:
    """Find the file of each split."""
    if len(paths) == 3:
        return dict(zip(SPLITS, paths, strict=True))
    if len(paths) != 1:
        raise InputError(f"{len(paths)} sources: give a folder, one file with --split, or three files")
    (folder,) = paths
    if not folder.is_dir():
        what = (
            "give --split 0.8 0.1 0.1 to divide it"
            if folder.exists()
            else "no such file or folder; give a file of text or a table, or a folder of three"
        )
        raise InputError(f"{folder}: {what}")
    found = {}
    for split in SPLITS:
        there = [path for s in SUFFIXES if (path := folder / f"{split}{s}").is_file()]
        if len(there) != 1:
            wanted = " or ".join(f"{split}{suffix}" for suffix in SUFFIXES)
            names = " and ".join(path.name for path in there)
            problem = f"has {names}; keep one" if there else f"{wanted} is missing"
            problem += "" if there else rename_advice(folder, split)
            raise InputError(f"{folder}: {problem}, or give the three files")
        found[split] = there[0]
    return found


def _read(path: Path, rules: Rules) -> Source:
    """Read a file, only once because it may be a pipe, and apply the rules."""
    counts, sentences = Counts(), []
    data = read_bytes(path)
    column = read_cells(data, path, rules.column, header=rules.header, delimiter=rules.delimiter)
    for number, text in column.cells:
        tokens = split_tokens(text)
        kept = without_edges(tokens, rules.remove)
        counts.removed += len(tokens) - len(kept)
        if not kept:
            counts.blank += 1
            continue
        _refuse_markers(f"{path}:{number}", kept, rules)
        if len(kept) + 1 > rules.max_length:
            if rules.max_length_policy == "refuse":
                raise InputError(
                    f"{path}:{number}: a sentence of {len(kept) + 1} predicted tokens, more than "
                    f"--max-length {rules.max_length}; give --max-length-policy cut or drop, or raise "
                    "--max-length"
                )
            if rules.max_length_policy == "drop":
                counts.dropped += 1
                continue
            counts.cut += 1
            kept = kept[: rules.max_length - 1]
        counts.unknown_words += sum(token in rules.unknown_words for token in kept)
        sentences.append(" ".join(UNKNOWN_SYMBOLS[0] if t in rules.unknown_words else t for t in kept))
    if not sentences:
        raise InputError(f"{path}: no sentence is left; check the file and the options")
    counts.sentences = len(sentences)
    return Source(path, _sha256(data), sentences, counts, column.warnings, column.header)


def _refuse_markers(where: str, tokens: list[str], rules: Rules) -> None:
    """Raise InputError, with the options that mend it, if a sentence has tokens that the model adds."""
    options = marker_options([tokens], rules.unknown_words)
    if not options:
        return
    given = " ".join(f"{option} '{token}'" for option, token in options)
    inner = [token for option, token in options if option == "--unknown-word"]
    if inner:
        raise InputError(
            f"{where}: contains {' and '.join(inner)} within a sentence, which the model adds itself; edit "
            f"the line, or give {given}"
        )
    found = " and ".join(token for _, token in options)
    raise InputError(f"{where}: {found} at an end of the line, which the model adds itself; give {given}")


def _divided(source: Source, rules: Rules) -> dict[str, list[str]]:
    """Divide sentences among the splits; equal ones stay together, and the order of the file is kept."""
    assert rules.split is not None
    distinct = sorted(set(source.sentences), key=lambda s: _sha256(f"{rules.seed} {s}".encode()))
    whole, begin = sum(rules.split), 0.0
    place: dict[str, str] = {}
    for split, share in zip(SPLITS, rules.split, strict=True):
        end = begin + share / whole
        chosen = distinct[round(begin * len(distinct)) : round(end * len(distinct))]
        if not chosen:
            raise InputError(
                f"{source.path}: {len(distinct)} different sentences are too few for {split} with this "
                "--split"
            )
        place |= dict.fromkeys(chosen, split)
        begin = end
    texts: dict[str, list[str]] = {split: [] for split in SPLITS}
    for sentence in source.sentences:
        texts[place[sentence]].append(sentence)
    return texts


def _write(out: Path, files: Mapping[str, bytes]) -> None:
    """Write the files to a folder that appears whole."""
    temporary = out.parent / f".{out.name}.{secrets.token_hex(8)}"
    try:
        temporary.mkdir(parents=True)
        for name, content in files.items():
            (temporary / name).write_bytes(content)
        temporary.rename(out)
    except OSError as error:
        message = f"--out {out}: cannot be written ({reason(error)}); give another folder"
        raise InputError(message) from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def summary(record: Mapping[str, Any]) -> Iterator[str]:
    """Lines for the user: what became of each file or split."""
    for name, counts in record["counts"].items():
        parts = [f"{_WORDS[kind]}: {n:,}" for kind, n in counts.items() if n or kind == "sentences"]
        yield f"{name}: {', '.join(parts)}"


def warnings(record: Mapping[str, Any]) -> Iterator[str]:
    """Warnings about the sources, and about held-out sentences that are cut or dropped."""
    yield from record.get("warnings", ())
    for name, counts in record["counts"].items():
        for kind in ("cut", "dropped"):
            if name != "train" and (number := counts.get(kind)):
                yield (
                    f"{name}: {number:,} long sentence{'s' * (number > 1)} {kind}; numbers on this text "
                    "are not comparable with those on the whole text"
                )


_WORDS = {
    "sentences": "sentences",
    "blank": "blank lines left out",
    "cut": "cut",
    "dropped": "dropped",
    "unknown_words": "words that became <unk>",
    "removed": "tokens removed from the ends of lines",
}


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
