"""The process that the user starts: a child does the work, and this one says how it ended if it could not.

Ray's C++ code is part of a launch's process. It ends that process, with status 1 or by a signal, as soon
as it notices that one of Ray's processes has gone. No Python code of the same process can prevent it, or be
sure to come before it.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple, NoReturn

_PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_PR_SET_PDEATHSIG = 1

_OWN_ENDS = (0, 2, 130)
"""Statuses that a launch itself ends with; they need no explanation, even if no exit message arrived."""

_BY_ITSELF = 255
"""The status in the message that Python writes as it ends; any other is the one that the child intends."""

_REMOVE = "from sweeps.cluster.scratch_folder import remove_soon; remove_soon()"
"""A program that removes the folders of a launch that could not do it."""

_to_guardian: list[int] = []
"""The descriptor to which this process, if it is such a child, writes its exit messages."""


def let_a_child_work() -> None:
    """Return in a child of this process, which passes signals on to it, waits, and ends as it does.

    The child is alone in its process group, so what is sent to the group, such as Ctrl-C, reaches it once.
    It dies with this process. If it ends other than by its own decision, this process prints one line with
    the command that resumes the launch, and ends with status 2. On other systems than Linux this process
    does the work itself.
    """
    if sys.platform != "linux":
        return
    waited_for = {*_PASSED_ON, signal.SIGTSTP, signal.SIGCHLD}
    # If SIGCHLD is ignored, the kernel does not report that a child has ended.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    # Blocked from before there is a child, so that no signal is lost.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, waited_for)
    reading, writing = os.pipe()
    guardian = os.getpid()
    if child := os.fork():
        os.close(writing)
        _end_as(child, reading, waited_for)
    os.close(reading)
    os.setpgid(0, 0)
    # The group of the terminal is this one's no more, but it may write there, also after `stty tostop`.
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != guardian:  # it died before prctl() was called, which would have ended this process
        os._exit(130)
    _to_guardian.append(writing)
    atexit.register(will_end_with, _BY_ITSELF)
    signal.pthread_sigmask(signal.SIG_SETMASK, before)


def last_line(what: str) -> str:
    """The line for standard error that says what has ended a launch, and how to resume it."""
    # Displays hide the cursor of a terminal.
    show_cursor = "\r\033[K\033[?25h" if os.isatty(2) else ""
    again = shlex.join(["python", *sys.argv])
    return f"{show_cursor}error: {what}; resume from the last checkpoints with: {again}"


def has_guardian() -> bool:
    """Whether this process is such a child: a signal of its terminal then reaches it and no child of it."""
    return bool(_to_guardian)


def will_end_with(status: int, line: str = "") -> None:
    """Say with which status this process ends, in case Ray is faster.

    Args:
        status: of the launch.
        line: the last one, for standard error; empty if it has been printed. Without a guardian it is
            printed here.
    """
    for descriptor in _to_guardian:
        with contextlib.suppress(OSError):
            os.write(descriptor, f"{status} {line}\n".encode())  # short enough to arrive whole
    if line and not has_guardian():
        with contextlib.suppress(OSError, ValueError):
            print(line, file=sys.stderr, flush=True)


def end_launch(what: str) -> NoReturn:
    """End this process from any of its threads, with status 2 and one line that says what has ended it.

    There may be little time, because Ray's own threads end it, too: the rest is left to the guardian.
    """
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
    will_end_with(2, last_line(what))
    if not has_guardian():
        remove_folders()
    os._exit(2)


def closing_with(status: int) -> int:
    """Say that the work is over and its last line printed: a signal now ends only what is left of Python.

    Returns:
        ``status``, for the caller to end with.
    """
    will_end_with(status)
    if _to_guardian:
        for number in _PASSED_ON:
            signal.signal(number, lambda *_: os._exit(status))
    return status


def remove_folders() -> None:
    """Start a process that removes what the launch has left in folders for temporary files."""
    with contextlib.suppress(OSError):
        subprocess.Popen(
            [sys.executable, "-c", _REMOVE],
            cwd=Path(__file__).resolve().parents[1],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )


def _end_as(child: int, reading: int, waited_for: set[signal.Signals]) -> NoReturn:
    passed_on = set()
    while True:
        number = signal.sigwaitinfo(waited_for).si_signo
        if number == signal.SIGCHLD:
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                break
        elif number == signal.SIGTSTP:
            os.kill(child, signal.SIGSTOP)
            # The kernel stops this process by it only if somebody is there to continue it.
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTSTP})
            os.kill(os.getpid(), signal.SIGTSTP)
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTSTP})
            os.kill(child, signal.SIGCONT)
        else:
            passed_on.add(number)
            os.kill(child, number)
    code = os.waitstatus_to_exitcode(status)
    message = _read_exit_message(reading)
    if message and message.status != _BY_ITSELF:
        code = message.status
        _print(message.line)
    if message or code in _OWN_ENDS:
        if message and message.line:
            remove_folders()
        os._exit(code)
    if -code in passed_on:  # before it could handle signals
        signal.signal(-code, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {-code})
        os.kill(os.getpid(), -code)
    _print(last_line(f"the launch was ended from outside ({_cause(code)})"))
    remove_folders()
    os._exit(2)


def _cause(code: int) -> str:
    if code == -signal.SIGKILL:
        return "signal 9: the machine ran out of memory, or somebody killed it"
    how = f"signal {-code}" if code < 0 else f"status {code}"
    return f"{how}, as Ray does if one of its processes dies"


def _print(line: str) -> None:
    if line:
        with contextlib.suppress(OSError):
            os.write(2, f"{line}\n".encode())


class _ExitMessage(NamedTuple):
    """The status that a child intends to end with, and its last line for standard error (empty: none)."""

    status: int
    line: str


def _read_exit_message(reading: int) -> _ExitMessage | None:
    """Return the child's first exit message, if it has written one.

    Reading does not block, because the child's own children may still hold the pipe open.
    """
    os.set_blocking(reading, False)
    with contextlib.suppress(BlockingIOError):
        status, _, line = os.read(reading, 65536).decode().partition("\n")[0].partition(" ")
        return _ExitMessage(int(status), line) if status else None
    return None
