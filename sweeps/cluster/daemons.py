"""The processes of a Ray that this launch has started: end the launch as soon as one of them dies."""

from __future__ import annotations

import contextlib
import itertools
import os
import select
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import psutil

from sweeps.cluster.own_ray import logged_error
from sweeps.guardian import end_launch

_NAMES = ("gcs_server", "raylet")
"""Processes without which Ray does not work."""

_BETWEEN_SECONDS = 0.25

_STARTING_LOOKS = 240
"""Looks for new processes: on a busy machine agents start long after their raylet."""

_AGENTS = ("runtime_env/agent/main.py", "dashboard/agent.py")
"""Programs of a raylet's agents, without which it ends."""


def end_without(name: str, folder: Path | None = None) -> None:
    """End the launch, because this process of its Ray has died; before the first run, another one begins.

    Args:
        name: of the process.
        folder: that of the launch, with Ray's logs; None: unknown.
    """
    why = (logged_error(folder) if folder else "") or "its log names no error, so it may have been killed"
    end_launch(f"Ray's process {name} died at {time.strftime('%H:%M:%S')} ({why})", is_own_ray=True)


@contextlib.contextmanager
def watched_daemons(store: str = "", *, end: Callable[[str], None] = end_without) -> Iterator[None]:
    """End this process, with one line and status 2, if its own Ray dies in the ``with`` block.

    The Ray may start within the block. Ray itself would take a minute to notice and end the process with
    its own message. Until then all calls into Ray hang, so ending the process is all that can be done.

    Args:
        store: path of the socket of the raylet's object store; "": the Ray has not started yet. A raylet
            that is told to end closes its store before it ends, and Ray's own threads end this process as
            soon as they write to it.
        end: called in another thread with the name of a process that has died.
    """
    over = threading.Event()

    def watch() -> None:
        daemons: dict[psutil.Process, str] = {}
        with contextlib.closing(_Ends(store)) as ends:
            for look in itertools.count():
                if look < _STARTING_LOOKS and look % 4 == 0:
                    daemons |= _daemons()
                ends.wait(daemons)
                dead = [name for process, name in daemons.items() if _has_ended(process)]
                dead += ["raylet"] if ends.store_is_closed() else []
                if over.is_set():  # the end of the block comes before Ray is stopped
                    return
                if dead:
                    end(dead[0])
                    return

    threading.Thread(target=watch, daemon=True, name="own Ray").start()
    try:
        yield
    finally:
        over.set()


class _Ends:
    """Wait for the end of any of some processes: on Linux it is noticed at once, else within a moment.

    Args:
        store: path of a socket that is open as long as a raylet works; "": none.
    """

    def __init__(self, store: str) -> None:
        self._poll = select.poll()
        self._known: set[psutil.Process] = set()
        self._descriptors = contextlib.ExitStack()
        self._store: socket.socket | None = None
        if store:
            self._store = self._descriptors.enter_context(socket.socket(socket.AF_UNIX))
            try:
                self._store.connect(store)
                self._poll.register(self._store, select.POLLIN)
            except OSError:
                self._store = None  # a raylet that has ended by now is noticed as a process

    def wait(self, processes: Iterable[psutil.Process]) -> None:
        """Return when a process has ended, or after :data:`_BETWEEN_SECONDS`."""
        for process in set(processes) - self._known:
            self._known.add(process)
            with contextlib.suppress(AttributeError, OSError):
                descriptor = os.pidfd_open(process.pid)
                self._descriptors.callback(os.close, descriptor)
                self._poll.register(descriptor, select.POLLIN)
        self._poll.poll(1000 * _BETWEEN_SECONDS)

    def store_is_closed(self) -> bool:
        """Whether the object store has closed the connection that this process had opened to it.

        The store never sends to a client that only connects, so the socket becomes readable only when it
        is closed.
        """
        return self._store is not None and bool(select.select([self._store], [], [], 0)[0])

    def close(self) -> None:
        self._descriptors.close()


def _name(process: psutil.Process) -> str:
    with contextlib.suppress(psutil.Error):
        return str(process.name())
    return ""


def _daemons() -> dict[psutil.Process, str]:
    """The processes of this process's Ray that must not end, with their names."""
    found = {child: name for child in psutil.Process().children() if (name := _name(child)) in _NAMES}
    raylets = [process for process, name in found.items() if name == "raylet"]
    return found | {agent: title for raylet in raylets for agent, title in _agents(raylet).items()}


def _agents(raylet: psutil.Process) -> dict[psutil.Process, str]:
    with contextlib.suppress(psutil.Error):
        return {child: name for child in raylet.children() if (name := _agent_name(_title(child)))}
    return {}


def _agent_name(title: str) -> str:
    """The name of an agent of Ray by its title, such as ``ray::RuntimeEnvAgent``; empty for all others.

    Until an agent has set its title, it has a command line.
    """
    words = title.split(" ")
    if words[0].startswith("ray::"):
        return words[0] if words[0].endswith("Agent") else ""
    return next(("ray::" + program for word in words for program in _AGENTS if word.endswith(program)), "")


def _title(process: psutil.Process) -> str:
    with contextlib.suppress(psutil.Error):
        return " ".join(process.cmdline()).rstrip()  # a new title is padded to the length of the old one
    return ""


def _has_ended(process: psutil.Process) -> bool:
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
