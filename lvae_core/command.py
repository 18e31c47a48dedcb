"""Behaviour shared by all commands: Ctrl-C and SIGTERM, one-line errors and the exit status."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType, TracebackType

from lvae_core.errors import InputError
from lvae_core.messages import Verbosity, printed
from lvae_core.run_folder.folder import DamagedError

CONTINUES = "stopped at once; run the same command again to resume from the last checkpoints"


def exit_status(
    command: Callable[[], int], interrupted: str = CONTINUES, verbosity: Verbosity | None = None
) -> int:
    """Run a command and return its exit status.

    Messages are printed while it runs. An error that the user can fix ends it with one line and status 2;
    Ctrl-C or SIGTERM ends it with status 130.

    Args:
        command: returns the exit status if nothing goes wrong.
        interrupted: the line to print after Ctrl-C or SIGTERM; none if empty.
        verbosity: of the messages; None: the command chooses.
    """
    try:
        with printed(), _sigterm_interrupts():
            if verbosity:
                verbosity.apply()
            return command()
    except (InputError, DamagedError) as error:
        print_error(error)
        return 2
    except KeyboardInterrupt:
        if interrupted:
            print(interrupted, file=sys.stderr)
        return 130


def print_error(error: object) -> None:
    """Print an error on standard error, with ``error:`` before each of its lines."""
    for line in str(error).splitlines():
        print(f"error: {line}", file=sys.stderr)


@contextlib.contextmanager
def _sigterm_interrupts() -> Iterator[None]:
    """Treat SIGTERM like Ctrl-C, so that ``with`` blocks end what they started."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


class Interrupt:
    """Catch Ctrl-C and SIGTERM in a ``with`` block: the first is a request, the second ends the block.

    Args:
        raises_at_once: raise KeyboardInterrupt at the first one as well. ``requested`` stays true even if a
            library swallows the exception.
    """

    def __init__(self, *, raises_at_once: bool = False) -> None:
        self.requested = False
        self._raises = raises_at_once

    def __enter__(self) -> Interrupt:
        self._before = {s: signal.signal(s, self._handle) for s in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        raises = self._raises or self.requested
        self.requested = True
        if raises:
            raise KeyboardInterrupt
