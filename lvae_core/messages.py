"""Messages for people: what a command prints of what the loggers under ``lvae`` get.

A module logs to the logger of its folder, such as ``logging.getLogger("lvae.storage")``: warnings are for
every user, notices for who watches a command, infos and debug lines for who looks for a fault. A program
that uses these modules handles them with ``logging``, like those of any other library.
"""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from lvae_core.errors import InputError

NOTICE = 25
"""Level of a line about how a command gets on; between info and warning."""

logging.addLevelName(NOTICE, "NOTICE")

_ROOT = logging.getLogger("lvae")


@dataclass(frozen=True, kw_only=True)
class Verbosity:
    """How much a command prints besides its result and its errors."""

    verbose: bool = False
    """Print more: what is read, claimed and tried again, with the logger's name."""
    quiet: bool = False
    """Print errors and the result only."""

    def apply(self) -> None:
        """Make it that of the command that is running. Raises InputError if both options are given."""
        if self.verbose and self.quiet:
            raise InputError("--verbose and --quiet: give one of them")
        _ROOT.setLevel(logging.DEBUG if self.verbose else logging.ERROR if self.quiet else NOTICE)


@contextlib.contextmanager
def printed() -> Iterator[None]:
    """Print messages on standard error inside the ``with`` block, a line each."""
    before, handler = _ROOT.level, _Lines()
    Verbosity().apply()
    _ROOT.addHandler(handler)
    try:
        yield
    finally:
        _ROOT.removeHandler(handler)
        _ROOT.setLevel(before)


def notice(line: str) -> None:
    """Print a line on standard error, unless the command is to be quiet."""
    _ROOT.log(NOTICE, line)


def is_quiet() -> bool:
    """Whether the command that is running is to print errors and its result only."""
    return _ROOT.level >= logging.ERROR


class Collector(logging.Handler):
    """Collects the warnings of this process, whichever thread has them, until it is closed."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._lines: list[str] = []
        _ROOT.addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        self._lines.append(_text(record))

    def take(self) -> list[str]:
        """The lines since this was last called."""
        self.acquire()
        try:
            lines, self._lines = self._lines, []
        finally:
            self.release()
        return lines

    def close(self) -> None:
        """Collect no more."""
        _ROOT.removeHandler(self)
        super().close()


class _Lines(logging.Handler):
    """Writes to what standard error is at that moment: a live display puts itself in its place."""

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
