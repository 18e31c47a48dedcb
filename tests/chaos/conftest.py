"""Fixtures of the tests of this folder."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .short_grid import undisturbed_storage  # noqa: F401 (a fixture for all)
from .small_run import SmallRun, make_small_run
from .sweep_command import Runs, Table, run_in_sequence


class Zygote:
    """A client of the fork server ``zygote.py``, which does runs in new processes without start-up time."""

    def __init__(self) -> None:
        self._under_way = False
        """Whether a run was started whose status has not been read."""
        self._process = self._fork_server()

    def start(self, *arguments: str, log: Path, **order: Any) -> int:
        """Start a run and return its process number."""
        if self._under_way:
            # A test was interrupted, for example by its time limit, before it had read all answers: the
            # next answer would be about that test's run.
            self.close()
            self._process = self._fork_server()
        self._under_way = True
        self._write({"arguments": arguments, "log": str(log), **order})
        return int(self._read())

    def wait(self) -> int:
        """Wait for the run that was started last; return its exit status, or minus its signal."""
        assert self._under_way
        status = int(self._read())
        self._under_way = False
        return status

    def run(self, *arguments: str, log: Path, **order: Any) -> int:
        """Start a run and wait for its end."""
        self.start(*arguments, log=log, **order)
        return self.wait()

    def close(self) -> None:
        """End the server and the run that it may be waiting for."""
        with contextlib.suppress(BrokenPipeError), self._process:  # of an order to a server that has died
            os.killpg(self._process.pid, signal.SIGKILL)

    @staticmethod
    def _fork_server() -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("zygote.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            process_group=0,  # with its runs, for close
        )

    def _write(self, order: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()

    def _read(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()


@pytest.fixture(scope="session")
def zygote() -> Iterator[Zygote]:
    zygote = Zygote()
    yield zygote
    zygote.close()


@pytest.fixture(scope="module")
def small_run(zygote, tmp_path_factory) -> SmallRun:
    return make_small_run(zygote, tmp_path_factory.mktemp("small"))


@pytest.fixture
def scratch() -> Iterator[Path]:
    """A folder for the temporary files of launches; its path is short, as Ray's sockets need."""
    folder = Path(tempfile.mkdtemp(prefix="c-", dir="/tmp"))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def undisturbed_table(tmp_path_factory) -> Table:
    """The results of the study of ``sweep_command.py``, run in sequence without Ray and without faults."""
    storage = tmp_path_factory.mktemp("undisturbed")
    run_in_sequence(storage)
    return Runs(storage).table()
