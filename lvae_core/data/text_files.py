"""One split from a file: UTF-8, one sentence per line, tokens separated by spaces."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import logging
import re
import shlex
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from lvae_core.data.tokens import split_tokens, without_edges
from lvae_core.data.vocabulary import END, START
from lvae_core.errors import InputError, reason
from lvae_core.messages import numbered

SPLITS = ("train", "valid", "test")

SUFFIXES = (".txt", ".tsv", ".csv", ".jsonl")
"""Of files that can be imported."""

MAX_LENGTH = 512
"""Largest number of predicted tokens of a sentence, unless another one is given."""

OTHER_NAMES = {"valid": ("dev", "val", "validation")}
"""Names of splits' files in other corpora."""

_log = logging.getLogger("lvae.data")

_BYTE_ORDER_MARK = "\ufeff"

_BINARY = {
    b"\x1f\x8b": "packed with gzip; unpack it",
    b"\xfd7zXZ\0": "packed with xz; unpack it",
    b"\x28\xb5\x2f\xfd": "packed with Zstandard; unpack it",
    b"PK\3\4": "a spreadsheet or zip archive; save the table as CSV, or unpack it",
    # After PAR1, with which text can begin, comes the header of a page or the footer.
    b"PAR1\x15": "Parquet; save it as CSV",
}
"""What files that are no text begin with -> what they are, and the remedy."""


def read_file(path: Path, max_length: int | None = None) -> Text:
    """Read and check a split.

    Only newline bytes end a line and only ASCII white space ends a token; see :func:`split_tokens`. Blank
    lines are skipped with a warning, a byte order mark without one.

    Args:
        path: an existing file.
        max_length: largest number of predicted tokens (``</s>`` included) of a sentence; None: no limit.

    Raises:
        InputError: the file cannot be read, is not UTF-8 or has no sentence; or a line is too long or
            contains the token ``<s>`` or ``</s>``.
    """
    data = read_bytes(path)
    content = decoded(data, path)
    lines: list[str] = []
    blanks: list[int] = []
    tabs: list[int] = []
    for number, line in enumerate(content.removesuffix("\n").split("\n"), start=1):
        tokens = split_tokens(line)
        if not tokens:
            blanks.append(number)
            continue
        tabs.append(line.count("\t"))
        if START in tokens or END in tokens:
            raise InputError(
                f"{path}:{number}: contains {START} or {END}, which the model adds itself; "
                + _without_markers(path)
            )
        if max_length is not None and len(tokens) + 1 > max_length:
            raise InputError(f"{path}:{number}: {length_problem(path, len(tokens) + 1, max_length)}")
        lines.append(" ".join(tokens))
    if not lines:
        raise InputError(f"{path}: contains no sentence; write one per line, tokens separated by spaces")
    warnings: list[str] = []
    if blanks:
        warnings.append(
            f"{path}:{blanks[0]}: {numbered(len(blanks), 'blank line')} skipped, this is the first"
        )
    _log.info("%s: read %d sentences", path, len(lines))
    digest = hashlib.sha256(data).hexdigest()
    return Text(tuple(lines), digest, str(path), tuple(warnings), equal_tabs(tabs))


def equal_tabs(counts: Sequence[int]) -> int:
    """The number of tabs that every line has; 0 if they differ or there is only one line.

    Args:
        counts: the tabs of each line that is not blank.
    """
    return counts[0] if len(counts) > 1 and len(set(counts)) == 1 else 0


def tabs_problem(source: object, tabs: int) -> str:
    """Say that lines with equally many tabs look like a table."""
    return f"{source}: a table? Every line has {numbered(tabs, 'tab')}, so all columns are read as text"


def length_problem(path: Path, length: int, max_length: int) -> str:
    """Say that a sentence of a split's file is too long, and what to do about it."""
    cut = ("--max-length", max_length, "--max-length-policy", "cut")
    return (
        f"a sentence of {length} predicted tokens, more than max_length = {max_length}; raise max_length, "
        f"split the sentence, or cut such sentences with {import_command(path.parent, *cut)}"
    )


def rename_advice(folder: Path, split: str) -> str:
    """Advice to rename the file of a split that has another name that corpora use; "" if there is none."""
    for name in OTHER_NAMES.get(split, ()):
        for suffix in SUFFIXES:
            if (folder / f"{name}{suffix}").is_file():
                return f"; rename {name}{suffix} to {split}{suffix}"
    return ""


def read_bytes(path: Path) -> bytes:
    """Read a file of text. Raises InputError if it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({reason(error)}); check the file") from None


def decoded(data: bytes, path: Path) -> str:
    """Decode the content of a file of lines, without a byte order mark.

    Raises:
        InputError: it is no text, or not UTF-8, or has a NUL byte or a carriage return within a line.
    """
    for beginning, kind in _BINARY.items():
        if data.startswith(beginning):
            raise InputError(f"{path}: is {kind}")
    try:
        content = data.decode("utf-8")
    except UnicodeDecodeError as error:
        number = data.count(b"\n", 0, error.start) + 1
        raise InputError(
            f"{path}:{number}: byte 0x{data[error.start]:02x} is not UTF-8; convert the file to UTF-8"
        ) from None
    if (odd := re.search(rb"\0|\r(?!\n|$)", data)) is not None:
        number = data.count(b"\n", 0, odd.start()) + 1
        kind = "a NUL byte; is it UTF-16?" if odd[0] == b"\0" else "a carriage return within a line;"
        raise InputError(f"{path}:{number}: has {kind} convert the file to UTF-8 lines that end in \\n")
    return content.removeprefix(_BYTE_ORDER_MARK)


def marker_options(sentences: Iterable[list[str]], but: Collection[str] = ()) -> list[tuple[str, str]]:
    """The options of an import that mend sentences with ``<s>`` or ``</s>``, each with the token.

    Args:
        sentences: their tokens.
        but: tokens that the import replaces already.
    """
    found: set[tuple[str, str]] = set()
    for tokens in sentences:
        markers = {START, END}.intersection(tokens).difference(but)
        if markers:
            inside = without_edges(tokens, markers)
            found |= {("--unknown-word", token) for token in markers.intersection(inside)}
            for ordered in (tokens, reversed(tokens)):
                found |= {("--remove", t) for t in itertools.takewhile(markers.__contains__, ordered)}
    return _ordered(found)


def _ordered(options: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    return sorted(options, key=lambda option: (option[0], option[1] == END))  # <s> comes before </s>


def _without_markers(path: Path) -> str:
    """Advice about the markers in a file; for a split's file, a command that mends its whole folder."""
    if path.stem not in SPLITS:
        return "remove it"
    found: set[tuple[str, str]] = set()
    for split in SPLITS:
        with contextlib.suppress(InputError):  # another file that is missing, or faulty in another way
            content = decoded(read_bytes(file := path.with_name(f"{split}.txt")), file)
            found.update(marker_options(map(split_tokens, content.split("\n"))))
    options = _ordered(found)
    within = any(option == "--unknown-word" for option, _ in options)
    advice = "remove it, or make it <unk> within lines" if within else "remove it"
    return f"{advice}, with {import_command(path.parent, *itertools.chain(*options))}"


def import_command(source: Path, *options: object) -> str:
    """The command that makes a dataset's folder of a file, or a corrected copy of a folder of text."""
    name = source.stem if source.suffix.lower() in SUFFIXES else source.name
    # A dataset's name has only these characters; see :func:`lvae_core.config.dataset_label`.
    name = re.sub(r"[^\w.-]+|__+", "-", name, flags=re.ASCII).strip("-._")
    words = ("import", source, *options, "--out", f"{name or 'text'}-new")
    return f"`python -m lvae_core {shlex.join(map(str, words))}`"


@dataclass(frozen=True)
class Text:
    """The sentences of one split.

    lines: one sentence each, not empty, with single spaces between tokens.
    sha256: hash of the file's bytes; without a file, of the lines with a newline after each.
    source: path of the file, or the names of dataset and split.
    warnings: lines for the user about the file.
    tabs: the number of tabs that every line of the file has; 0 if they differ.
    """

    lines: tuple[str, ...]
    sha256: str
    source: str
    warnings: tuple[str, ...] = ()
    tabs: int = 0

    def sentences(self) -> Iterator[list[str]]:
        """Yield the tokens of each sentence, without ``</s>``."""
        # Tokens are split on demand: stored as lists they take 15 times the memory of lines.
        return (line.split(" ") for line in self.lines)

    def longest(self) -> int:
        """The largest number of predicted tokens of a sentence, ``</s>`` included."""
        return max(map(len, self.sentences())) + 1


def from_lines(lines: Sequence[str], source: str) -> Text:
    """Make a text from generated sentences."""
    content = "".join(line + "\n" for line in lines)
    return Text(tuple(lines), hashlib.sha256(content.encode()).hexdigest(), source)
