"""Check log messages: a test fails on an unexpected warning about storage or run folders."""

import contextlib
import logging
import re
from collections.abc import Iterator

LOGGER = logging.getLogger("lvae")

CHECKED_LOGGERS = ("lvae.run_folder", "lvae.storage")
"""Loggers that report damaged files and failing stores: every warning of theirs must be expected."""


class Records(logging.Handler):
    """Collect the warnings of all threads."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.kept: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.kept.append(record)


@contextlib.contextmanager
def no_unexpected_warnings() -> Iterator[None]:
    """Fail after the block if a checked logger issued a warning that no :func:`expect_log` matched."""
    with _collected() as records:
        yield
    left = [r.getMessage() for r in records if r.name in CHECKED_LOGGERS and not hasattr(r, "expected")]
    assert left == [], "warnings that the test does not expect"


@contextlib.contextmanager
def expect_log(name: str, match: str = "", *, optional: bool = False) -> Iterator[list[logging.LogRecord]]:
    """Expect at least one matching warning in the block.

    Args:
        name: name of the logger.
        match: regular expression searched for in the message.
        optional: also accept a block without a matching warning.

    Yields:
        All warnings of that logger, including those that do not match. Filled at the end of the block.
    """
    found: list[logging.LogRecord] = []
    with _collected() as records:
        yield found
    found += [record for record in records if record.name == name]
    matching = [record for record in found if re.search(match, record.getMessage())]
    for record in matching:
        record.expected = True
    messages = [(record.name, record.getMessage()) for record in records]
    assert matching or optional, f"no warning from {name} matches {match!r}; logged: {messages}"


@contextlib.contextmanager
def _collected() -> Iterator[list[logging.LogRecord]]:
    handler = Records()
    LOGGER.addHandler(handler)
    try:
        yield handler.kept
    finally:
        LOGGER.removeHandler(handler)
