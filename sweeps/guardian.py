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
import sys
from typing import NoReturn

_PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_PR_SET_PDEATHSIG = 1

_OWN_ENDS = (0, 2, 130)
"""Statuses with which a launch ends itself in any case, also where Python does not come to its own end."""

_BY_ITSELF = 255
"""What a child says at the end of Python; any other number is the status that it means to end with."""

_to_guardian: list[int] = []
"""The descriptor on which this process, if it is such a child, says how it ends."""


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
    # Blocked from before there is a child, so that none is lost.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, waited_for)
    reading, writing = os.pipe()
    guardian = os.getpid()
    if child := os.fork():
        os.close(writing)
        _end_as(child, reading, waited_for)
    os.close(reading)
    os.setpgid(0, 0)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != guardian:  # it has died before it could be said
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


def will_end_with(status: int) -> None:
    """Say that this process has printed why it ends, and with which status, in case Ray is faster."""
    for descriptor in _to_guardian:
        with contextlib.suppress(OSError):
            os.write(descriptor, bytes([status]))


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
            os.kill(os.getpid(), signal.SIGSTOP)
            os.kill(child, signal.SIGCONT)
        else:
            passed_on.add(number)
            os.kill(child, number)
    code = os.waitstatus_to_exitcode(status)
    told = _told(reading)
    if told is not None and told != _BY_ITSELF:
        code = told
    if code in _OWN_ENDS or told is not None:
        os._exit(code)
    if -code in passed_on:  # before it could handle signals
        signal.signal(-code, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {-code})
        os.kill(os.getpid(), -code)
    how = f"signal {-code}" if code < 0 else f"status {code}"
    line = last_line(f"the launch was ended from outside ({how}), as Ray does if one of its processes dies")
    with contextlib.suppress(OSError):
        os.write(2, f"{line}\n".encode())
    os._exit(2)


def _told(reading: int) -> int | None:
    """The first that the child has said, if anything; its own children may still hold the pipe open."""
    os.set_blocking(reading, False)
    with contextlib.suppress(BlockingIOError):
        return next(iter(os.read(reading, 1)), None)
    return None
