"""Check log messages of the code under test: a test expects each warning of trouble, or fails."""

import contextlib
import logging
import re
from collections.abc import Iterator

LOGGER = logging.getLogger("lvae")

TROUBLE = ("lvae.run_folder", "lvae.storage")
"""Loggers of damaged files and of stores that fail: no test may meet these unexpectedly."""


class Records(logging.Handler):
    """Keep the warnings of all threads."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.kept: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.kept.append(record)


@contextlib.contextmanager
def nothing_unexpected() -> Iterator[None]:
    """Fail after the block if it logged a warning of trouble that no :func:`tells` expected."""
    with _kept() as records:
        yield
    left = [r.getMessage() for r in records if r.name in TROUBLE and not hasattr(r, "expected")]
    assert left == [], "messages that the test does not expect"


@contextlib.contextmanager
def tells(name: str, match: str = "", *, perhaps: bool = False) -> Iterator[list[logging.LogRecord]]:
    """Expect a message in the block.

    Args:
        name: name of the logger.
        match: regular expression that the message contains.
        perhaps: also accept that there is no message.

    Yields:
        Every record of that logger, including messages that do not match. Filled at the end of the block.
    """
    told: list[logging.LogRecord] = []
    with _kept() as records:
        yield told
    told += [record for record in records if record.name == name]
    matching = [record for record in told if re.search(match, record.getMessage())]
    for record in matching:
        record.expected = True
    messages = [(record.name, record.getMessage()) for record in records]
    assert matching or perhaps, f"told {messages}, nothing from {name} with {match!r}"


@contextlib.contextmanager
def _kept() -> Iterator[list[logging.LogRecord]]:
    handler = Records()
    LOGGER.addHandler(handler)
    try:
        yield handler.kept
    finally:
        LOGGER.removeHandler(handler)
