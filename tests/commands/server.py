"""Import the libraries once, then fork a process for each client that asks.

A client's end ends its process. The end of standard input, which pytest holds open, ends everything.
One thread serves all: a fork copies only the thread that forks.
"""

import atexit
import contextlib
import gc
import json
import os
import runpy
import selectors
import shutil
import signal
import socket
import sys
import threading
import warnings
from typing import Any, NoReturn

# What the commands import, in whole or in part.
import jinja2  # noqa: F401
import matplotlib.figure
import matplotlib.patheffects  # noqa: F401
import optuna.importance  # noqa: F401
import pandas  # noqa: F401
import pyarrow.parquet  # noqa: F401
import ray.tune  # noqa: F401
import rich.progress  # noqa: F401
import scipy.stats  # noqa: F401
import torch
import tyro  # noqa: F401


def run(order: dict[str, Any]) -> None:
    """Do in this process what ``python ARGUMENTS`` does."""
    os.chdir(order["folder"])
    os.environ.clear()
    os.environ.update(order["environment"])
    arguments = order["arguments"]
    if arguments[0] == "-W":
        warnings.simplefilter(arguments[1])
        arguments = arguments[2:]
    sys.path[:0] = filter(None, order["environment"].get("PYTHONPATH", "").split(os.pathsep))
    encoding, _, errors = order["environment"].get("PYTHONIOENCODING", "").partition(":")
    sys.stdout.reconfigure(encoding=encoding or None, errors=errors or None)  # type: ignore[union-attr]
    if arguments[0] == "-m":
        sys.path.insert(0, order["folder"])
        sys.argv = arguments[1:]
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
    elif arguments[0] == "-c":
        sys.path.insert(0, order["folder"])
        sys.argv = ["-c", *arguments[2:]]
        exec(compile(arguments[1], "<string>", "exec"), {"__name__": "__main__"})
    else:
        sys.path.insert(0, os.path.dirname(arguments[0]))
        sys.argv = arguments
        runpy.run_path(arguments[0], run_name="__main__")


def receive(connection: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """Read a client's order and its standard input, output and error."""
    head, files, _, _ = socket.recv_fds(connection, 8, 3)
    size, order = int.from_bytes(head, "big"), b""
    while len(order) < size:
        if not (more := connection.recv(size - len(order))):
            raise OSError("the client has gone")
        order += more
    return json.loads(order), files


class Server:
    """Clients that wait, each with its process."""

    def __init__(self, place: str) -> None:
        self._folder = os.path.dirname(place)
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(place)
        self._socket.listen(64)
        self._children: set[int] = set()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._socket, selectors.EVENT_READ)
        self._selector.register(sys.stdin, selectors.EVENT_READ)

    def serve(self) -> dict[str, Any]:
        """Serve until standard input ends; in a fork, return the order to carry out."""
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is sys.stdin:  # pytest has ended, perhaps without its exit handlers
                    self._end_all()
                elif key.fileobj is self._socket:
                    if (order := self._begin()) is not None:
                        return order
                elif key.data[0] in self._children:  # else the end of both was seen at once
                    self._end(key)

    def _begin(self) -> dict[str, Any] | None:
        connection, _ = self._socket.accept()
        try:
            order, files = receive(connection)
        except (OSError, ValueError):  # the client was killed before it had asked
            connection.close()
            return None
        child = os.fork()
        if child == 0:
            for number, file in enumerate(files):
                os.dup2(file, number)
            self._selector.close()
            os.closerange(3, 1024)
            return order
        for file in files:
            os.close(file)
        with contextlib.suppress(OSError):
            connection.sendall(f"{child}\n".encode())
        self._children.add(child)
        process = os.pidfd_open(child)
        self._selector.register(process, selectors.EVENT_READ, (child, process, connection))
        self._selector.register(connection, selectors.EVENT_READ, (child, process, connection))
        return None

    def _end(self, key: selectors.SelectorKey) -> None:
        child, process, connection = key.data
        self._children.remove(child)
        if key.fileobj is connection:  # the client has been killed
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        with contextlib.suppress(OSError):
            connection.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())
        for file in (process, connection):
            with contextlib.suppress(KeyError):
                self._selector.unregister(file)
        os.close(process)
        connection.close()

    def _end_all(self) -> NoReturn:
        for child in self._children:
            os.kill(child, signal.SIGKILL)
        shutil.rmtree(self._folder, ignore_errors=True)
        os._exit(0)


def exit_status(order: dict[str, Any]) -> int:
    """Carry an order out to the end of its threads and exit handlers, and return the exit status."""
    status = 1
    try:
        run(order)
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    with contextlib.suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
    return status


if __name__ == "__main__":
    torch.set_num_threads(1)
    del sys.path[0]  # this file's folder
    server = Server(sys.argv[1])
    assert threading.active_count() == 1
    gc.freeze()  # a fork would copy the memory of all objects to mark them
    print("ready", flush=True)
    # To take the libraries' objects apart would take longer than all else.
    os._exit(exit_status(server.serve()))
