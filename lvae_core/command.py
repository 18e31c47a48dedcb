"""The guard around every command: one-line errors, exit statuses 0, 1, 2 and 130, and signals."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import stat
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterator
from types import FrameType, TracebackType
from typing import Any, TextIO

from lvae_core.environment import advice, raise_on_ctrl_c
from lvae_core.errors import InputError, describe
from lvae_core.messages import is_verbose, printed
from lvae_core.run_folder.folder import DamagedError

CONTINUES = "stopped at once; run the same command again to resume from the last checkpoints"

STOP_SIGNALS = (signal.SIGTERM, signal.SIGHUP)
"""Signals that stop a command like Ctrl-C: a request to end, and the end of its terminal."""


def exit_status(
    command: Callable[[], int | None],
    interrupted: str = CONTINUES,
    *,
    closing: Callable[[int], int] = int,
) -> int:
    """Run a command and return its exit status: 0, 1, 2 or 130. It never ends with a bare traceback.

    Messages are printed while it runs. If the reader of its output goes away, as in ``command | head``, it
    runs on to its end without output, and its status is that of its work.

    An error that the user can fix, such as a file that cannot be read, ends it with one line and status 2;
    Ctrl-C, SIGTERM or SIGHUP with status 130. Any other error ends it with one line and status 1; the
    traceback is printed if the command is verbose, else kept in a file.

    Args:
        command: parses the command line, applies the verbosity, and returns the exit status; None is 0.
        interrupted: the line to print after Ctrl-C, SIGTERM or SIGHUP; none if empty.
        closing: called after the last line, while signals are still handled, with the status; returns it.
    """
    with _readers_may_leave(), printed(), _stop_signals_interrupt():
        try:
            return closing(_guarded(command, interrupted))
        except KeyboardInterrupt:  # one more, while the line about the first was being printed
            return closing(130)


def _guarded(command: Callable[[], int | None], interrupted: str) -> int:
    try:
        raise_on_ctrl_c()
        _print_any_character()
        return command() or 0
    except (InputError, DamagedError) as error:
        print_error(error)
        return 2
    except KeyboardInterrupt:
        if interrupted:
            print(interrupted, file=sys.stderr)
        return 130
    except SystemExit as end:
        return _status(end.code)
    except OSError as error:
        print_error(_with_traceback(error, describe(error)) if is_verbose() else describe(error))
        return 2
    except ModuleNotFoundError as error:
        print_error(advice(f"lacks {error.name}"))
        return 2
    except MemoryError as error:
        print_error(_with_traceback(error, "out of memory"))
        return 1
    except Exception as error:
        text = str(error).strip().partition("\n")[0]
        print_error(_with_traceback(error, f"unexpected {type(error).__name__}: {text}"))
        return 1


def print_error(error: object) -> None:
    """Print an error on standard error, with ``error:`` before each of its lines."""
    for line in str(error).splitlines() or [type(error).__name__]:
        shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)
        print(f"error: {shown}", file=sys.stderr)


def _with_traceback(error: BaseException, line: str) -> str:
    """Print the traceback if the command is verbose, else write it to a file that the line names."""
    text = "".join(traceback.format_exception(error))
    if is_verbose():
        sys.stderr.write(text)
        return line
    try:
        handle, path = tempfile.mkstemp(prefix="lvae-error-", suffix=".txt")
        with open(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)
    except OSError:
        return f"{line} (--verbose prints the traceback)"
    return f"{line} (traceback: {path})"


def _status(code: object) -> int:
    """The exit status of a SystemExit of a library."""
    if code is None or (isinstance(code, int) and code in (0, 1, 2, 130)):
        return int(code or 0)
    if not isinstance(code, int):
        print_error(code)
    return 1


def _print_any_character() -> None:
    """Print characters that standard output cannot show, such as bytes of a file name, as escapes."""
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="backslashreplace")


@contextlib.contextmanager
def _readers_may_leave() -> Iterator[None]:
    """Drop output to a pipe whose reader has gone inside the ``with`` block.

    With Python's BrokenPipeError a command would stop there, with half of its files or before its runs.
    """
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = map(_readable_or_not, before)
    try:
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None and stream not in before:
                stream.flush()
        sys.stdout, sys.stderr = before


def _readable_or_not(stream: TextIO) -> TextIO:
    """The same output as ``stream``, but if it is a pipe, its reader may go away."""
    if not isinstance(stream, io.TextIOWrapper):
        return stream
    try:
        mode = os.fstat(stream.fileno()).st_mode
        stream.flush()
    except (OSError, ValueError):  # no file, a closed one, or one that cannot be written
        return stream
    if not (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)):
        return stream
    pipe = _Pipe(stream.fileno(), "wb", closefd=False)
    return io.TextIOWrapper(
        # With `python -u`, nothing is buffered.
        pipe if isinstance(stream.buffer, io.RawIOBase) else io.BufferedWriter(pipe),
        encoding=stream.encoding,
        errors=stream.errors,
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )


class _Pipe(io.FileIO):
    """A pipe that drops what is written once its reader has gone."""

    def write(self, data: Any, /) -> int:
        try:
            return super().write(data)
        except BrokenPipeError:
            _discard(self.fileno())
            return super().write(data)


def _discard(descriptor: int) -> None:
    """Send further output on a file descriptor to nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)


@contextlib.contextmanager
def _stop_signals_interrupt() -> Iterator[None]:
    """Treat SIGTERM and SIGHUP like Ctrl-C, so that ``with`` blocks end what they started."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    with _handling(STOP_SIGNALS, interrupt):
        yield


@contextlib.contextmanager
def _handling(
    signals: tuple[signal.Signals, ...], handle: Callable[[int, FrameType | None], None]
) -> Iterator[None]:
    """Handle signals inside the ``with`` block, except those that are to stay with their handler."""
    terminals = [descriptor for descriptor in (1, 2) if os.isatty(descriptor)]

    def handler(number: int, frame: FrameType | None) -> None:
        if number == signal.SIGHUP:
            for descriptor in terminals:  # the terminal is gone, and writing to it would fail
                _discard(descriptor)
            terminals.clear()
        handle(number, frame)

    before = {number: signal.signal(number, handler) for number in signals if _may_be_handled(number)}
    try:
        yield
    finally:
        for number, former in before.items():
            signal.signal(number, former)


def _may_be_handled(number: signal.Signals) -> bool:
    former = signal.getsignal(number)
    if former is None:  # installed by C code, as of a program around Python, and could not be restored
        return False
    return not (number == signal.SIGHUP and former == signal.SIG_IGN)  # as under `nohup`


class Interrupt:
    """Catch Ctrl-C, SIGTERM and SIGHUP in a ``with`` block: the first is a request, the second ends it.

    Args:
        raises_at_once: raise KeyboardInterrupt at the first one as well. ``requested`` stays true even if a
            library swallows the exception.
    """

    def __init__(self, *, raises_at_once: bool = False) -> None:
        self.requested = False
        self._raises = raises_at_once

    def __enter__(self) -> Interrupt:
        self._stack = contextlib.ExitStack()
        self._stack.enter_context(_handling((signal.SIGINT, *STOP_SIGNALS), self._handle))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def _handle(self, number: int, frame: FrameType | None) -> None:
        raises = self._raises or self.requested
        self.requested = True
        if raises:
            raise KeyboardInterrupt
