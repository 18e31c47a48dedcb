"""Messages for users: printing the records of the loggers under ``lvae``.

A module logs to the logger of its folder, such as ``logging.getLogger("lvae.storage")``. Warnings are for
every user, notices report the progress of a command, and info and debug lines help to find faults. A
program that imports these modules handles the records with ``logging``, like those of any other library.
"""

from __future__ import annotations

import contextlib
import logging
import shlex
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from lvae_core.errors import InputError

NOTICE = 25
"""Level of lines about the progress of a command; between info and warning."""

logging.addLevelName(NOTICE, "NOTICE")

_ROOT = logging.getLogger("lvae")

_CODE = Path(__file__).resolve().parents[1]
"""The checkout, or the folder that the packages are installed in."""


@dataclass(frozen=True, kw_only=True)
class Verbosity:
    """The amount of output of a command besides its result and its errors."""

    verbose: bool = False
    """Also print reads, claims and retries, with the name of the logger."""
    quiet: bool = False
    """Print errors and the result only."""

    def apply(self) -> None:
        """Set the verbosity of the running command. Raises InputError if both options are given."""
        if self.verbose and self.quiet:
            raise InputError("--verbose and --quiet: give one of them")
        _ROOT.setLevel(logging.DEBUG if self.verbose else logging.ERROR if self.quiet else NOTICE)


@contextlib.contextmanager
def printed() -> Iterator[None]:
    """Print each message as a line on standard error inside the ``with`` block."""
    before, handler = _ROOT.level, _Lines()
    Verbosity().apply()
    _ROOT.addHandler(handler)
    try:
        yield
    finally:
        _ROOT.removeHandler(handler)
        _ROOT.setLevel(before)


def notice(line: str) -> None:
    """Print a line on standard error, unless the command is quiet."""
    if _held_back is None:
        _ROOT.log(NOTICE, line)
    else:
        _held_back.append(line)


_held_back: list[str] | None = None
"""The notices of a :func:`notices_held_back` block; None outside."""


@contextlib.contextmanager
def notices_held_back() -> Iterator[None]:
    """Print the notices of the ``with`` block at its end; none if it ends with an error."""
    global _held_back
    lines: list[str] = []
    _held_back = lines
    try:
        yield
    finally:
        _held_back = None
    for line in lines:
        notice(line)


def notice_next(*words: str, data_dir: str | None = None, when: str = "") -> None:
    """Print the command to run next, quoted for a shell.

    Args:
        words: of the command, without ``python``.
        data_dir: folder of the corpora, if the command that ends was given one.
        when: what must be true first.
    """
    options = ["--data-dir", data_dir] if data_dir else []
    notice(next_line("python", *words, *options, when=when))


def next_line(*words: str, when: str = "") -> str:
    """Return the line that names the command to run next, quoted for a shell.

    Args:
        words: of the command.
        when: what must be true first.
    """
    return f"next{when}: {command_here(*words)}"


_PLURALS = {"is": "are", "was": "were", "has": "have"}


def numbered(number: int, noun: str, verb: str = "") -> str:
    """A number of things, and perhaps a verb: ``1 run``, ``3 runs``; ``1 run has``, ``3 runs have``.

    Args:
        number: of the things.
        noun: in the singular.
        verb: in the singular: is, was, has, or one whose plural has no s.
    """
    if number != 1:
        noun, verb = f"{noun}s", _PLURALS.get(verb, verb.removesuffix("s"))
    return f"{number} {noun} {verb}".rstrip()


def listed(names: Sequence[str]) -> str:
    """Names in a sentence: ``a``, ``a and b``, ``a, b and c``."""
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def first_of(names: Sequence[str], most: int = 8) -> str:
    """The first names with commas between, and the number of the others: ``a, b and 3 more``."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def command_line(*words: str) -> str:
    """Quote a command for a shell; a script of this code gets a path that works in the working directory.

    Args:
        words: of the command, such as ``"python", "sweeps/paper_grid.py", "--preset", "demo"``.
    """
    if words[:1] == ("python",) and words[1:]:
        words = ("python", _script(words[1]), *words[2:])
    return shlex.join(words)


def command_here(*words: str) -> str:
    """:func:`command_line` for the shell that this process was started from: ``python`` is its interpreter.

    Without an active environment, the shell's own ``python`` lacks the libraries.
    """
    line = command_line(*words)
    return shlex.quote(_interpreter()) + line.removeprefix("python") if words[:1] == ("python",) else line


def _interpreter() -> str:
    """The word by which a shell in the working directory starts the Python that runs."""
    found, running = shutil.which("python"), Path(sys.executable)
    if found and Path(found).parent == running.parent and Path(found).resolve() == running.resolve():
        return "python"
    with contextlib.suppress(OSError, ValueError):  # no working directory, or not below it
        return str(running.relative_to(Path.cwd()))
    return str(running)


def _script(path: str) -> str:
    """The path by which the working directory reaches a script of this code; ``path``: in the checkout."""
    script = _CODE / path
    if Path(path).is_file() or not script.is_file():
        return path
    started = sys.argv[0]
    return started if started and Path(started).resolve() == script else str(script)


def is_quiet() -> bool:
    """Whether the running command prints only errors and its result."""
    return _ROOT.level >= logging.ERROR


def is_verbose() -> bool:
    """Whether the running command also prints reads, claims and retries."""
    return _ROOT.level <= logging.DEBUG


class Collector(logging.Handler):
    """A handler that collects the warnings of all threads of this process until it is closed."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._lines: list[str] = []
        _ROOT.addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        self._lines.append(_text(record))

    def take(self) -> list[str]:
        """Return the lines collected since the last call."""
        self.acquire()
        try:
            lines, self._lines = self._lines, []
        finally:
            self.release()
        return lines

    def close(self) -> None:
        """Stop collecting."""
        _ROOT.removeHandler(self)
        super().close()


class _Lines(logging.Handler):
    """A handler that writes to the current ``sys.stderr``, which a live display may have replaced."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            print(_line(record), file=sys.stderr, flush=True)
        except Exception:
            self.handleError(record)


def _line(record: logging.LogRecord) -> str:
    if record.levelno == NOTICE:
        return _text(record)
    source = f"{record.name}: " if record.levelno < NOTICE else ""
    return f"{record.levelname.lower()}: {source}{_text(record)}"


def _text(record: logging.LogRecord) -> str:
    return " ".join(record.getMessage().splitlines())
