"""The process that the user starts: a child does the work, and this one says how it ended if it could not.

Ray's C++ code is part of a launch's process. It ends that process, with status 1 or by a signal, as soon
as it notices that one of Ray's processes has gone. No Python code of the same process can prevent it, or be
sure to come before it. If no run has started by then, nothing is lost, and another child begins anew.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Literal, NamedTuple, NoReturn

from lvae_core.messages import command_here

_PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_PR_SET_PDEATHSIG = 1

_OWN_ENDS = (0, 2, 130)
"""Statuses that a launch itself ends with; they need no explanation, even if no exit message arrived."""

_BY_ITSELF = 255
"""The status in the message that Python writes as it ends; any other is the one that the child intends."""

_CHILDREN = 2
"""Children that begin at most, each after Ray has died under the one before."""

Stage = Literal["own Ray", "runs"]
"""How far a child has come: it starts a Ray, whose death costs nothing yet; its first run has started."""

_REMOVE = "from sweeps.cluster.scratch_folder import remove_soon; remove_soon()"
"""A program that removes the folders of a launch that could not do it."""

_to_guardian: list[int] = []
"""The descriptor to which this process, if it is such a child, writes its stages and exit messages."""

_stages: set[str] = set()
"""The stages that this process has reached."""


def let_a_child_work() -> None:
    """Return in a child of this process, which passes signals on to it, waits, and ends as it does.

    The child is alone in its process group, so what is sent to the group, such as Ctrl-C, reaches it once.
    It dies with this process. If its Ray dies before its first run has started, another child begins anew,
    once. If it ends otherwise than by its own decision, this process prints one line with the command that
    resumes the launch, and ends with status 2. On other systems than Linux this process does the work
    itself.
    """
    if sys.platform != "linux":
        return
    waited_for = {*_PASSED_ON, signal.SIGTSTP, signal.SIGCHLD}
    # If SIGCHLD is ignored, the kernel does not report that a child has ended.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    # Blocked from before there is a child, so that no signal is lost.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, waited_for)
    guardian, begun = os.getpid(), 0
    while True:
        reading, writing = os.pipe()
        begun += 1
        if not (child := os.fork()):
            break
        os.close(writing)
        _end_as(child, reading, waited_for, may_begin_anew=begun < _CHILDREN)
        os.close(reading)
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


def last_line(what: str, *, has_runs: bool) -> str:
    """The line for standard error that says what has ended a launch, and how to continue.

    Args:
        what: has happened.
        has_runs: whether a run had started.
    """
    remedy = "resume from the last checkpoints with" if has_runs else "no run had started; start again with"
    return f"{_show_cursor()}error: {what}; {remedy}: {command_here('python', *sys.argv)}"


def _show_cursor() -> str:
    """The characters that show the cursor of a terminal again, which displays hide."""
    return "\r\033[K\033[?25h" if os.isatty(2) else ""


def enter_stage(stage: Stage) -> None:
    """Note that this process has come to a stage, here and in its guardian."""
    if stage not in _stages:
        _stages.add(stage)
        _write(f"stage {stage}")


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
    _write(f"{status} {line}")
    if line and not has_guardian():
        with contextlib.suppress(OSError, ValueError):
            print(line, file=sys.stderr, flush=True)


def _write(message: str) -> None:
    """Write a message, which is short enough to arrive whole, to the guardian if there is one."""
    for descriptor in _to_guardian:
        with contextlib.suppress(OSError):
            os.write(descriptor, f"{message}\n".encode())


def end_launch(what: str, *, is_own_ray: bool = False) -> NoReturn:
    """End this process from any of its threads, with status 2 and one line that says what has ended it.

    There may be little time, because Ray's own threads end it, too: the rest is left to the guardian.

    Args:
        what: has happened.
        is_own_ray: whether the launch's own Ray has died; before the first run a guardian begins anew.
    """
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
    if is_own_ray:
        _write(f"died {what}")
    will_end_with(2, last_line(what, has_runs="runs" in _stages))
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


def _end_as(child: int, reading: int, waited_for: set[signal.Signals], *, may_begin_anew: bool) -> None:
    """Wait for the child, and end as it does.

    Returns only if another child is to begin anew.
    """
    passed_on, code = _wait_for(child, waited_for)
    report = _read_report(reading)
    died = report.died or _death_by_ray(code, report)
    if died and may_begin_anew and not passed_on and not report.has_runs:
        _print(f"{_show_cursor()}{died}, before any run had started: starting again")
        return
    message = report.end
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
    _print(last_line(f"the launch was ended from outside ({_cause(code)})", has_runs=report.has_runs))
    remove_folders()
    os._exit(2)


def _wait_for(child: int, waited_for: set[signal.Signals]) -> tuple[set[int], int]:
    """Pass signals on to the child until it has ended; returns them, and the code that it ended with."""
    passed_on: set[int] = set()
    while True:
        number = signal.sigwaitinfo(waited_for).si_signo
        if number == signal.SIGCHLD:
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                return passed_on, os.waitstatus_to_exitcode(status)
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


class _Report(NamedTuple):
    """The messages of a child, after its end."""

    has_own_ray: bool
    has_runs: bool
    died: str
    """What the child saw of the death of its Ray; empty if nothing."""
    end: _ExitMessage | None
    """The first exit message."""


def _death_by_ray(code: int, report: _Report) -> str:
    """The event that ended the child in Ray's C++ code before it could say so; empty if there is none."""
    # Ray aborts, or ends the process with status 1; somebody else sends other signals.
    if report.end or not report.has_own_ray or code not in (1, -signal.SIGABRT, -signal.SIGSEGV):
        return ""
    return "a process of Ray has died"


def _read_report(reading: int) -> _Report:
    """Return what the child has written.

    Reading does not block, because the child's own children may still hold the pipe open.
    """
    os.set_blocking(reading, False)
    text = ""
    with contextlib.suppress(BlockingIOError):
        text = os.read(reading, 65536).decode()
    lines = [line.partition(" ") for line in text.splitlines()]
    stages = [rest for word, _, rest in lines if word == "stage"]
    died = next((rest for word, _, rest in lines if word == "died"), "")
    end = next((_ExitMessage(int(word), rest) for word, _, rest in lines if word.isdecimal()), None)
    return _Report("own Ray" in stages, "runs" in stages, died, end)
